"""The frame of the modes that take spans out of documents: everything but how spans are found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from megadata.corpus.dedup.spans.config import SpanConfig
from megadata.corpus.dedup.spans.report import SpanReport, totals_of
from megadata.corpus.dedup.spans.takeout import FILE, record_of
from megadata.documents.inputs import Inputs, plan
from megadata.documents.job import Job, open_job, refuse_label_of_removed
from megadata.documents.publish import BESIDE, Written, publish_outputs
from megadata.runtime.executor import Executor
from megadata.runtime.manifest import StepSpec
from megadata.runtime.settings import RunSettings
from megadata.runtime.units import Unit

if TYPE_CHECKING:
    from megadata.corpus.dedup.substrings.config import SubstringConfig

Phases = Callable[[Job, Executor, list[Unit]], list[Written]]
"""Finds the spans that repeat, and writes the documents without them."""


def take_out_of(
    inputs: Inputs,
    output: Path,
    spec: StepSpec,
    config: SpanConfig | SubstringConfig,
    settings: RunSettings,
    phases: Phases,
    record: pa.Schema,
) -> SpanReport:
    """Leave shards, documents of which nothing is left, what was taken out (columns `record`), statistics and manifests.

    Raises
    ------
    CorpusError, ConfigError, OutputError, WorkerError
        With one sentence each; run again, the same command goes on where it stopped.
    """
    refuse_label_of_removed(inputs.labels)
    mode, whole = (config.mode, "") if isinstance(config, SpanConfig) else ("substrings", config.cut)
    beside, read, unit_bytes = (*BESIDE, FILE), config.read, config.unit_bytes
    with open_job(inputs, output, spec, read, unit_bytes, settings, beside=beside, apart=inputs.apart) as job:
        if job.current is not None:
            return SpanReport(output, mode, job.current.totals, True, inputs.passed_over, whole)
        with job.workers() as (executor, files):
            written = phases(job, executor, plan(files, unit_bytes))
        counts = totals_of(written[0].receipts)
        publish_outputs(job, written, written[0].receipts, counts, config.form, lambda: record_of(job, written, record))
    return SpanReport(output, mode, counts, False, inputs.passed_over, whole)
