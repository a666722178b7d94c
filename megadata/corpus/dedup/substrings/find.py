"""Where each repeated window occurs first, a range of anchors at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from megadata.corpus.dedup import records
from megadata.corpus.dedup.substrings.stretches import RUN, STRETCH
from megadata.kernels import substrings as kernels
from megadata.kernels.base import I64
from megadata.runtime.exchange import Exchange, KeyRange, Partition

_ROOM = 18
"""Bytes that a window takes in the table: places are half as many again as windows."""
SHARE = 3
"""Of the memory that a range of the exchange may take, one part in so many is stretches; the rest is what is made of them."""
_LEAST = 64


@dataclass(frozen=True, slots=True)
class FindFirst:
    """Task on key ranges: leaves a run of `RUN`."""

    source: Path
    target: Path
    length: int
    memory: int
    """Bytes that a worker may take."""

    def __call__(self, key_range: KeyRange) -> None:
        """Do one range, unless it is done."""
        target = Exchange(self.target, RUN)
        if target.has(key_range.ordinal):
            return
        scratch = self.target / "scratch" if key_range.bytes > self.memory // SHARE else None
        part = Exchange(self.source, STRETCH).read(key_range, scratch)
        found = records.Run(RUN)
        leads = np.ascontiguousarray(part.records["lead"], np.int64)
        windows = np.ascontiguousarray(part.records["windows"], np.int64)
        for low, high in self._blocks(leads, windows):
            self._block(part, leads, windows, low, high, found)
        found.write(target, key_range.ordinal, with_payload=True)

    def _blocks(self, leads: I64, windows: I64) -> list[tuple[int, int]]:
        """Distances of anchors that are looked at together: windows whose anchors are at different ones are not equal."""
        most = int(leads.max(initial=-1)) + 1
        changes = np.zeros(most + 1, np.int64)  # windows at each distance, as differences
        np.add.at(changes, leads - windows + 1, 1)
        np.add.at(changes, leads + 1, -1)
        blocks, first, held = [], 0, 0
        for distance, number in enumerate(np.cumsum(changes)[:most].tolist()):
            if held and (held + number) * _ROOM > self.memory // 2:
                blocks.append((first, distance))
                first, held = distance, 0
            held += number
        return [*blocks, (first, most)] if held else blocks

    def _block(self, part: Partition, leads: I64, windows: I64, low: int, high: int, found: records.Run) -> None:
        """Find the windows whose anchors are `low` to `high` bytes behind their beginning."""
        rows, starts = part.records, part.offsets[:-1]
        total = int((np.minimum(windows, leads - low + 1) - np.maximum(0, leads - high + 1)).clip(0).sum())
        places = total + total // 2 + _LEAST
        table, tags = np.full(places, -1, np.int64), np.empty(places, np.uint32)
        stretch, first, last, place = (np.empty(total, np.int64) for _ in range(4))
        count = kernels.repeated_windows(
            part.payload, starts, windows, leads, self.length, low, high, table, tags, stretch, first, last, place
        )
        if count == 0:
            return
        stretch, first, last, place = (column[:count].copy() for column in (stretch, first, last, place))
        other = np.searchsorted(starts, place, side="right") - 1
        names = np.stack([starts + windows + self.length - 1, part.offsets[1:]], axis=1).ravel()
        payload, bounds = records.pick(part.payload, names, other * 2)
        found.add(
            payload,
            np.diff(bounds),
            key=rows["unit"][stretch],
            head=rows["head"][stretch],
            unit=rows["unit"][other],
            index=rows["index"][other],
            start=rows["start"][other] + (place - starts[other]).astype(np.uint64),
            **{"from": first, "to": last},
        )
