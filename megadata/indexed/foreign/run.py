"""`export_dataset` and `import_dataset`: an indexed dataset as other tools' files, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from megadata.errors import ConfigError, CorpusError, IndexFormatError
from megadata.indexed.foreign.files import Advance, Batch, files_of, quiet
from megadata.indexed.foreign.flat import (
    llmc_dtype,
    read_datatrove,
    read_llmc,
    read_nanogpt,
    read_olmo,
    write_llmc,
    write_nanogpt,
)
from megadata.indexed.foreign.litdata import read_index, read_litdata, write_litdata
from megadata.indexed.foreign.mds import read_mds, write_mds
from megadata.indexed.foreign.tntidx import is_tntidx, read_tntidx
from megadata.indexed.format import DtypePolicy, best_dtype, docs_path
from megadata.indexed.meta import Level, Meta
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.verify import verify
from megadata.indexed.writer import IndexedWriter, refuse_foreign

Target = Literal["nanogpt", "llmc", "litdata", "mds", "arrow", "parquet"]
Kind = Literal["nanogpt", "llmc", "litdata", "mds", "arrow", "parquet", "datatrove", "olmo", "tntidx"]
SOURCE_TYPES = ("uint16", "uint32", "int32", "int64")
"""Types that tokens of a foreign file may be said to have."""


def export_dataset(prefix: str | Path, folder: str | Path, target: Target, *, advance: Advance = quiet) -> list[Path]:
    """Write an indexed dataset in another tool's format.

    Parameters
    ----------
    prefix : str or Path
        The dataset; its structure is checked first.
    folder : str or Path
        Made where it is not there.
    target : str
        ``nanogpt``, ``llmc``, ``litdata``, ``mds``, ``arrow`` or ``parquet``.
    advance : callable
        Told how many bytes of tokens more are written.

    Returns
    -------
    list of Path
        The files, in the order they were written.

    Raises
    ------
    ConfigError
        If the tokens do not fit the format.
    IndexFormatError
        If the dataset is damaged.
    OutputError
        If the folder cannot be written, or holds files of another export.
    """
    report = verify(prefix)
    if not report.ok:
        raise IndexFormatError(report.problems[0])
    data, place = IndexedDataset(prefix), Path(folder)
    if data.dtype.kind not in "iu":
        raise ConfigError(f"{data.prefix}: holds {data.dtype.name}, which are no token ids")
    if target == "nanogpt":
        return write_nanogpt(data, place, advance=advance)
    if target == "llmc":
        return write_llmc(data, place, advance)
    if target == "litdata":
        return write_litdata(data, place, advance)
    if target == "mds":
        return write_mds(data, place, advance)
    if target not in get_args(Target):
        raise ConfigError(f"export: format {target!r} is not known; use one of {', '.join(get_args(Target))}")
    from megadata.indexed.foreign.tables import write_table

    return write_table(data, place, target, advance)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import wrote."""

    kind: Kind
    meta: Meta


def import_dataset(
    path: str | Path,
    prefix: str | Path,
    *,
    kind: Kind | None = None,
    dtype: str | None = None,
    eod: int | None = None,
    column: str | None = None,
    vocabulary: Meta | None = None,
    policy: DtypePolicy = "auto",
    advance: Advance = quiet,
    workers: int = 1,
) -> Imported:
    """Read another tool's token files into an indexed dataset.

    Parameters
    ----------
    path : str or Path
        A file, a folder of files, or a glob; the files of a folder follow one another in the order of their names.
    prefix : str or Path
        What the files of the new dataset share.
    kind : str, optional
        Whose files they are; told from names and first bytes where it is not given.
    dtype : str, optional
        Type of a token in files that do not say it: uint16, uint32, int32 or int64.
    eod : int, optional
        The id that separates documents, for files without their bounds; that of the vocabulary by default.
    column : str, optional
        The column of tokens in tables and MDS.
    vocabulary : Meta, optional
        What is known of the tokenizer; ids are checked against it.
    policy : str
        Width of the tokens written (`best_dtype`); without a vocabulary uint16 stays uint16 and all else becomes int32.

    Raises
    ------
    ConfigError
        If the files do not say enough, or ids do not fit the vocabulary.
    CorpusError
        If they are damaged.
    """
    source = Path(path)
    if dtype is not None and dtype not in SOURCE_TYPES:
        raise ConfigError(f"--dtype {dtype}: expected one of {', '.join(SOURCE_TYPES)}")
    known = vocabulary or Meta()
    if eod is not None and known.vocabulary_size is not None and not 0 <= eod < known.vocabulary_size:
        raise ConfigError(f"--eod {eod}: the vocabulary has ids from 0 to {known.vocabulary_size - 1}")
    end = eod if eod is not None else known.eod
    found = kind or recognise(source)
    batches = _batches(found, source, np.dtype(dtype) if dtype else None, end, column)
    first = next(batches, None)
    if first is None:
        raise CorpusError(f"{source}: expected documents, found none; check the path")
    size = known.vocabulary_size
    wide = first.tokens.dtype != np.uint16
    width = best_dtype(size, policy) if size is not None else np.dtype("<i4" if wide else "<u2")
    config = {"imported": {"kind": found, "name": source.name}}
    refuse_foreign(prefix)
    ended = True
    with IndexedWriter(prefix, width, workers=workers) as writer, _Rows(prefix) as rows:
        while first is not None:
            _check(first, size, source, writer.documents)
            ended = ended and _all_end(first, end)
            writer.add_documents(first.tokens, *first.sequences)
            rows.add(first)
            advance(first.tokens.nbytes)
            first = next(batches, None)
        rows.close()
        appended = end is not None and ended and writer.tokens > 0
        level: Level = "sentence" if writer.sequences > writer.documents else "document"
        writer.meta = dataclasses.replace(known, eod=end, appended_eod=appended, level=level, config=config)
    meta = IndexedDataset(prefix).meta
    assert meta is not None
    return Imported(found, meta)


def recognise(path: Path) -> Kind:
    """Whose files lie at `path`.

    Raises
    ------
    ConfigError
        If they are Megatron's own, or could be several tools'.
    CorpusError
        If they are of no known kind.
    """
    if is_tntidx(path):
        return "tntidx"
    folder = path if path.is_dir() else path.parent
    if path.is_dir() or path.name == "index.json":
        if (folder / "index.json").exists():
            content = read_index(folder / "index.json")
            return "litdata" if "chunks" in content else "mds"
        endings = ("*.ds", "*.parquet", "*.arrow", "*.npy", "*.bin")
        kinds = [ending for ending in endings if any(path.glob(ending))]
        if len(kinds) > 1:
            raise ConfigError(f"{path}: holds files of several kinds ({', '.join(kinds)}); name one file or a pattern")
    file = files_of(path, "*.ds", "*.parquet", "*.arrow", "*.feather", "*.npy", "*.bin")[0]
    endings_of: dict[str, Kind] = {
        **{".ds": "datatrove", ".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow", ".npy": "olmo"}
    }
    if file.suffix in endings_of:
        return endings_of[file.suffix]
    if file.suffix == ".bin":
        if file.with_suffix(".idx").exists():
            raise ConfigError(
                f"{file}: is an indexed dataset already and read as it is; `megadata verify {file.with_suffix('')} "
                "--tokenizer T --write-meta` writes its sidecar"
            )
        return "nanogpt" if llmc_dtype(file) is None else "llmc"
    raise CorpusError(
        f"{file}: expected .bin, .npy, .ds, .parquet, .arrow or a folder with index.json; name the format with --from"
    )


def _batches(
    kind: Kind, path: Path, dtype: np.dtype[Any] | None, eod: int | None, column: str | None
) -> Iterator[Batch]:
    if kind in ("nanogpt", "llmc") and path.is_dir():
        _one_split(path)
    if kind == "nanogpt":
        return read_nanogpt(path, dtype, eod)
    if kind == "llmc":
        return read_llmc(path, eod)
    if kind == "olmo":
        return read_olmo(path, dtype, eod)
    if kind == "datatrove":
        return read_datatrove(path, dtype, eod)
    if kind == "litdata":
        return read_litdata(path)
    if kind == "tntidx":
        return read_tntidx(path)
    if kind == "mds":
        return read_mds(path, column, dtype)
    if kind not in get_args(Kind):
        raise ConfigError(f"import: format {kind!r} is not known; use one of {', '.join(get_args(Kind))}")
    from megadata.indexed.foreign.tables import read_table

    return read_table(path, column)


def _one_split(folder: Path) -> None:
    """Refuse a folder whose names tell of training and held-out data: they would become one dataset."""
    names = sorted(one.name for one in folder.glob("*.bin"))
    splits = {split for name in names for split in ("train", "val", "test") if split in name}
    if len(splits) > 1:
        raise ConfigError(
            f"{folder}: holds the splits {', '.join(sorted(splits))}; import each by itself, for example "
            f"'{folder}/*{sorted(splits)[0]}*.bin'"
        )


def _check(batch: Batch, size: int | None, source: Path, document: int) -> None:
    if batch.tokens.dtype.kind not in "iu":
        raise ConfigError(f"{source}: expected integer tokens, found {batch.tokens.dtype.name}")
    if batch.tokens.size == 0:
        return
    low, high = int(batch.tokens.min()), int(batch.tokens.max())
    limit = (1 << 31) if size is None else size
    if low < 0 or high >= limit:
        at = int(np.flatnonzero((batch.tokens < 0) | (batch.tokens >= limit))[0])
        owner = document + int(np.searchsorted(batch.ends, at, side="right"))
        raise ConfigError(
            f"{source}: document {owner} holds the id {low if low < 0 else high}, expected ids from 0 to {limit - 1}; "
            "another tokenizer wrote this, or its tokens are of another type (--dtype)"
        )


def _all_end(batch: Batch, eod: int | None) -> bool:
    ends = batch.ends
    return bool((batch.tokens[ends[np.diff(ends, prepend=0) > 0] - 1] == eod).all())


class _Rows:
    """PREFIX.docs.parquet while it is written: one row a document, where the source knows more than tokens."""

    def __init__(self, prefix: str | Path) -> None:
        self._path = docs_path(prefix)
        self._temporary = self._path.with_name(self._path.name + ".tmp")
        self._writer: Any = None
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> _Rows:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
            self._temporary.unlink(missing_ok=True)

    def add(self, batch: Batch) -> None:
        """Append the rows of a batch."""
        if not batch.rows:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {name: pa.array(values, pa.string()) for name, values in batch.rows.items()}
        table = pa.table(columns)
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._temporary, table.schema, compression="zstd")
        self._writer.write_table(table)

    def close(self) -> None:
        """Put the file in place."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._temporary.replace(self._path)
