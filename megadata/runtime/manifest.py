"""What made an output folder: the identity of its step, its inputs and its files.

``manifest.json`` holds what follows from input, configuration and versions, and nothing of this machine or run, so it is the same
bytes everywhere. Sizes and times of the input files, by which a re-run sees without reading that nothing has changed, lie in
``.megadata/inputs.json``.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from megadata import formats
from megadata.errors import CorpusError
from megadata.runtime.files import read_json, write_json
from megadata.runtime.receipts import Read, Receipt, still_read
from megadata.runtime.units import Unit

STATE = ".megadata"
"""Folder inside an output for locks, work under way and the inputs' sizes and times. Safe to delete."""


def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed versions of the libraries that shape a step's result."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSpec:
    """What decides a step's output, apart from the bytes it reads."""

    name: str
    version: str
    config: dict[str, Any]
    libraries: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    """Identities of the steps that made the inputs, where megadata made them."""

    def describe(self) -> dict[str, Any]:
        """All that the identity is a hash of."""
        return {
            "step": self.name,
            "step_version": self.version,
            "config": self.config,
            "libraries": library_versions(self.libraries),
            "upstream": list(self.upstream),
        }

    @property
    def identity(self) -> str:
        """SHA-256 over step, configuration, library versions and upstream identities; no path is in it."""
        return hashlib.sha256(orjson.dumps(self.describe(), option=orjson.OPT_SORT_KEYS)).hexdigest()


def input_digests(receipts: list[Receipt]) -> list[dict[str, Any]]:
    """Each input file by its relative name, with one digest over all spans that were read of it."""
    files: dict[str, Any] = {}
    for receipt in receipts:
        for read in receipt.read:
            files.setdefault(read.name, hashlib.sha256()).update(read.digest.encode())
    return [{"name": name, "digest": digest.hexdigest()} for name, digest in files.items()]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of ``manifest.json``."""

    step: str
    identity: str
    made_by: dict[str, Any]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    totals: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Manifest | None:
        """The manifest of an output folder; None where there is none (nothing made yet, or not finished)."""
        path = folder / "manifest.json"
        if not path.exists():
            return None
        content = formats.check("manifest", read_json(path), path)
        try:
            return cls(**{k: v for k, v in content.items() if k not in ("format", "version")})
        except TypeError as error:
            raise CorpusError(
                f"{path}: expected a manifest, found other keys ({error}); delete it and run again"
            ) from error

    def save(self, folder: Path, receipts: list[Receipt]) -> None:
        """Write the manifest, the last file of an output, and beside it the sizes and times of the inputs."""
        state = [asdict(read) for receipt in receipts for read in receipt.read]
        write_json(folder / STATE / "inputs.json", state)
        write_json(folder / "manifest.json", formats.stamp("manifest", asdict(self)))

    def is_current(self, folder: Path, identity: str, units: list[Unit]) -> bool:
        """Whether the folder holds the whole output of this step for these very inputs."""
        if self.identity != identity or not self.stands(folder):
            return False
        state = folder / STATE / "inputs.json"
        if not state.exists():
            return False
        return still_read([Read(**entry) for entry in read_json(state)], units)

    def stands(self, folder: Path) -> bool:
        """Whether all files it names are in the folder, each of its size."""
        for output in self.outputs:
            path = folder / output["name"]
            if not path.exists() or path.stat().st_size != output["size"]:
                return False
        return True


def clear_work(folder: Path) -> None:
    """Delete the work under way of an output folder."""
    discard(folder / STATE / "work")


def discard(folder: Path) -> None:
    """Delete a folder so that a kill leaves all of it or none under its name."""
    if folder.is_dir():
        gone = folder.with_name(f"gone-{folder.name}-{secrets.token_hex(4)}")
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def forget(before: Manifest, made: set[str], labels: tuple[str, ...], output: Path) -> None:
    """Remove what an earlier run wrote and this one does not, such as the folders of inputs that are not named any more."""
    for old in before.outputs:
        if old["name"] not in made:
            (output / old["name"]).unlink(missing_ok=True)
    if labels:
        (output / "keys.idx").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (output / "removed").rmdir()
    for label in before.made_by["config"].get("outputs", []):
        if label not in labels:
            folder = output / label
            shutil.rmtree(folder / STATE, ignore_errors=True)
            for name in ("manifest.json", "keys.idx"):
                (folder / name).unlink(missing_ok=True)
            for empty in (folder / "removed", folder):
                with contextlib.suppress(OSError):  # files of somebody else keep it
                    empty.rmdir()
