"""Which documents could be compared at all: those that share a band value, directly or through others.

A component is a way to cut the work, nothing else: documents of different components share no band value, so each component is
decided alone. Who is kept inside one is decided by `stars`, never by the component.
"""

from __future__ import annotations

import numpy as np

from megadata.errors import CorpusError
from megadata.kernels import stars as kernels
from megadata.kernels.base import U8, U32, U64, Bool

MOST_DOCUMENTS = (1 << 32) - 1


def singles(documents: int) -> U32:
    """uint32[D]: every document its own component."""
    if documents > MOST_DOCUMENTS:
        raise CorpusError(
            f"dedup: expected at most {MOST_DOCUMENTS} documents in one run, found {documents}; split the input"
        )
    return np.arange(documents, dtype=np.uint32)


def edges(values: U64, documents: U32) -> tuple[U32, U32]:
    """Neighbours with equal band values, as both ends of edges; `values` are sorted."""
    same = values[1:] == values[:-1]
    return documents[:-1][same], documents[1:][same]


def unite(parent: U32, left: U32, right: U32) -> None:
    """Join the components of both ends of every edge, in place."""
    kernels.unite(left, right, parent)


def settle(parent: U32, standing: U8) -> Bool:
    """Point every document at the least one of its component, in place; which documents have company in theirs.

    `standing` is 1 for documents that take part (exact copies of others do not, their keeper stands for them).
    """
    members = np.zeros(parent.size, np.uint8)
    kernels.crowd(parent, standing, members)
    result: Bool = (members[parent] > 1) & (standing > 0)
    return result
