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
    """Weight of each token's loss, shape (B, L). Like `position_ids` a read-only view of one row where all rows are alike."""
    position_ids: I64
    """Shape (B, L)."""
    document_lengths: NDArray[np.int32]
    """Tokens that may attend to each other, document by document, 0 after the last; shape (B, M). Without document masking one
    document of L tokens; for BERT the tokens that are not padding."""
    token_type_ids: I64 | None = None
    """BERT: 0 in segment A, 1 in segment B; shape (B, L)."""
    is_swapped: NDArray[np.bool_] | None = None
    """BERT: whether the segments stand in the wrong order, or the second is from another document; shape (B,)."""

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
    packed: NDArray[np.bool_] | None = None,
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
    packed : bool array, shape (B,), optional
        Rows of whole documents: always document-aware, and neither an EOD nor the row's last token predicts anything.
    padding : int, optional
        Id that fills the ends of packed rows, by default `eod`: of EODs that end a row all but the first are padding. It is
        neither predicted nor predicts, and counts as a document of its own.

    Raises
    ------
    ConfigError
        If an option needs the EOD and it is not known.
    """
    inputs, labels = tokens[:, :-1], tokens[:, 1:]
    size, length = inputs.shape
    if packed is not None and not packed.any():
        packed = None
    if (document_aware or mask_eod_loss or packed is not None) and eod is None:
        raise ConfigError("document-aware batches need the id that ends a document; the data's sidecars do not say it")
    loss_mask = np.broadcast_to(np.float32(1), (size, length))
    if mask_eod_loss:
        loss_mask = np.where(inputs == eod, np.float32(0), loss_mask)
    if document_aware or packed is not None:
        ends = inputs == eod
        if packed is not None:
            fills = packed[:, None] & _padding(inputs, eod, padding)
            before = np.pad(fills[:, 1:], ((0, 0), (0, 1)))
            silent = packed[:, None] & (ends | fills | before | (np.arange(length) == length - 1))
            labels, loss_mask = np.where(silent, IGNORED, labels), np.where(silent, np.float32(0), loss_mask)
            ends = ((ends & (document_aware | packed[:, None])) | before) & ~fills
        positions, documents = _by_document(ends)
    else:
        positions = np.broadcast_to(np.arange(length), (size, length))
        documents = np.full((size, 1), length, np.int32)
    return Batch(
        input_ids=inputs, labels=labels, loss_mask=loss_mask, position_ids=positions, document_lengths=documents
    )


def _padding(inputs: I64, eod: int | None, padding: int | None) -> NDArray[np.bool_]:
    """The padding that each row ends with, shape (B, L)."""
    fill = eod if padding is None else padding
    closing: NDArray[np.bool_] = np.minimum.accumulate((inputs == fill)[:, ::-1], axis=1)[:, ::-1]
    return np.pad(closing[:, :-1], ((0, 0), (1, 0))) if fill == eod else closing


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
