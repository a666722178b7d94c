"""Megatron-core's arrays, element by element, without its C++: documents, samples, their order, and the datasets they come from.

What `GPTDataset` and `BlendedDataset` compute (megatron-core 0.16, ``megatron/core/datasets``): E epochs of the sequences are
shuffled together (`document_index`) and cut into samples of L tokens that share one token with the next (`sample_index`), the
samples are shuffled (`shuffle_index`), and a blend takes at each step the next sample of the dataset that lags its weight most
(`Greedy`). All follow from the number of samples a run asks for, so a longer run has another order, as in Megatron.
Letters: C sequences of a dataset, E epochs, T tokens of an epoch, L tokens of a sample, N samples, D datasets.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megadata.errors import ConfigError
from megadata.indexed.order import I64

SURPLUS = 0.005
"""Megatron's `mid_level_dataset_surplus`: how many more samples each dataset of a blend is built with."""
SEPARATE_BELOW = 0.80
"""A last epoch of which less than this part is needed is shuffled by itself."""
CHUNK = 1 << 20
"""Documents whose lengths are summed at a time."""
BLOCK = 1 << 13
"""Steps of a blend that are computed together."""
KEPT_BLOCKS = 16

Integer = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Epochs:
    """How often a dataset is gone through, and whether the last time is shuffled apart."""

    count: int
    tokens: int
    """Tokens of one epoch."""
    length: int
    """Tokens of a sample."""
    apart: int | None
    """Samples before the last epoch, where that is shuffled apart."""

    @staticmethod
    def of(tokens: int, length: int, samples: int | None) -> Epochs:
        """As many epochs as `samples` samples of `length` tokens and one label need; one where `samples` is None."""
        if samples is None:
            return Epochs(1, tokens, length, None)
        count = max(1, -(-(samples * length + 1) // tokens))
        if count == 1:
            return Epochs(1, tokens, length, None)
        before = ((count - 1) * tokens - 1) // length
        threshold = int(SEPARATE_BELOW * ((tokens - 1) // length))
        return Epochs(count, tokens, length, before if samples - before < threshold else None)

    @property
    def samples(self) -> int:
        """Samples that all epochs give."""
        return (self.count * self.tokens - 1) // self.length


def document_index(sequences: range, epochs: Epochs, random: np.random.RandomState) -> NDArray[np.int32]:
    """The sequences of all epochs, shuffled; int32, shape (E * C,)."""
    once = np.arange(sequences.start, sequences.stop, dtype=np.int32)
    if epochs.apart is None:
        whole = np.tile(once, epochs.count)
        random.shuffle(whole)
        return whole
    whole = np.tile(once, epochs.count)
    last = (epochs.count - 1) * once.size
    random.shuffle(whole[:last])
    random.shuffle(whole[last:])
    return whole


def sample_index(lengths: Integer, documents: Integer, epochs: Epochs) -> Integer:
    """Where each sample starts: place in `documents` and token in that document.

    Parameters
    ----------
    lengths : int32 array
        Tokens of each sequence of the dataset.
    documents : int32 array, shape (E * C,)
        The sequences in their shuffled order.
    epochs : Epochs

    Returns
    -------
    int32 array, shape (N + 1, 2); int64 where a place does not fit
        Row k holds token k * L of the shuffled stream: the last token of sample k - 1 and the first of sample k.
    """
    largest = max(documents.size, int(lengths.max()) if len(lengths) else 0)
    dtype = np.int32 if largest <= np.iinfo(np.int32).max else np.int64
    out = np.zeros((epochs.samples + 1, 2), dtype)
    before, row = 0, 1  # row 0 is the very first document, even where it is empty
    for first in range(0, documents.size, CHUNK):
        ends = np.cumsum(lengths[documents[first : first + CHUNK]], dtype=np.int64)
        ends += before
        stop = min(epochs.samples + 1, -(-int(ends[-1]) // epochs.length))
        if stop > row:
            tokens = np.arange(row, stop, dtype=np.int64) * epochs.length
            place = np.searchsorted(ends, tokens, side="right")
            starts = np.where(place > 0, ends[place - 1], before)
            out[row:stop, 0] = first + place
            out[row:stop, 1] = tokens - starts
            row = stop
        before = int(ends[-1])
    return out


def shuffle_index(epochs: Epochs, random: np.random.RandomState) -> Integer:
    """The order of the samples; uint32, or int64 where a number does not fit; shape (N,)."""
    whole = np.arange(epochs.samples, dtype=np.int64 if epochs.samples >= np.iinfo(np.uint32).max - 1 else np.uint32)
    if epochs.apart is None:
        random.shuffle(whole)
    else:
        random.shuffle(whole[: epochs.apart])
        random.shuffle(whole[epochs.apart :])
    return whole


def split_range(split: Sequence[int] | None, part: int, sequences: int) -> range:
    """The sequences of one part of a dataset: Megatron's ``--split``, in its floating-point arithmetic."""
    if split is None:
        return range(sequences if part == 0 else 0)
    bounds = [0.0]
    for share in normalize([float(value) for value in split]):
        bounds.append(bounds[-1] + share)
    start, stop = (round(bound * float(sequences)) for bound in bounds[part : part + 2])
    return range(start, stop)


def normalize(weights: Sequence[float]) -> list[float]:
    """Weights that sum to one, rounded as Megatron rounds them."""
    array = np.array(weights, dtype=np.float64)
    return (array / np.sum(array)).tolist()  # type: ignore[no-any-return]


def sizes_of(weights: Sequence[float], samples: int, surplus: float = 0.0) -> list[int]:
    """Samples each dataset of a blend gives, or with a surplus is built with; `weights` sum to one."""
    return [math.ceil(math.ceil(samples * weight) * (1 + surplus)) for weight in weights]


class Greedy:
    """Which dataset gives sample k of a blend, and which of its samples that is.

    At step k the dataset with the largest ``weight * max(k, 1) - given`` is next, the first of equals. The rule goes step by
    step; blocks of steps are computed when they are asked for, and what was given before each block is remembered, so nothing is
    computed at the start and going back costs one block.

    Parameters
    ----------
    weights : sequence of float, length D
        They sum to one.
    size : int
        Samples of the blend.
    exhaust : sequence of int, optional
        Samples after which each dataset gives no more: Megatron's exhaustive blend.
    """

    def __init__(self, weights: Sequence[float], size: int, exhaust: Sequence[int] | None = None) -> None:
        self.weights = np.array(weights, np.float64)
        self.size = size
        self.exhaust = None if exhaust is None else np.array(exhaust, np.int64)
        self._before: dict[int, I64] = {0: np.zeros(self.weights.size, np.int64)}
        self._blocks: OrderedDict[int, tuple[NDArray[np.int16], I64]] = OrderedDict()
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            return {**self.__dict__, "_before": dict(self._before), "_blocks": OrderedDict(), "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    def find(self, steps: I64) -> tuple[NDArray[np.int16], I64]:
        """Dataset of each step and its sample; int16 and int64 arrays, shape (N,), for steps below `size`."""
        if self.weights.size == 1:
            return np.zeros(steps.shape, np.int16), steps.astype(np.int64)
        datasets, samples = np.empty(steps.shape, np.int16), np.empty(steps.shape, np.int64)
        blocks, places = np.divmod(steps, BLOCK)
        for block in np.unique(blocks).tolist():
            mine = blocks == block
            found = self._block(block)
            datasets[mine], samples[mine] = found[0][places[mine]], found[1][places[mine]]
        return datasets, samples

    def steps_of(self, dataset: int, samples: I64, before: int) -> I64:
        """The steps below `before` that give one of some samples of a dataset; int64, rising."""
        if self.weights.size == 1:
            return np.sort(samples[samples < before])
        found = [np.empty(0, np.int64)]
        for block in range(-(-before // BLOCK)):
            datasets, ranks = self._block(block)
            found.append(np.flatnonzero((datasets == dataset) & np.isin(ranks, samples)) + block * BLOCK)
        steps = np.concatenate(found)
        return steps[steps < before]

    def counts(self, step: int) -> I64:
        """Samples each dataset gave before `step`; int64, shape (D,)."""
        if self.weights.size == 1:
            return np.array([step], np.int64)
        block, rest = divmod(step, BLOCK)
        with self._lock:
            self._go_to(block)
            given = self._before[block].copy()
            if rest:
                given += np.bincount(self._block(block)[0][:rest], minlength=given.size)
            return given

    def mark(self, step: int) -> tuple[int, list[int]]:
        """The last step at most `step` from which `resume` can go on, and what each dataset gave before it."""
        first = step // BLOCK * BLOCK
        return first, self.counts(first).tolist()

    def resume(self, step: int, given: Sequence[int]) -> None:
        """Know what `mark` told, so that no step before it need be gone through."""
        if step % BLOCK == 0 and len(given) == self.weights.size:
            with self._lock:
                self._before.setdefault(step // BLOCK, np.array(given, np.int64))

    def _go_to(self, block: int) -> None:
        """Know what was given before a block."""
        known = max(number for number in self._before if number <= block)
        for number in range(known, block):
            self._compute(number)

    def _block(self, block: int) -> tuple[NDArray[np.int16], I64]:
        with self._lock:
            if block not in self._blocks:
                self._go_to(block)
                self._compute(block)
            self._blocks.move_to_end(block)
            return self._blocks[block]

    def _compute(self, block: int) -> None:
        first = block * BLOCK
        stop = min(first + BLOCK, self.size)
        before = self._before[block]
        chosen = self._choose(np.arange(first, stop, dtype=np.float64), before)
        # The rank of a step among those of its dataset: sorted by dataset, steps stand in order.
        order = np.argsort(chosen, kind="stable")
        counts = np.bincount(chosen, minlength=before.size)
        ranks = np.empty(chosen.size, np.int64)
        ranks[order] = np.arange(chosen.size) - np.repeat(np.cumsum(counts) - counts, counts)
        self._blocks[block] = (chosen.astype(np.int16), ranks + before[chosen])
        self._before[block + 1] = before + counts
        while len(self._blocks) > KEPT_BLOCKS:
            self._blocks.popitem(last=False)

    def _choose(self, steps: NDArray[np.float64], before: I64) -> NDArray[np.int64]:
        """The dataset of each step, one after the other."""
        wanted = np.maximum(steps, 1.0)[:, None] * self.weights
        given = before.astype(np.float64)
        limit = None if self.exhaust is None else self.exhaust.astype(np.float64).tolist()
        if self.exhaust is not None:
            given[before >= self.exhaust] = np.inf
        lag = np.empty_like(given)
        chosen = []
        for row in wanted:
            np.subtract(row, given, out=lag)
            one = int(lag.argmax())
            chosen.append(one)
            given[one] += 1.0
            if limit is not None and given[one] == limit[one]:
                given[one] = np.inf
        return np.array(chosen, np.int64)


def check_enough(greedy: Greedy, available: Sequence[int], names: Sequence[str]) -> None:
    """Refuse a blend that asks a dataset for more samples than it was built with, as Megatron does.

    The largest lag is never negative, so a dataset gives at most ``weight * step + 1`` samples; only where that may be too many
    is the blend gone through.

    Raises
    ------
    ConfigError
        It names the dataset and both numbers.
    """
    most = np.floor(greedy.weights * max(0, greedy.size - 1) + 1.001)
    if greedy.exhaust is not None or not (most > np.array(available)).any():
        return
    for name, asked, has in zip(names, greedy.counts(greedy.size).tolist(), available, strict=True):
        if asked > has:
            raise ConfigError(
                f"blend: Megatron's order asks source {name!r} for {asked} samples, it is built with {has}; "
                "raise order.surplus, which is Megatron's mid_level_dataset_surplus"
            )
