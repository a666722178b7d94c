"""The frame of a step over documents: one run at a time on an output, nothing made twice, nothing in place of what is not ours,
and work that a kill leaves whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from megadata.documents.inputs import Inputs, plan, refuse_overlap, refuse_unfit, source_versions
from megadata.documents.registry import READERS
from megadata.documents.source import ReadOptions
from megadata.documents.unpack import unpack
from megadata.errors import ConfigError
from megadata.runtime.executor import Executor
from megadata.runtime.files import lock_folder, remove_temporaries
from megadata.runtime.manifest import STATE, Manifest, StepSpec, clear_work
from megadata.runtime.owned import refuse_foreign
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import work_folder
from megadata.runtime.units import InputFile, Unit

LIBRARIES = ("orjson", "pyarrow", "zstandard", *READERS)
"""Libraries that shape what a step reads and writes."""


def spec_of(name: str, version: str, inputs: Inputs, config: Mapping[str, Any]) -> StepSpec:
    """What decides the output of a step over these inputs: `config` is all that it was told."""
    return StepSpec(
        name=name,
        version=version,
        config={
            **config,
            "sources": source_versions(inputs.files),
            "labels": sorted({(file.name, file.source, file.family) for file in inputs.files}),
            "outputs": list(inputs.labels),
        },
        libraries=LIBRARIES,
        upstream=inputs.upstream,
    )


def refuse_label_of_removed(labels: tuple[str, ...]) -> None:
    """Refuse an input by the name of the folder of removed documents."""
    if "removed" in labels:
        raise ConfigError(
            "removed=...: the name is taken by the folder of removed documents; give the input another one"
        )


@dataclass(frozen=True, slots=True)
class Opened:
    """An output that is locked for a step."""

    output: Path
    spec: StepSpec
    settings: RunSettings
    folder: Path
    """Where everything under way lies."""
    beside: tuple[str, ...]
    """Names of all files that the step may leave beside its shards."""
    before: Manifest | None
    """What made what lies in the output."""
    current: Manifest | None
    """The same, where nothing is left to do."""


@contextmanager
def open_output(
    output: Path,
    spec: StepSpec,
    settings: RunSettings,
    is_current: Callable[[Manifest], bool],
    beside: Sequence[str],
    apart: Sequence[str] = (),
    stands: Callable[[], bool] = lambda: True,
    work: StepSpec | None = None,
) -> Iterator[Opened]:
    """Lock an output for the length of the block, and delete the work under way when the block is done.

    Parameters
    ----------
    is_current : whether what a manifest tells of is what the step would make.
    beside : files that the step may write beside its shards.
    apart : names of the inputs that get a folder each, where they do.
    stands : whether what the step leaves elsewhere is there too.
    work : what the work under way is named after, where that is not what the output is.

    Raises
    ------
    OutputError
        If another process is at work there, or files of ours would replace somebody else's.
    """
    folders = [below for label in apart or ("",) for below in (label, f"{label}/removed".lstrip("/"))]
    leaves = (*beside, *(f"{label}/keys.idx" for label in apart))
    with lock_folder(output / STATE):
        remove_temporaries(output)
        before = Manifest.load(output)
        current = before is not None and is_current(before)
        if before is not None and current and stands():
            clear_work(output)
            yield Opened(output, spec, settings, output / STATE, leaves, before, before)
            return
        refuse_foreign(output, folders, leaves)
        if before is not None and not current:
            settings.progress.note(f"{output}: what other inputs or settings made is replaced")
        yield Opened(output, spec, settings, work_folder(output, work or spec), leaves, before, None)
        clear_work(output)


@dataclass(frozen=True, slots=True)
class Job(Opened):
    """A step over documents, on its output."""

    inputs: Inputs
    read: ReadOptions
    unit_bytes: int
    files: list[InputFile] = field(default_factory=list)
    """The input files as they can be read from any place, as soon as there are workers."""

    @contextmanager
    def workers(self) -> Iterator[tuple[Executor, list[InputFile]]]:
        """Workers for the length of the block, and the input files as they can be read from any place."""
        progress, folder = self.settings.progress, self.folder / "unpacked"
        with self.settings.executor() as executor:
            self.files[:] = unpack(executor, self.inputs.files, folder, progress, self.read, self.unit_bytes)
            yield executor, self.files

    def refuse_without_documents(self, counts: Mapping[str, Any], label: str = "") -> None:
        """Refuse inputs (those of one name, where it is given) in which no text was found where the options say.

        `counts` has ``documents_in|SOURCE`` for each source of which there were documents.
        """
        if not any(key == f"documents_in|{label}" if label else key.startswith("documents_in|") for key in counts):
            refuse_unfit([file for file in self.files if not label or file.source == label], self.read)

    def units(self, files: Sequence[InputFile]) -> list[Unit]:
        """Units over the files that `workers` gives."""
        return plan(files, self.unit_bytes)


@contextmanager
def open_job(
    inputs: Inputs,
    output: Path,
    spec: StepSpec,
    read: ReadOptions,
    unit_bytes: int,
    settings: RunSettings,
    stands: Callable[[], bool] = lambda: True,
    *,
    beside: Sequence[str],
    apart: Sequence[str] = (),
) -> Iterator[Job]:
    """`open_output` for a step over `inputs`.

    Raises
    ------
    ConfigError, OutputError
        If the inputs lie in the output, and as `open_output`.
    """
    refuse_overlap(inputs.files, output)

    def is_current(made: Manifest) -> bool:
        return made.is_current(output, spec.identity, plan(inputs.files, unit_bytes))

    with open_output(output, spec, settings, is_current, beside, apart, stands) as opened:
        told = (opened.folder, opened.beside, opened.before, opened.current)
        yield Job(output, spec, settings, *told, inputs, read, unit_bytes)
