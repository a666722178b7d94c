"""The frame of a step over documents: one run at a time on an output, nothing made twice, and work that a kill leaves whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from megadata.documents.inputs import Inputs, plan, refuse_overlap
from megadata.documents.registry import sources
from megadata.documents.source import ReadOptions
from megadata.documents.unpack import unpack
from megadata.errors import ConfigError
from megadata.runtime.executor import Executor
from megadata.runtime.files import lock_folder
from megadata.runtime.manifest import STATE, Manifest, StepSpec, clear_work
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import work_folder
from megadata.runtime.units import InputFile


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

    @contextmanager
    def workers(self) -> Iterator[tuple[Executor, list[InputFile]]]:
        """Workers for the length of the block, and the input files as they can be read from any place."""
        progress = self.settings.progress
        with self.settings.executor() as executor:
            yield (
                executor,
                unpack(executor, self.inputs.files, self.folder / "unpacked", progress, self.read, self.unit_bytes),
            )


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
