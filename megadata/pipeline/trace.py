"""`megadata trace`: the documents behind a training step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from megadata.indexed.provenance import DocumentSpan, documents_of_all
from megadata.pipeline.runsteps import open_run


@dataclass(frozen=True, slots=True)
class TracedSample:
    """One sample of a step."""

    sample: int
    """Number of the sample in the run."""
    source: str
    """Its source in the blend."""
    epoch: int
    """How often all of the source had been seen before."""
    documents: tuple[DocumentSpan, ...]
    """What it covers, in order."""


def trace(run: Path, step: int) -> list[TracedSample]:
    """The samples of a step of a run, with the documents each covers.

    Raises
    ------
    ConfigError
        If the folder holds no run, or the run has not taken the step.
    IndexFormatError
        If the data is damaged.
    """
    steps = open_run(run)
    taken = steps.taken(step)
    documents = documents_of_all([steps.samples.ranges(k) for k in taken])
    out = []
    for k, spans in zip(taken, documents, strict=True):
        where = steps.samples.samples.locate(k)
        out.append(TracedSample(k, where.source, where.epoch, tuple(spans)))
    return out
