"""From tokens back to samples: at which numbers a run shows a range of tokens, in closed form.

The inverse of `order` and `mixture`: a window's place in the order of its epoch follows through the Feistel network backwards,
and the number of a source's q-th sample through the tree upwards. Nothing is searched, whatever the run has drawn.
"""

from __future__ import annotations

import numpy as np

from megadata.indexed.mixture import Segment, Tree
from megadata.indexed.order import (
    BLOCK_KEY,
    GROUP_KEY,
    I64,
    LOCAL_GROUP_BLOCKS,
    U64,
    Windows,
    mix64,
    unpermute,
)


def unpermute_locally(places: U64, sizes: U64, keys: U64, blocks_of: U64) -> U64:
    """The inverse of `permute_locally`, elementwise."""
    one, per_group = np.uint64(1), np.uint64(LOCAL_GROUP_BLOCKS)
    blocks: U64 = sizes // blocks_of
    last_group: U64 = np.maximum(blocks // per_group, one) - one
    group = last_group.copy()
    inside: U64 = places - last_group * per_group * blocks_of  # right for the windows after the last whole block
    whole = np.flatnonzero(places < blocks * blocks_of)
    block = unpermute(places[whole] // blocks_of[whole], blocks[whole], mix64(keys[whole], BLOCK_KEY))
    group[whole] = np.minimum(block // per_group, last_group[whole])
    inside[whole] = (block - group[whole] * per_group) * blocks_of[whole] + places[whole] % blocks_of[whole]
    first: U64 = group * per_group * blocks_of
    size: U64 = np.where(group == last_group, sizes - first, per_group * blocks_of)
    return first + unpermute(inside, size, mix64(keys, GROUP_KEY, group))


def ranks_showing(windows: Windows, source: int, start: int, stop: int, width: int, ranks: int) -> I64:
    """Which of the first `ranks` samples of a source show any of the tokens start, ..., stop - 1 of its stream.

    Parameters
    ----------
    windows : Windows
    source : int
    start, stop : int
        Tokens of the source's stream.
    width : int
        Tokens of a sample that count, from its window's start on: L, or L + 1 with its last label.
    ranks : int
        Samples the source has given.

    Returns
    -------
    int64 array, rising
    """
    tokens, per_epoch = int(windows.tokens[source]), int(windows.per_epoch[source])
    epochs = np.arange(-(-ranks // per_epoch), dtype=np.uint64)
    if not epochs.size or stop <= start:
        return np.empty(0, np.int64)
    keys, phases = windows.epoch_keys(np.full(epochs.size, source), epochs)
    at = (start - phases.astype(np.int64)) % tokens
    turns = np.concatenate([at - tokens, at, at + tokens])  # the stream is a circle
    first = np.maximum(0, (turns - width) // windows.sequence_length + 1)
    last = np.minimum(per_epoch - 1, (turns + stop - start - 1) // windows.sequence_length)
    count = np.maximum(0, last - first + 1)
    number = np.repeat(np.tile(epochs.astype(np.int64), 3), count)
    places = (np.arange(number.size) + np.repeat(first - np.cumsum(count) + count, count)).astype(np.uint64)
    sizes = np.full(places.size, per_epoch, np.uint64)
    if windows.blocks_of is None:
        slots = unpermute(places, sizes, keys[number])
    else:
        blocks_of = np.full(places.size, windows.blocks_of[source], np.uint64)
        slots = unpermute_locally(places, sizes, keys[number], blocks_of)
    out: I64 = np.unique(number * per_epoch + slots.astype(np.int64))
    return out[out < ranks]


def ascend(tree: Tree, source: int, ranks: I64) -> I64:
    """The number of each of a source's samples among those of all sources: the inverse of `Tree.descend`."""
    at = int(np.flatnonzero(tree.source == source)[0])
    out = ranks.astype(np.int64)
    while at:
        parent = int(np.flatnonzero((tree.left == at) | (tree.right == at))[0])
        is_left = int(tree.left[parent]) == at
        weight, part = int(tree.weight[parent]), int(tree.weight[at])
        rounds, rest = np.divmod(out, part)
        twice, inside = 2 * part, weight * (2 * rest + 1)
        out = rounds * weight + (-(-inside // twice) - 1 if is_left else inside // twice)
        at = parent
    return out


def numbers_of(segments: list[Segment] | tuple[Segment, ...], source: int, ranks: I64) -> I64:
    """The sample numbers of the given samples of a source; those that no segment gives are left out."""
    found = []
    for segment in segments:
        if segment.weights[source]:
            last = segment.counts(segment.stop)[source]
            mine = ranks[(ranks >= segment.base[source]) & (ranks < last)]
            found.append(segment.start + ascend(segment.tree, source, mine - segment.base[source]))
    return np.concatenate(found) if found else np.empty(0, np.int64)
