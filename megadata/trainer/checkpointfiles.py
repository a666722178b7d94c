"""The folder of a run's checkpoints: which is the newest that is whole. No torch.

CHECKPOINTS/latest                     name of the newest complete checkpoint, written last
CHECKPOINTS/step-00000100/state.json   step, position in the data, digests of the files, a fingerprint of each tensor
CHECKPOINTS/step-00000100/model/       weights, one safetensors file a process
CHECKPOINTS/step-00000100/optimizer/   optimizer state, likewise

A checkpoint is written under a temporary name, synced and renamed: it is whole or not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megadata import formats
from megadata.errors import CorpusError
from megadata.runtime.files import digest_file, read_json

POINTER = "latest"
"""File that names the newest complete checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    path: Path
    state: Mapping[str, Any]
    """What state.json holds."""

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return int(self.state["step"])

    @property
    def fingerprints(self) -> dict[str, str]:
        """A digest of each tensor that does not depend on the layout: equal runs have equal ones."""
        return dict(self.state["tensors"])


def checkpoints_folder(run: Path) -> Path:
    """Where a run's checkpoints lie."""
    return run / "checkpoints"


def find_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest whole checkpoint of `folder`, and one sentence for each damaged one that was passed over."""
    passed: list[str] = []
    for path in newest_first(folder):
        try:
            return open_checkpoint(path), passed
        except CorpusError as error:
            passed.append(f"{error}; the checkpoint before it is used")
    return None, passed


def open_checkpoint(path: Path, *, verify: bool = True) -> Checkpoint:
    """Open a checkpoint, checking every byte of it unless told that this was done.

    Raises
    ------
    CorpusError
        If a file is missing or differs from its digest.
    """
    if not (path / "state.json").exists():
        raise CorpusError(
            f"{path}: expected a checkpoint with its state.json, found none; give a folder like step-00000100"
        )
    state = formats.check("checkpoint", read_json(path / "state.json"), path / "state.json")
    for name, digest in state["files"].items() if verify else ():
        file = path / name
        if not file.is_file() or digest_file(file) != digest:
            found = "missing" if not file.is_file() else "not as it was written"
            raise CorpusError(f"{path}: this checkpoint is damaged: {name} is {found}")
    return Checkpoint(path=path, state=state)


def newest_first(folder: Path) -> Iterator[Path]:
    """Complete checkpoints, from the one `latest` names backwards; without a pointer all of them."""
    try:
        latest = (folder / POINTER).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        latest = ""
    found = sorted((path for path in folder.glob("step-*") if path.is_dir()), reverse=True)
    yield from (path for path in found if not latest or path.name <= latest)
