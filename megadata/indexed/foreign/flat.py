"""Token streams in flat files: nanoGPT, llm.c, the raw arrays of OLMo and dolma, datatrove's ``.ds``.

========== ============================================================ ===========================================
format     files                                                        where documents end
========== ============================================================ ===========================================
nanoGPT    ``train.bin``: uint16, no header                             an EOD ends each
llm.c      256 int32 (magic, version, tokens, 0, ...), then the tokens  an EOD begins each (`fineweb.py`), or ends it
OLMo       ``.npy`` without a header: uint16 or uint32                  ``.csv.gz`` (start, end, ...), or EOD
datatrove  ``.ds``: uint16 or uint32                                    ``.ds.index``: uint64 ends, or EOD
========== ============================================================ ===========================================

llm.c's magic is 20240520 with version 1 for uint16 and 20240801 with version 7 for uint32.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from megadata.errors import ConfigError, CorpusError
from megadata.indexed.foreign.files import (
    READ_BYTES,
    Advance,
    Batch,
    Folder,
    cut,
    documents,
    files_of,
    in_batches,
    mapped,
    narrow,
    quiet,
    raw,
)
from megadata.indexed.format import Integers, Tokens
from megadata.indexed.reader import IndexedDataset

HEADER_INTEGERS = 256
LLMC: dict[tuple[int, int], np.dtype[Any]] = {(20240520, 1): np.dtype("<u2"), (20240801, 7): np.dtype("<u4")}
"""Magic and version of llm.c's files -> type of a token."""
LLMC_TOKENS = 100_000_000
"""Tokens of a shard, as llm.c's own scripts cut them."""
CHUNK = 1 << 24
"""Tokens converted at a time."""
SPLITS = {"train": "train", "validation": "val", "val": "val", "valid": "val", "test": "test"}


def split_name(prefix: str) -> str:
    """What nanoGPT calls a split: ``train`` for ``web-train``, ``val`` for ``web-validation``, else the prefix's own name."""
    name = Path(prefix).name
    return SPLITS.get(name.rpartition("-")[2], name)


def write_nanogpt(data: IndexedDataset, folder: Path, name: str | None = None, advance: Advance = quiet) -> list[Path]:
    """Write FOLDER/NAME.bin, uint16 without a header; `NAME` is `split_name` by default.

    Raises
    ------
    ConfigError
        If an id does not fit uint16.
    """
    file_name = f"{name or split_name(data.prefix)}.bin"
    target = Folder(folder, file_name, [file_name])

    def pieces() -> Iterator[Any]:
        for start in range(0, data.tokens, CHUNK):
            tokens = data.window(start, min(CHUNK, data.tokens - start))
            yield raw(narrow(tokens, data.prefix, "nanoGPT's files"))
            advance(tokens.nbytes)

    target.write(file_name, pieces())
    return target.written


def write_llmc(data: IndexedDataset, folder: Path, advance: Advance = quiet) -> list[Path]:
    """Write FOLDER/NAME_000000.bin, ...: llm.c's header and about `LLMC_TOKENS` tokens in whole documents each.

    The tokens are those of the dataset, so documents end with the EOD where they do in it. int32 becomes uint32.
    """
    parts = list(cut(data, LLMC_TOKENS, data.documents))
    stem = Path(data.prefix).name
    names = [f"{stem}_{number:06d}.bin" for number in range(len(parts))]
    target = Folder(folder, f"{stem}_*.bin", names)
    wide = data.dtype != np.uint16
    magic, version = list(LLMC)[wide]
    for name, (first, last) in zip(names, parts, strict=True):
        tokens, _ = documents(data, first, last)
        header = np.zeros(HEADER_INTEGERS, "<i4")
        header[:3] = magic, version, tokens.size
        target.write(name, (raw(header), raw(tokens.astype("<u4") if wide else tokens)))
        advance(tokens.nbytes)
    return target.written


def llmc_dtype(path: Path) -> np.dtype[Any] | None:
    """Type of the tokens of an llm.c file; None where the file is none.

    Raises
    ------
    CorpusError
        If the header promises another number of tokens than there are.
    """
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return None
    if len(start) < 12:
        return None
    magic, version, count = np.frombuffer(start, "<i4").tolist()
    kind = LLMC.get((magic, version))
    if kind is None:
        return None
    found = path.stat().st_size - 4 * HEADER_INTEGERS
    if found != count * kind.itemsize:
        raise CorpusError(
            f"{path}: the header promises {count} {kind.name} tokens, {count * kind.itemsize} bytes, found {max(0, found)}; "
            "copy the file again"
        )
    return kind


def read_llmc(path: Path, eod: int | None) -> Iterator[Batch]:
    """Documents of llm.c's shards."""
    streams = []
    for file in files_of(path, "*.bin"):
        kind = llmc_dtype(file)
        if kind is None:
            raise CorpusError(
                f"{file}: expected a file of llm.c, found another first word; name the format with --from"
            )
        streams.append((file, mapped(file, kind, 4 * HEADER_INTEGERS)))
    yield from split_all(streams, eod)


def read_nanogpt(path: Path, dtype: np.dtype[Any] | None, eod: int | None) -> Iterator[Batch]:
    """Documents of headerless files of one type, uint16 by default."""
    yield from split_all([(file, mapped(file, dtype or "<u2")) for file in files_of(path, "*.bin")], eod)


def read_olmo(path: Path, dtype: np.dtype[Any] | None, eod: int | None) -> Iterator[Batch]:
    """Documents of raw arrays: bounds from ``.csv.gz`` where it lies beside an array, else after each EOD.

    Raises
    ------
    ConfigError
        If neither the bounds nor `dtype` tell how wide a token is.
    """
    for file in files_of(path, "*.npy"):
        with file.open("rb") as opened:
            if opened.read(6) == b"\x93NUMPY":
                yield from split_all([(file, _numpy_array(file))], eod)
                continue
        table = file.with_name(file.name.removesuffix(".npy") + ".csv.gz")
        if table.exists():
            lengths, rows = _olmo_table(table)
            tokens = mapped(file, dtype or _width(file, int(lengths.sum()), table))
            if tokens.size != int(lengths.sum()):
                raise CorpusError(f"{table}: covers {lengths.sum()} tokens, {file.name} has {tokens.size}")
            first = 0
            for batch in in_batches(tokens, lengths):
                last = first + batch.lengths.size
                yield Batch(batch.tokens, batch.lengths, {name: column[first:last] for name, column in rows.items()})
                first = last
        elif dtype is None:
            raise ConfigError(
                f"{file}: a raw array does not say how wide its tokens are; add --dtype uint16 or --dtype uint32"
            )
        else:
            yield from split_all([(file, mapped(file, dtype))], eod)


def _numpy_array(file: Path) -> Tokens:
    try:
        array: Tokens = np.load(file, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise CorpusError(f"{file}: cannot be read as a numpy array: {error}; write it again") from error
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise CorpusError(f"{file}: expected one row of integer tokens, found {array.dtype} of shape {array.shape}")
    return array


def _olmo_table(table: Path) -> tuple[Integers, dict[str, list[str | None]]]:
    """Lengths of documents, and their ids and sources, from ``start,end,id,source,line`` rows."""
    lengths: list[int] = []
    ids: list[str | None] = []
    sources: list[str | None] = []
    end = 0
    try:
        with gzip.open(table, "rt", encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.reader(file)):
                start, stop = int(row[0]), int(row[1])
                if start != end or stop < start:
                    raise CorpusError(
                        f"{table}: document {number} covers the tokens {start} to {stop}, expected it to start at {end}"
                    )
                lengths.append(stop - start)
                ids.append(row[2] if len(row) > 2 else None)
                sources.append(row[3] if len(row) > 3 else None)
                end = stop
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise CorpusError(f"{table}: expected rows of start,end,..., found something else ({error})") from error
    rows = {"id": ids, "source": sources} if any(one is not None for one in ids) else {}
    return np.array(lengths, np.int64), rows


def _width(file: Path, tokens: int, table: Path) -> np.dtype[Any]:
    """The type with which so many tokens fill a file."""
    size = file.stat().st_size
    for kind in (np.dtype("<u2"), np.dtype("<u4")):
        if size == tokens * kind.itemsize:
            return kind
    raise CorpusError(
        f"{file}: {table.name} speaks of {tokens} tokens, which is neither uint16 nor uint32 in {size} bytes; "
        "one of the two was cut short or belongs to another file"
    )


def read_datatrove(path: Path, dtype: np.dtype[Any] | None, eod: int | None) -> Iterator[Batch]:
    """Documents of datatrove's ``.ds`` files; loss masks (``.ds.loss``) have no place in an indexed dataset.

    Raises
    ------
    ConfigError
        If there are loss masks, or nothing tells how wide a token is.
    """
    for file in files_of(path, "*.ds"):
        index = file.with_name(file.name + ".index")
        if file.with_name(file.name + ".loss").exists():
            raise ConfigError(
                f"{file}.loss: loss masks are not kept in an indexed dataset; move the file away to import the tokens alone"
            )
        if index.exists():
            ends = mapped(index, "<u8").astype(np.int64)
            lengths = np.diff(ends, prepend=0)
            if lengths.size and int(lengths.min()) < 0:
                raise CorpusError(f"{index}: ends of documents must rise, document {int(lengths.argmin())} does not")
            total = int(ends[-1]) if ends.size else 0
            yield from in_batches(mapped(file, dtype or _width(file, total, index)), lengths)
        else:
            kind = dtype or _metadata_dtype(file)
            if kind is None:
                raise ConfigError(f"{file}: no .ds.index beside it; add --dtype uint16 or --dtype uint32, and --eod")
            yield from split_all([(file, mapped(file, kind))], eod)


def _metadata_dtype(file: Path) -> np.dtype[Any] | None:
    """The width that ``.ds.metadata`` names in its first line, ``tokenizer|2``."""
    metadata = file.with_name(file.name + ".metadata")
    try:
        width = metadata.read_text("utf-8").splitlines()[0].rpartition("|")[2]
    except (OSError, ValueError, IndexError):
        return None
    widths: dict[str, np.dtype[Any]] = {"2": np.dtype("<u2"), "4": np.dtype("<u4")}
    return widths.get(width)


def split_all(streams: list[tuple[Path, Tokens]], eod: int | None) -> Iterator[Batch]:
    """Documents of several streams. An EOD begins a document where all streams begin with one and not all end with one."""
    filled = [(file, tokens) for file, tokens in streams if tokens.size]
    ends = all(int(tokens[-1]) == eod for _, tokens in filled)
    leads = not ends and all(int(tokens[0]) == eod for _, tokens in filled)
    for file, tokens in filled:
        yield from split_at(tokens, eod, file, leads)


def split_at(tokens: Tokens, eod: int | None, file: Path, leads: bool) -> Iterator[Batch]:
    """Documents of one stream that an EOD ends or, where it `leads`, begins.

    Raises
    ------
    ConfigError
        If there are tokens and no EOD is given, or it never occurs.
    """
    if eod is None:
        raise ConfigError(
            f"{file}: nothing in the file says where documents end; give the id that separates them with --eod, "
            "or the tokenizer with --tokenizer"
        )
    step = max(1, READ_BYTES // tokens.dtype.itemsize)
    held: list[Tokens] = []
    seen = False
    for start in range(0, tokens.size, step):
        part = np.array(tokens[start : start + step])
        borders = np.flatnonzero(part == eod) + (0 if leads else 1)
        seen = seen or borders.size > 0
        if leads and start == 0:
            borders = borders[1:]
        if borders.size == 0:
            held.append(part)
            continue
        before = sum(piece.size for piece in held)
        cuts = before + borders
        whole = np.concatenate([*held, part[: borders[-1]]])
        yield Batch(whole, np.diff(cuts, prepend=0))
        held = [part[borders[-1] :]] if borders[-1] < part.size else []
    if not seen:
        raise ConfigError(
            f"{file}: the EOD {eod} occurs nowhere in {tokens.size} tokens; is it the id of another tokenizer?"
        )
    if held:
        rest = np.concatenate(held)
        yield Batch(rest, np.array([rest.size]))
