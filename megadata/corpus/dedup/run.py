"""`megadata dedup`: from input files to unique documents, out of core; the work itself lies in `phases`.

Every phase leaves files that a later run of the same command finds, and none of them depends on workers or memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from megadata.config import to_dict
from megadata.corpus.dedup import evidence, normaliser
from megadata.corpus.dedup.config import DedupConfig
from megadata.corpus.dedup.indexfile import LIST, Part, append_part, load_parts
from megadata.corpus.dedup.phases import Phases
from megadata.corpus.dedup.publish import publish_outputs, refuse_label_of_removed
from megadata.corpus.dedup.report import DedupReport
from megadata.corpus.dedup.verdicts import EXACT, NEAR
from megadata.documents.inputs import Inputs, plan, refuse_overlap, refuse_unfit, source_versions
from megadata.documents.registry import READERS
from megadata.documents.unpack import unpack
from megadata.errors import ConfigError, CorpusError
from megadata.runtime.files import lock_folder
from megadata.runtime.manifest import STATE, Manifest, StepSpec, clear_work
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import work_folder

VERSION = "1"
"""Raised whenever the same input and configuration would give other output."""

LIBRARIES = ("orjson", "pyarrow", "zstandard", *READERS)


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
    refuse_overlap(inputs.files, output)
    saved = [part for part in load_parts(against, config) if not part.lies_in(output)] if against else []
    if save_index is not None:
        _refuse_other_index(save_index, against, config, output)
    spec = _spec(inputs, config, saved, save_index is not None)
    units = plan(inputs.files, config.unit_bytes)
    with lock_folder(output / STATE):
        manifest = Manifest.load(output)
        stands = manifest is not None and manifest.is_current(output, spec.identity, units)
        if manifest is not None and stands and _is_saved(save_index, config, output):
            return DedupReport(output, manifest.totals, True, inputs.passed_over)
        if manifest is not None:
            settings.progress.note(f"{output}: what other inputs or settings made is replaced")
        folder = work_folder(output, spec)
        with settings.executor() as executor:
            files = unpack(
                executor, inputs.files, folder / "unpacked", settings.progress, config.read, config.unit_bytes
            )
            units = plan(files, config.unit_bytes)
            run = Phases(inputs, config, settings, executor, units, folder, saved, save_index is not None)
            if not run.documents:
                refuse_unfit(files, config.read)
            run.decide()
            written = run.write()
        totals = run.totals(written.receipts)

        def beside() -> list[Path]:
            if save_index is not None:
                append_part(save_index, run.save_part(save_index, output, written), saved)
            return [_write_evidence(run, output, totals)]

        stats = {"expected_recall": [[s, p] for s, p in config.curve()]}
        publish_outputs(written, output, spec, manifest, totals, stats, config.form, settings, beside)
        clear_work(output)
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
    return StepSpec(
        name="dedup",
        version=VERSION,
        config={
            **to_dict(config),
            "shape": list(config.shape),
            "normaliser": normaliser.VERSION,
            "sources": source_versions(inputs.files),
            "labels": sorted({(f.name, f.source, f.family) for f in inputs.files}),
            "outputs": list(inputs.labels),
            "against": [part.path.name for part in saved],
            "for_index": for_index,
        },
        libraries=LIBRARIES,
        upstream=inputs.upstream,
    )


def _write_evidence(run: Phases, output: Path, totals: dict[str, Any]) -> Path:
    """``duplicates.parquet``, with as many rows as documents were removed."""
    removed = run.write_evidence(output / evidence.FILE)
    expected = sum(v for k, v in totals.items() if k.startswith((f"documents_{EXACT}|", f"documents_{NEAR}|")))
    if removed != expected:
        raise CorpusError(f"{output}: expected evidence of {expected} removed documents, found {removed}; run it again")
    return output / evidence.FILE
