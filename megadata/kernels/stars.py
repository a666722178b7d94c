"""Kernels of star deduplication: the best of equal texts, joining documents that share a band value, the verified greedy choice.

Letters: D documents, N bytes of their names, E edges, S shingles of all documents, B bands, G groups of equal band values, F
places of all groups.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I32, I64, U8, U16, U32, U64, helper, kernel, reads, writes

NONE = np.int64(-1)


@helper
def _before(names_N: U8, bounds: I64, left: int, right: int) -> bool:
    """Whether the name of one document is less than another's, byte by byte."""
    i, j = bounds[left], bounds[right]
    while i < bounds[left + 1] and j < bounds[right + 1]:
        if names_N[i] != names_N[j]:
            return bool(names_N[i] < names_N[j])
        i += 1
        j += 1
    return bool(bounds[left + 1] - bounds[left] < bounds[right + 1] - bounds[right])


@kernel(
    reads(np.uint64, 2),
    reads(np.uint16),
    reads(np.uint32),
    reads(np.uint32),
    reads(np.uint8),
    reads(np.int64),
    writes(np.int64),
)
def elect(digests_D2: U64, priority_D: U16, rank_D: U32, tie_D: U32, names_N: U8, bounds: I64, keeper_D: I64) -> None:
    """Choose, among neighbours with equal digests, the one of least priority, then rank, then tie, then name."""
    start = 0
    size = digests_D2.shape[0]
    while start < size:
        stop = start + 1
        best = start
        while (
            stop < size and digests_D2[stop, 0] == digests_D2[start, 0] and digests_D2[stop, 1] == digests_D2[start, 1]
        ):
            if priority_D[stop] != priority_D[best]:
                better = priority_D[stop] < priority_D[best]
            elif rank_D[stop] != rank_D[best]:
                better = rank_D[stop] < rank_D[best]
            elif tie_D[stop] != tie_D[best]:
                better = tie_D[stop] < tie_D[best]
            else:
                better = _before(names_N, bounds, stop, best)
            if better:
                best = stop
            stop += 1
        for d in range(start, stop):
            keeper_D[d] = best
        start = stop


@helper
def _root(parent_D: U32, document: np.int64) -> np.int64:
    """Least document of a component; paths are halved on the way."""
    at = document
    while np.int64(parent_D[at]) != at:
        parent_D[at] = parent_D[parent_D[at]]
        at = np.int64(parent_D[at])
    return at


@kernel(reads(np.uint32), reads(np.uint32), writes(np.uint32))
def unite(left_E: U32, right_E: U32, parent_D: U32) -> None:
    """Join the components of both ends of every edge; the least document is the root, so edges may come in any order."""
    for edge in range(left_E.size):
        left = _root(parent_D, np.int64(left_E[edge]))
        right = _root(parent_D, np.int64(right_E[edge]))
        if left < right:
            parent_D[right] = np.uint32(left)
        else:
            parent_D[left] = np.uint32(right)


@kernel(writes(np.uint32), reads(np.uint8), writes(np.uint8))
def crowd(parent_D: U32, counts_D: U8, members_D: U8) -> None:
    """Point every document at its root, and count at each root, up to 2, the members for which `counts_D` is set."""
    for d in range(parent_D.size):
        root = np.int64(parent_D[parent_D[d]])  # roots are never larger, so the parent's is final
        parent_D[d] = np.uint32(root)
        if counts_D[d] and members_D[root] < 2:
            members_D[root] += np.uint8(1)


@helper
def _shared(
    shingles_S: U64, left: np.int64, left_stop: np.int64, right: np.int64, right_stop: np.int64, need: int
) -> int:
    """Size of the intersection of two sorted sets; -1 as soon as it cannot reach `need`."""
    found = 0
    spare = min(left_stop - left, right_stop - right) - need
    if spare < 0:
        return -1
    left_spare, right_spare = left_stop - left - need, right_stop - right - need
    while left < left_stop and right < right_stop:
        a, b = shingles_S[left], shingles_S[right]
        if a == b:
            found += 1
            left += 1
            right += 1
        elif a < b:
            left += 1
            left_spare -= 1
            if left_spare < 0:
                return -1
        else:
            right += 1
            right_spare -= 1
            if right_spare < 0:
                return -1
    return found


@kernel(
    reads(np.uint64),
    reads(np.int64),
    reads(np.int64),
    reads(np.int32, 2),
    reads(np.int64),
    reads(np.uint8),
    np.int64,
    np.int64,
    np.bool_,
    np.int64,
    writes(np.int32),
    writes(np.int32),
    writes(np.int64),
    writes(np.int64),
    writes(np.int64),
)
def stars(
    shingles_S: U64,
    starts_D: I64,
    stops_D: I64,
    groups_DB: I32,
    places_G: I64,
    stays_D: U8,
    numerator: int,
    denominator: int,
    containment: bool,
    remembered: int,
    filled_G: I32,
    kept_F: I32,
    keeper_D: I64,
    shared_D: I64,
    counts: I64,
) -> None:
    """Decide for every document, in rank order, whether a kept one that shares a band value with it is similar.

    Document d has the sorted set shingles[starts[d]:stops[d]]. Row d of `groups_DB` holds, for each band, the group of documents
    with the same band value, or -1 where d is alone. Each group remembers its first kept documents, up to `remembered`, at
    kept[places[g]:places[g + 1]]. Similar means that intersection over union (or, with `containment`, over the set of the later
    document) is at least numerator / denominator, in integers. Documents for which `stays_D` is set are
    kept without a look at others.

    `keeper_D` gets the similar kept document of least rank, -1 for kept documents; `shared_D` the size of the intersection;
    `counts` how many comparisons were made, and how often a kept document found a group full.
    """
    bands = groups_DB.shape[1]
    heads = np.empty(bands, np.int64)
    for v in range(groups_DB.shape[0]):
        keeper_D[v], shared_D[v] = NONE, 0
        size = stops_D[v] - starts_D[v]
        for band in range(bands):
            heads[band] = 0
        while stays_D[v] == 0:
            u = NONE
            for band in range(bands):
                group = np.int64(groups_DB[v, band])
                if group >= 0 and heads[band] < filled_G[group]:
                    other = np.int64(kept_F[places_G[group] + heads[band]])
                    if u < 0 or other < u:
                        u = other
            if u < 0:
                break
            for band in range(bands):
                group = np.int64(groups_DB[v, band])
                if group >= 0 and heads[band] < filled_G[group] and kept_F[places_G[group] + heads[band]] == u:
                    heads[band] += 1
            if containment:
                need = (numerator * size + denominator - 1) // denominator
            else:
                both = size + stops_D[u] - starts_D[u]
                need = (numerator * both + numerator + denominator - 1) // (numerator + denominator)
            counts[0] += 1
            found = _shared(shingles_S, starts_D[u], stops_D[u], starts_D[v], stops_D[v], need)
            if found >= 0 and found >= need:
                keeper_D[v], shared_D[v] = u, found
                break
        if keeper_D[v] >= 0:
            continue
        for band in range(bands):
            group = np.int64(groups_DB[v, band])
            if group < 0:
                continue
            if filled_G[group] < remembered:
                kept_F[places_G[group] + filled_G[group]] = v
                filled_G[group] += 1
            else:
                counts[1] += 1
