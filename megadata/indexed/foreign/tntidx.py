"""TNTIDX, what fairseq and GPT-NeoX wrote before MMIDIDX (``--dataset-impl cached`` and ``lazy``).

``.bin`` is the same as in MMIDIDX. ``.idx`` is the magic ``TNTIDX\\0\\0``, six uint64 (version 1, code of the token type, bytes
of a token, N items, S sizes, D document bounds), then int64 arrays: dimensions[N + 1], offsets[N + 1] in tokens, sizes[S],
bounds[D]. An item of one dimension is a sequence. Source: megatron/data/indexed_dataset.py of GPT-NeoX.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from megadata.errors import CorpusError
from megadata.indexed.foreign.files import READ_BYTES, Batch, mapped
from megadata.indexed.format import DTYPES, Integers

MAGIC = b"TNTIDX\0\0"
HEADER_BYTES = 56


def is_tntidx(path: Path) -> bool:
    """Whether a file, or the .idx of a prefix, begins with the magic."""
    index = path if path.suffix == ".idx" else Path(f"{path.with_suffix('') if path.suffix == '.bin' else path}.idx")
    try:
        with index.open("rb") as file:
            return file.read(8) == MAGIC
    except OSError:
        return False


def read_tntidx(path: Path) -> Iterator[Batch]:
    """The documents of PREFIX.idx and PREFIX.bin; where merging lost their bounds, each sequence.

    Raises
    ------
    CorpusError
        If the two do not belong together, or items have more than one dimension.
    """
    prefix = path.with_suffix("") if path.suffix in (".idx", ".bin") else path
    index = Path(f"{prefix}.idx")
    raw = mapped(index)
    header = np.array(raw[8:HEADER_BYTES]).view("<u8").tolist() if raw.size >= HEADER_BYTES else [0] * 6
    version, code, width, items, sizes, bounds = header
    kind = DTYPES.get(code)
    if version != 1 or kind is None or kind.itemsize != width or kind.kind not in "iu":
        raise CorpusError(
            f"{index}: expected TNTIDX version 1 of integer tokens, found version {version}, type {code} of {width} bytes"
        )
    expected = HEADER_BYTES + 8 * (2 * (items + 1) + sizes + bounds)
    if raw.size != expected or sizes != items:
        raise CorpusError(
            f"{index}: the header promises {items} items of one dimension, {expected} bytes, found {sizes} sizes and "
            f"{raw.size} bytes; copy the file again"
        )
    table = mapped(index, "<i8", HEADER_BYTES)
    offsets, lengths = table[items + 1 : 2 * (items + 1)], table[2 * (items + 1) : 2 * (items + 1) + items]
    ends = table[2 * (items + 1) + items :]
    tokens = mapped(Path(f"{prefix}.bin"), kind)
    fits = bool((np.diff(offsets) == lengths).all()) and int(offsets[0]) == 0 and int(offsets[-1]) == tokens.size
    if not fits or (lengths < 0).any() or not np.array_equal(table[: items + 1], np.arange(items + 1)):
        raise CorpusError(
            f"{index}: the items do not follow one another through {tokens.size} tokens; copy both files again"
        )
    whole = ends.size > 1 and int(ends[0]) == 0 and int(ends[-1]) == items and not (np.diff(ends) < 0).any()
    documents = ends if whole else np.arange(items + 1)
    first = 0
    while first < documents.size - 1:
        start = int(offsets[documents[first]])
        last = int(np.searchsorted(offsets[documents], start + READ_BYTES // width, side="right")) - 1
        last = min(max(last, first + 1), documents.size - 1)
        yield _batch(tokens, offsets, lengths, documents[first : last + 1])
        first = last


def _batch(tokens: Integers, offsets: Integers, lengths: Integers, documents: Integers) -> Batch:
    begin, end = int(documents[0]), int(documents[-1])
    return Batch(
        np.array(tokens[int(offsets[begin]) : int(offsets[end])]),
        np.array(lengths[begin:end]),
        bounds=np.asarray(documents) - begin,
    )
