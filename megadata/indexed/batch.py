"""`Batch`: what a model is fed, and how token windows become one for next-token prediction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from megadata.errors import ConfigError
from megadata.indexed.order import I64

IGNORED = -100
"""Label of a token whose prediction does not count; what PyTorch's cross entropy ignores."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Samples as a model takes them. Letters: B samples, L tokens of a sample, M documents of the sample that has most."""

    input_ids: I64
    """Shape (B, L)."""
    labels: I64
    """What each token is to predict; -100: nothing. Shape (B, L)."""
    loss_mask: NDArray[np.float32]
    """Weight of each token's loss, shape (B, L)."""
    position_ids: I64
    """Shape (B, L)."""
    document_lengths: NDArray[np.int32]
    """Tokens that may attend to each other, document by document, 0 after the last; shape (B, M). Without document masking one
    document of L tokens; for BERT the tokens that are not padding."""
    token_type_ids: I64 | None = None
    """BERT: 0 in segment A, 1 in segment B; shape (B, L)."""
    is_swapped: NDArray[np.bool_] | None = None
    """BERT: whether the segments stand in the wrong order; shape (B,)."""

    def __len__(self) -> int:
        return int(self.input_ids.shape[0])

    def rows(self, start: int, stop: int) -> Batch:
        """Samples start, ..., stop - 1 of the batch, as views."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: array[start:stop] for name, array in arrays.items() if array is not None})

    def micro(self, size: int) -> Iterator[Batch]:
        """The batch in micro-batches of `size` samples; the last may be smaller."""
        for start in range(0, len(self), size):
            yield self.rows(start, min(start + size, len(self)))


def gpt_batch(
    tokens: I64,
    *,
    eod: int | None = None,
    document_aware: bool = False,
    mask_eod_loss: bool = False,
    padding: int | None = None,
) -> Batch:
    """Inputs and labels for next-token prediction.

    Parameters
    ----------
    tokens : int64 array, shape (B, L + 1)
    eod : int, optional
        Id that ends a document; needed for both options.
    document_aware : bool
        Count positions from 0 in each document, and give the documents' lengths for block-diagonal attention.
    mask_eod_loss : bool
        Give no loss to predicting the first token of a document from the EOD before it.
    padding : int, optional
        Id that fills rows of packed documents: nothing is predicted from it, nor is it predicted. Where it is the EOD, all but
        the first of a run of them is padding.

    Raises
    ------
    ConfigError
        If an option needs the EOD and it is not known.
    """
    inputs, labels = tokens[:, :-1], tokens[:, 1:]
    size, length = inputs.shape
    if (document_aware or mask_eod_loss) and eod is None:
        raise ConfigError("document-aware batches need the id that ends a document; the data's sidecars do not say it")
    loss_mask = np.ones((size, length), np.float32)
    if mask_eod_loss:
        loss_mask[inputs == eod] = 0
    if padding is not None:
        fills = (inputs == padding, labels == padding)
        loss_mask[fills[0] & fills[1] if padding == eod else fills[0] | fills[1]] = 0
    if document_aware:
        positions, documents = _by_document(inputs == eod)
    else:
        positions = np.tile(np.arange(length), (size, 1))
        documents = np.full((size, 1), length, np.int32)
    return Batch(
        input_ids=inputs, labels=labels, loss_mask=loss_mask, position_ids=positions, document_lengths=documents
    )


def _by_document(ends: NDArray[np.bool_]) -> tuple[I64, NDArray[np.int32]]:
    """Positions within documents, and the lengths of the documents of each row, given where documents end."""
    size, length = ends.shape
    places = np.arange(length)
    heads = np.zeros((size, length), np.bool_)
    heads[:, 0] = True
    heads[:, 1:] = ends[:, :-1]
    positions = places - np.maximum.accumulate(np.where(heads, places, 0), axis=1)
    number = np.cumsum(heads, axis=1) - 1
    most = int(number[:, -1].max()) + 1 if size else 1
    flat = np.bincount((number + np.arange(size)[:, None] * most).ravel(), minlength=size * most)
    return positions, flat.reshape(size, most).astype(np.int32)
