"""The frame of a step over documents: one run at a time on an output, nothing made twice, and work that a kill leaves whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from megadata.documents.inputs import Inputs, plan, refuse_overlap, refuse_unfit, source_versions
from megadata.documents.registry import READERS, sources
from megadata.documents.source import ReadOptions
from megadata.documents.unpack import unpack
from megadata.errors import ConfigError
from megadata.runtime.executor import Executor
from megadata.runtime.files import lock_folder
from megadata.runtime.manifest import STATE, Manifest, StepSpec, clear_work
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import work_folder
from megadata.runtime.units import InputFile

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
class Job:
    """A step on its output, which is locked."""

    inputs: Inputs
    output: Path
    spec: StepSpec
    read: ReadOptions
    unit_bytes: int
    settings: RunSettings
    folder: Path
    """Where everything under way lies."""
    before: Manifest | None
    """What made what lies in the output."""
    current: Manifest | None = None
    """The same, where nothing is left to do."""
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


@contextmanager
def open_job(
    inputs: Inputs,
    output: Path,
    spec: StepSpec,
    read: ReadOptions,
    unit_bytes: int,
    settings: RunSettings,
    stands: Callable[[], bool] = lambda: True,
) -> Iterator[Job]:
    """Lock the output for the length of the block, and delete the work under way when the block is done.

    `stands` tells whether what the step leaves beside its output is there too.

    Raises
    ------
    ConfigError, OutputError
        If the inputs lie in the output, or another process is at work there.
    """
    refuse_overlap(inputs.files, output)
    sources()
    with lock_folder(output / STATE):
        before = Manifest.load(output)
        current = before is not None and before.is_current(output, spec.identity, plan(inputs.files, unit_bytes))
        if before is not None and current and stands():
            yield Job(inputs, output, spec, read, unit_bytes, settings, output / STATE, before, before)
            return
        if before is not None:
            settings.progress.note(f"{output}: what other inputs or settings made is replaced")
        yield Job(inputs, output, spec, read, unit_bytes, settings, work_folder(output, spec), before)
        clear_work(output)
