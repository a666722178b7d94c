"""What became of every document, from the findings of all ranges: who was removed, for whom, and how large each cluster is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from megadata.corpus.dedup import records
from megadata.corpus.dedup.records import Numbering
from megadata.documents.ids import qualified
from megadata.documents.repeats import repeats_of
from megadata.kernels.base import I64, U8, U32
from megadata.runtime.files import atomic_write

EXACT, NEAR, ESTIMATED = RULES = ("exact", "minhash", "minhash_estimated")
"""What removes documents: equal normalised texts, a verified similarity, or one estimated from signatures alone."""

VERDICT = np.dtype(
    [("removed", "<u4"), ("weight", "<u4"), ("kept", "<u4"), ("shared", "<u4"), ("total", "<u4"), ("rule", "u1")]
)
"""A removed document and its weight, the one kept for it, and their similarity as a fraction; sorted by `removed`."""

CLUSTER = np.dtype([("kept", "<u4"), ("size", "<u4")])
"""A kept document that others were removed for, and how many documents it now stands for; sorted by `kept`."""


class Found(Protocol):
    """What one key range found, see `ranges`."""

    def __getitem__(self, name: str) -> NDArray[Any]:
        """One of the arrays."""


def _rows(found: Found, rule: str) -> NDArray[np.void]:
    rows = np.empty(found["removed"].size, VERDICT)
    for name in ("removed", "weight", "kept"):
        rows[name] = found[name]
    rows["rule"] = RULES.index(rule)
    rows["shared"], rows["total"] = (1, 1) if rule == EXACT else (found["shared"], found["total"])
    return rows


def assemble(copies: Sequence[Found], stars: Sequence[Found], guessed: Sequence[Found] = ()) -> NDArray[np.void]:
    """All verdicts, sorted by the removed document.

    An exact copy of a document that was itself removed as a near copy is credited to the one that stays: they were compared,
    because equal normalised texts have equal shingles.
    """
    exact = np.concatenate([np.empty(0, VERDICT), *(_rows(f, EXACT) for f in copies)])
    similar = [*(_rows(f, NEAR) for f in stars), *(_rows(f, ESTIMATED) for f in guessed)]
    near = np.concatenate([np.empty(0, VERDICT), *similar])
    near = near[np.argsort(near["removed"])]
    if near.size:
        at = np.minimum(np.searchsorted(near["removed"], exact["kept"]), near.size - 1)
        moved = near["removed"][at] == exact["kept"]
        for name in ("kept", "shared", "total", "rule"):
            exact[name][moved] = near[name][at[moved]]
    verdicts = np.concatenate([exact, near])
    del exact, near
    return verdicts[np.argsort(verdicts["removed"])]


def clusters_of(verdicts: NDArray[np.void], found: Sequence[Found]) -> NDArray[np.void]:
    """Clusters of more than one document, with the weights of all of their documents together."""
    kept, row = np.unique(verdicts["kept"], return_inverse=True)
    keepers = np.concatenate([np.zeros(0, np.uint32), *(f["keepers"] for f in found)])
    own = np.concatenate([np.zeros(0, np.uint32), *(f["own"] for f in found)])
    keepers, first = np.unique(keepers, return_index=True)
    sizes = np.bincount(row, verdicts["weight"], kept.size) + own[first][np.searchsorted(keepers, kept)]
    clusters = np.empty(kept.size, CLUSTER)
    clusters["kept"], clusters["size"] = kept, np.minimum(sizes, (1 << 32) - 1)
    return clusters


def names_of(clusters: NDArray[np.void], found: Sequence[Found]) -> tuple[U8, I64]:
    """Name (id, zero byte, path) of the kept document of every cluster, as ragged bytes."""
    keepers = np.concatenate([np.zeros(0, np.uint32), *(f["keepers"] for f in found)])
    data = np.concatenate([np.zeros(0, np.uint8), *(f["names"] for f in found)]).astype(np.uint8)
    lengths = np.concatenate([np.zeros(0, np.int64), *(np.diff(f["bounds"]) for f in found)])
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    order = np.argsort(keepers, kind="stable")
    rows = order[np.searchsorted(keepers[order], clusters["kept"])] if clusters.size else np.zeros(0, np.int64)
    return records.pick(data, bounds, rows.astype(np.int64))


def _final_names(
    clusters: NDArray[np.void], names: U8, bounds: I64, numbering: Numbering, repeats: Path
) -> tuple[U8, I64]:
    units = np.searchsorted(numbering.base, clusters["kept"], side="right") - 1
    if not np.isin(units, np.load(repeats, mmap_mode="r")["unit"]).any():
        return _own_ids(names, bounds)
    final: list[bytes] = []
    known, occurrences = -1, dict[tuple[str, int], int]()
    raw = names.tobytes()
    for row, unit in enumerate(units.tolist()):
        if unit != known:
            known, occurrences = unit, repeats_of(repeats, unit)
        own, _, path = raw[bounds[row] : bounds[row + 1]].partition(b"\0")
        if occurrences:
            index = int(clusters["kept"][row]) - int(numbering.base[unit])
            own = qualified(own.decode(), path.decode(), occurrences.get(("kept", index))).encode()
        final.append(own)
    lengths = np.array([len(name) for name in final], np.int64)
    return np.frombuffer(b"".join(final), np.uint8), np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def _own_ids(names: U8, bounds: I64) -> tuple[U8, I64]:
    """The part of each name before its zero byte, without a Python object for each: there may be a hundred million."""
    zeros = np.flatnonzero(names == 0)
    ends = zeros[np.searchsorted(zeros, bounds[:-1])]
    return records.pick(names, np.stack([bounds[:-1], ends], axis=1).ravel(), np.arange(ends.size) * 2)


@dataclass(frozen=True, slots=True)
class Fates:
    """Verdicts of one unit, by place in it."""

    keeper: U32
    """uint32[D]: row of the cluster that a document belongs to as a removed one; the number of clusters where it stays."""
    rule: U8
    """uint8[D]: place in `RULES` of what removed a document."""
    similarity: NDArray[np.float64]
    size: U32
    """uint32[D]: documents that a kept document stands for, 0 where nothing was removed for it."""
    kept_ids: list[str]
    """Ids of the kept documents of the clusters in `rows`."""
    kept_sizes: I64


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The verdicts on disk, for tasks to look up their unit."""

    folder: Path
    numbering: Numbering

    def save(
        self, copies: Sequence[Found], stars: Sequence[Found], repeats: Path, guessed: Sequence[Found] = ()
    ) -> None:
        """Assemble and write everything; ``verdicts.npy`` comes last and says that all is there."""
        verdicts = assemble(copies, stars, guessed)
        found = [*copies, *stars, *guessed]
        clusters = clusters_of(verdicts, found)
        names, bounds = names_of(clusters, found)
        names, bounds = _final_names(clusters, names, bounds, self.numbering, repeats)
        for name, array in (("clusters", clusters), ("names", names), ("bounds", bounds), ("verdicts", verdicts)):
            with atomic_write(self.folder / f"{name}.npy", sync=False) as file:
                np.save(file, array)

    @property
    def complete(self) -> bool:
        """Whether an earlier run wrote them."""
        return (self.folder / "verdicts.npy").exists()

    def removed_for(self, first: int) -> int:
        """How many documents were removed for those numbered `first` and up, which are those of an index."""
        return int((self._load("verdicts")["kept"] >= first).sum())

    def _load(self, name: str) -> NDArray[np.void]:
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")  # type: ignore[no-any-return]

    def of(self, unit: int) -> Fates:
        """What became of the documents of one unit."""
        first, last = self.numbering.span(unit)
        verdicts, clusters = self._load("verdicts"), self._load("clusters")
        names, bounds = self._load("names"), self._load("bounds")
        low, high = np.searchsorted(verdicts["removed"], [first, last])
        mine = verdicts[low:high]
        at = mine["removed"].astype(np.int64) - first
        rows, row = np.unique(np.searchsorted(clusters["kept"], mine["kept"]), return_inverse=True)
        keeper = np.full(last - first, rows.size, np.uint32)
        rule = np.zeros(last - first, np.uint8)
        similarity, size = np.zeros(last - first), np.zeros(last - first, np.uint32)
        keeper[at], rule[at] = row, mine["rule"]
        similarity[at] = mine["shared"] / mine["total"]
        low, high = np.searchsorted(clusters["kept"], [first, last])
        size[clusters["kept"][low:high].astype(np.int64) - first] = clusters["size"][low:high]
        ids = [bytes(names[int(bounds[r]) : int(bounds[r + 1])]).decode() for r in rows.tolist()]
        return Fates(keeper, rule, similarity, size, ids, clusters["size"][rows].astype(np.int64))
