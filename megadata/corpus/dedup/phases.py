"""The phases of one deduplication, each of which passes over what an earlier run has left.

1. Survey: each unit is read; digests and band values go to the exchange. Those of a saved index that are the same join them.
2. Equal digests are exact copies; equal band values make components of documents that could be near copies.
3. Collect: the units that hold candidates are read again; their shingle sets go to the exchange, keyed by component.
4. Stars: in each component, by rank, documents are removed for kept ones they are verified to be similar to.
5. Write: each unit is read once more; kept documents, removed documents and evidence are written.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from megadata.corpus.dedup import components, evidence
from megadata.corpus.dedup.against import CollectKnown, FindKnownBands, FindKnownCopies, Known, estimates
from megadata.corpus.dedup.config import DedupConfig
from megadata.corpus.dedup.indexfile import Part
from megadata.corpus.dedup.ranges import FindCopies, FindEdges, FindStars, Saved, range_bytes, run_ranges
from megadata.corpus.dedup.records import Numbering
from megadata.corpus.dedup.saveindex import save_part
from megadata.corpus.dedup.survey import Collect, Survey
from megadata.corpus.dedup.verdicts import Found, Verdicts
from megadata.corpus.dedup.write import Write
from megadata.documents.ids import NOTE
from megadata.documents.job import Job
from megadata.documents.publish import Written, stream, write_shards
from megadata.documents.repeats import find_repeats
from megadata.kernels.base import U8
from megadata.runtime.exchange import Exchange
from megadata.runtime.executor import Executor
from megadata.runtime.files import atomic_write, read_json, write_json
from megadata.runtime.receipts import Receipt, content_name
from megadata.runtime.step import map_units, mark_spent
from megadata.runtime.units import Unit


class Phases:
    """One run over the phases; every phase passes over what an earlier run has left."""

    def __init__(
        self,
        job: Job,
        config: DedupConfig,
        executor: Executor,
        units: list[Unit],
        saved: Sequence[Part] = (),
        for_index: bool = False,
    ) -> None:
        self._job, self.config, self._settings, self._executor, self._units = job, config, job.settings, executor, units
        self._options = config.read
        self.labels, folder = job.inputs.apart, job.folder
        self._survey = folder / "survey"
        self._surveyed = self._map(Survey(self._survey, config, self._options), units, self._survey, "dedup: survey")
        self.folder = folder / content_name(self._surveyed)  # what follows depends on all bytes that were read
        self.folder.mkdir(parents=True, exist_ok=True)
        self._for_index = for_index
        self._known = Known.open(saved, len(units), self.folder / "known", config)
        documents = [int(r.counts["documents"]) for r in self._surveyed]
        self._numbering = Numbering.of(documents)
        self._numbering = Numbering.of(documents + self._look_up())
        self._verdicts = Verdicts(self.folder, self._numbering)

    def _map(self, task: Any, units: list[Unit], folder: Path, name: str) -> list[Receipt]:
        return map_units(self._executor, task, units, folder, self._settings.progress, name)

    def _look_up(self) -> list[int]:
        """Find what of the index takes part; how many documents of each of its parts."""
        if self._known.parts and not self._known.complete:
            parts: dict[str, Any] = {"parts": self._known.paths}
            pairs: dict[str, Any] = {"pairs": self._known.estimated, "remembered": self.config.remembered}
            copies = self._ranges(FindKnownCopies, "copies", "dedup: digests of the index", **parts)
            bands = []
            if not self.config.exact_only:
                bands = self._ranges(FindKnownBands, "bands", "dedup: bands of the index", **parts, **pairs)
            self._known.settle(copies, bands)
        return self._known.counts()

    @property
    def _repeats(self) -> Path:
        return self.folder / "repeats.npy"

    def decide(self) -> None:
        """Phases 2 to 4: leave the verdicts."""
        memory, progress = self._settings.memory, self._settings.progress
        if not self._verdicts.complete:
            ids = Exchange(self._survey / "ids", NOTE)
            number = find_repeats(self._executor, ids, self._repeats, memory)
            if number:
                progress.note(
                    f"{number} documents have ids that others have as well; they are qualified by their paths"
                )
            copies = self._ranges(FindCopies, "copies", "dedup: exact copies")
            stars: list[Saved] = []
            guessed: list[Found] = []
            if not self.config.exact_only:
                guessed = self._guess(copies)
                stars = self._near(copies, guessed)
            tally = sum((f["tally"] for f in stars), np.zeros(2, np.int64))
            counts = {"comparisons": int(tally[0]), "saturated": int(tally[1])}
            write_json(self.folder / "tally.json", counts, sync=False)
            self._verdicts.save(copies, stars, self._repeats, guessed)
        mark_spent(self._survey)
        for name in ("ids", "copies", "bands"):
            shutil.rmtree(self._survey / name, ignore_errors=True)
        for name in ("FindCopies", "FindEdges", "FindStars", "FindKnownCopies", "FindKnownBands", "collect"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for folder in (path for paths in self._known.exchanges.values() for path in paths):
            shutil.rmtree(folder, ignore_errors=True)

    def _ranges(self, kind: Any, exchange: str, name: str, below: Path | None = None, **more: Any) -> list[Saved]:
        task = kind(
            source=(below or self._survey) / exchange,
            target=self.folder / kind.__name__,
            numbering=self._numbering,
            memory=range_bytes(self._settings.memory, self._settings.workers),
            also=() if "parts" in more else self._known.exchanges[exchange],
            **more,
        )
        return run_ranges(self._executor, task, self._settings.memory, self._settings.progress, name)

    def _standing(self, copies: Sequence[Found]) -> U8:
        """uint8[N]: 0 for documents that something has removed."""
        standing = np.ones(self._numbering.documents, np.uint8)
        for found in copies:
            standing[found["removed"]] = 0
        return standing

    def _guess(self, copies: list[Saved]) -> list[Found]:
        """What is removed by an estimate, for parts of the index that can be verified with no more."""
        if not any(self._known.estimated):
            return []
        pairs: dict[str, Any] = {
            "parts": self._known.paths,
            "pairs": self._known.estimated,
            "remembered": self.config.remembered,
        }
        bands = self._ranges(FindKnownBands, "bands", "dedup: bands of the index", **pairs)
        known = self._ranges(FindKnownCopies, "copies", "dedup: digests of the index", parts=self._known.paths)
        return [estimates(self._known, known, bands, self._numbering, self._standing(copies), self.config)]

    def _near(self, copies: list[Saved], guessed: list[Found]) -> list[Saved]:
        company = self._company([*copies, *guessed])
        base = self._numbering.base.tolist()
        occupied = [u for u, low, high in zip(self._units, base, base[1:], strict=False) if company[low:high].any()]
        collect = self.folder / "collect"
        task = Collect(
            collect,
            self.config,
            self._options,
            self._numbering,
            self.folder / "components.npy",
            self.folder / "company.npy",
            self._survey,
        )
        self._map(task, occupied, collect, "dedup: collect candidates")
        wanted = self._known.shards(self._numbering, company)
        known = CollectKnown(self._known, self.config, self._numbering, self.folder / "components.npy")
        with self._settings.progress.stage("dedup: collect from the index", len(wanted), unit="shards") as stage:
            for _ in self._executor.run(known, wanted):
                stage.advance(1)
        return self._ranges(FindStars, "sets", "dedup: compare", collect, config=self.config)

    def _company(self, removed: Sequence[Found]) -> Any:
        """Components of documents that share band values, on disk; which documents have company in theirs."""
        path = self.folder / "company.npy"
        if not path.exists():
            parent = components.singles(self._numbering.documents)
            for found in self._ranges(FindEdges, "bands", "dedup: bands"):
                components.unite(parent, found["left"], found["right"])
            company = components.settle(parent, self._standing(removed))
            for name, array in (("components", parent), ("company", company)):
                with atomic_write(self.folder / f"{name}.npy", sync=False) as file:
                    np.save(file, array)
        return np.load(path, mmap_mode="r")

    def write(self) -> list[Written]:
        """Phase 5: parts of all units, put together to shards."""
        target = self.folder / "write"
        task = Write(
            target,
            self.config,
            self._options,
            self._verdicts,
            self._repeats,
            self.labels,
            self._survey,
            self._for_index,
        )
        form, size = self.config.form, self.config.shard_bytes
        return write_shards(self._job, self._executor, task, self._units, target, "dedup: write", form, size)

    def save_part(self, index: Path, output: Path, written: list[Written]) -> str:
        """Write a part of an index of all that is kept; its name."""
        streams = [stream(label, "kept") for label in self.labels or ("",)]
        plan_of = {(p.stream, p.ordinal): p for one in written for p in one.plans}
        shards = [
            (str(Path(s.stream).parent / s.name), s, plan_of[s.stream, int(s.name[5:10])])
            for one in written
            for s in one.shards
            if s.stream in streams
        ]
        notes, receipts, settings = written[0].folder / "index", written[0].receipts, self._settings
        return save_part(
            notes, index, output, self.config, receipts, shards, streams, settings.memory, settings.workers
        )

    def write_evidence(self, target: Path) -> int:
        """``duplicates.parquet``."""
        folder = self.folder / "write"
        return evidence.write_evidence(folder, target, self._settings.memory, self._settings.workers)

    def totals(self, receipts: list[Receipt]) -> dict[str, Any]:
        """Counters of all units, and of the comparisons."""
        counts: Counter[str] = Counter()
        for receipt in receipts:
            counts.update(receipt.counts)
        tally = read_json(self.folder / "tally.json")
        against = self._verdicts.removed_for(int(self._numbering.base[len(self._units)]))
        return {**{k: int(v) for k, v in sorted(counts.items())}, **tally, "against": against}
