"""`megadata dedup`: from input files to unique documents, out of core; the work itself lies in `phases`.

Every phase leaves files that a later run of the same command finds, and none of them depends on workers or memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from megadata.config import to_dict
from megadata.corpus.dedup import evidence, normaliser
from megadata.corpus.dedup.config import DedupConfig
from megadata.corpus.dedup.indexfile import LIST, Part, append_part, held_for_saving, load_parts
from megadata.corpus.dedup.phases import Phases
from megadata.corpus.dedup.report import DedupReport
from megadata.corpus.dedup.verdicts import EXACT, NEAR
from megadata.documents.inputs import Inputs, plan
from megadata.documents.job import open_job, refuse_label_of_removed, spec_of
from megadata.documents.publish import BESIDE, Beside, publish_outputs
from megadata.errors import ConfigError, CorpusError
from megadata.runtime.manifest import StepSpec
from megadata.runtime.settings import RunSettings

VERSION = "3"
"""Raised whenever the same input and configuration would give other output."""


def dedup(
    inputs: Inputs,
    output: Path,
    config: DedupConfig,
    settings: RunSettings,
    against: Path | None = None,
    save_index: Path | None = None,
) -> DedupReport:
    """Remove exact and near copies; write shards, removed documents, evidence, statistics and manifests.

    Named inputs each get a folder of their own below `output`; all others share `output` itself. What the index `against` holds
    is removed as well; `save_index` is the folder of an index of what is kept, and of what `against` holds.

    Raises
    ------
    CorpusError, ConfigError, OutputError, WorkerError
        With one sentence each; run again, the same command goes on where it stopped.
    """
    refuse_label_of_removed(inputs.labels)
    held = held_for_saving(save_index, output, inputs.labels) if save_index is not None else nullcontext()
    with held:
        return _dedup(inputs, output, config, settings, against, save_index)


def _dedup(
    inputs: Inputs,
    output: Path,
    config: DedupConfig,
    settings: RunSettings,
    against: Path | None,
    save_index: Path | None,
) -> DedupReport:
    saved = [part for part in load_parts(against, config) if not part.lies_in(output)] if against else []
    if save_index is not None:
        _refuse_other_index(save_index, against, config, output)
    spec = _spec(inputs, config, saved, save_index is not None)

    def is_saved() -> bool:
        return _is_saved(save_index, config, output)

    leaves, apart = (*BESIDE, evidence.FILE), inputs.apart
    with open_job(
        inputs, output, spec, config.read, config.unit_bytes, settings, is_saved, beside=leaves, apart=apart
    ) as job:
        if job.current is not None:
            return DedupReport(output, job.current.totals, True, inputs.passed_over)
        with job.workers() as (executor, files):
            run = Phases(job, config, executor, plan(files, config.unit_bytes), saved, save_index is not None)
            run.decide()
            written = run.write()
        receipts = written[0].receipts
        totals = run.totals(receipts)

        def beside() -> Beside:
            if save_index is not None:
                append_part(save_index, run.save_part(save_index, output, written), saved)
            return Beside(
                [(_write_evidence(run, output, totals), None)], {"expected_recall": [[s, p] for s, p in config.curve()]}
            )

        publish_outputs(job, written, receipts, totals, config.form, beside)
    return DedupReport(output, totals, False, inputs.passed_over)


def _refuse_other_index(index: Path, against: Path | None, config: DedupConfig, output: Path) -> None:
    """Refuse to replace an index of other documents."""
    if not (index / LIST).exists() or (against is not None and index.resolve() == against.resolve()):
        return
    if not all(part.lies_in(output) for part in load_parts(index, config)):
        raise ConfigError(
            f"{index}: holds an index of other documents; give --against {index} as well to extend it, "
            "or save to another folder"
        )


def _is_saved(index: Path | None, config: DedupConfig, output: Path) -> bool:
    """Whether the index that was asked for, if any, has a part for this output."""
    if index is None:
        return True
    return (index / LIST).exists() and any(part.lies_in(output) for part in load_parts(index, config))


def _spec(inputs: Inputs, config: DedupConfig, saved: Sequence[Part], for_index: bool) -> StepSpec:
    told = {
        **to_dict(config),
        "shape": list(config.shape),
        "normaliser": normaliser.VERSION,
        "against": [part.path.name for part in saved],
        "for_index": for_index,
    }
    return spec_of("dedup", VERSION, inputs, told)


def _write_evidence(run: Phases, output: Path, totals: dict[str, Any]) -> Path:
    """``duplicates.parquet``, with as many rows as documents were removed."""
    removed = run.write_evidence(output / evidence.FILE)
    expected = sum(v for k, v in totals.items() if k.startswith((f"documents_{EXACT}|", f"documents_{NEAR}|")))
    if removed != expected:
        raise CorpusError(f"{output}: expected evidence of {expected} removed documents, found {removed}; run it again")
    return output / evidence.FILE
