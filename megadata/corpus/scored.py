"""An output of `clean --scores` as input: its rows, unit by unit, and the lines of its shards that they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from megadata import formats
from megadata.corpus.scorelayout import META, NAME
from megadata.documents.batch import DocBatch
from megadata.documents.shards import encode_lines
from megadata.errors import CorpusError
from megadata.runtime.entering import open_at
from megadata.runtime.files import read_json
from megadata.runtime.manifest import STATE, Manifest
from megadata.runtime.receipts import Read
from megadata.runtime.streams import local_size
from megadata.runtime.units import InputFile, Span, Unit

STREAMS = {"kept": Path(), "removed": Path("removed")}


@dataclass(frozen=True)
class Scored:
    """A finished output with scores."""

    folder: Path
    manifest: Manifest
    about: dict[str, Any]

    @property
    def removed(self) -> str:
        """What it holds of removed documents: `text`, `ids` or `none`."""
        return str(self.about["removed"])

    @property
    def settings(self) -> dict[str, Any]:
        """The settings it was made with, apart from the rules."""
        return {name: value for name, value in self.manifest.made_by["config"].items() if name != "rules"}

    @property
    def reads(self) -> list[Read]:
        """What was read of the raw files; nothing where that is not on record any more."""
        state = self.folder / STATE / "inputs.json"
        return [Read(**entry) for entry in read_json(state)] if state.exists() else []

    @property
    def named(self) -> str:
        """The options that named its rules."""
        named = self.about["named"]
        words = [f"--rules {named['rules']}" if named["rules"] else "the rules of each kind of text"]
        words += [f"--set {one}" for one in named["overrides"]]
        words += [f"--url-rules {one}" for one in named["url_rules"]]
        words += [f"--languages {','.join(named['languages'])}"] * bool(named["languages"])
        return " ".join(words)

    @cached_property
    def _file(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.folder / NAME)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("folder", "manifest", "about")}

    @property
    def names(self) -> list[str]:
        """The columns of its scores."""
        return list(self._file.schema_arrow.names)

    def rows(self, unit: int, columns: list[str] | None = None) -> pa.Table:
        """The rows of a unit."""
        start, stop = self.about["units"][unit]["groups"]
        known = set(self.names)
        chosen = None if columns is None else [name for name in columns if name in known]
        return self._file.read_row_groups(list(range(start, stop)), columns=chosen)

    def lines(self, unit: int, stream: str) -> Iterator[bytes]:
        """The lines that a unit wrote to a stream, in order."""
        place = self.about["units"][unit]["lines"].get(stream)
        if place is None:
            return
        shard, start, size = place
        file = self._shard(stream, shard)
        if self.about["form"] == "jsonl.zst":
            with open_at(file, start) as decoded:
                data = decoded.read(size)
            if len(data) != size:
                raise CorpusError(f"{file.path}: expected {size} bytes from {start} on, found {len(data)}; clean again")
            yield from (line + b"\n" for line in data.split(b"\n")[:-1])
            return
        with pq.ParquetFile(file.path) as source:
            yield from _encoded(source.read_row_group(self._row_group(unit, stream)))

    def units(self) -> list[Unit]:
        """The units of the run that was scored: what each of them wrote is read again."""
        scores = _input(self.folder / NAME, NAME)
        meta = self._file.metadata
        found = []
        for ordinal, one in enumerate(self.about["units"]):
            spans = [Span(scores, *_stored(meta, *one["groups"]))]
            for stream, (shard, start, size) in one["lines"].items():
                file = self._shard(stream, shard)
                if self.about["form"] == "jsonl.zst":
                    spans.append(Span(file, start, start + size))
                else:
                    group = self._row_group(ordinal, stream)
                    with pq.ParquetFile(file.path) as source:
                        spans.append(Span(file, *_stored(source.metadata, group, group + 1)))
            found.append(Unit(ordinal, tuple(spans)))
        return found

    def _shard(self, stream: str, number: int) -> InputFile:
        name = STREAMS[stream] / f"docs-{number:05d}.{self.about['form']}"
        return _input(self.folder / name, name.as_posix())

    def _row_group(self, unit: int, stream: str) -> int:
        """Number of a unit's row group in its Parquet shard."""
        shard = self.about["units"][unit]["lines"][stream][0]
        before = self.about["units"][:unit]
        return sum(one["lines"].get(stream, [None])[0] == shard for one in before)


def _input(path: Path, name: str) -> InputFile:
    size, mtime_ns = local_size(str(path))
    return InputFile(name, str(path), size, mtime_ns, "", "", "")


def _stored(meta: pq.FileMetaData, start: int, stop: int) -> tuple[int, int]:
    """Where row groups lie in a Parquet file."""
    if start == stop:
        return 0, 0
    first, last = meta.row_group(start).column(0), meta.row_group(stop - 1)
    begin = first.dictionary_page_offset or first.data_page_offset
    return begin, begin + sum(
        meta.row_group(g).column(c).total_compressed_size for g in range(start, stop) for c in range(last.num_columns)
    )


def _encoded(table: pa.Table) -> Iterator[bytes]:
    """Lines of JSON from the rows of a Parquet shard."""
    for batch in table.combine_chunks().to_batches():
        docs = DocBatch(batch.select(["id", "text", "source", "url", "metadata"]))
        if "reason" not in batch.schema.names:
            yield from encode_lines(docs)
            continue
        reasons, values, thresholds = (batch.column(name).to_pylist() for name in ("reason", "value", "threshold"))
        for at, reason in enumerate(reasons):
            condition = [] if thresholds[at] is None else [thresholds[at : at + 1]]
            yield from encode_lines(docs.slice(at, at + 1), [reason], values[at : at + 1], *condition)


def open_scores(folder: Path) -> Scored:
    """The scores of an output of `clean --scores`.

    Raises
    ------
    CorpusError
        When there are none, or they are not those of the shards beside them.
    """
    path = folder / NAME
    manifest = Manifest.load(folder) if folder.is_dir() else None
    if manifest is None or not path.exists():
        raise CorpusError(
            f"{path}: expected the scores of a finished `megadata clean --scores`, found none; check the folder"
        )
    try:
        written = pq.ParquetFile(path).schema_arrow.metadata or {}
        raw = pq.ParquetFile(path).metadata.metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{path}: cannot be read as Parquet ({error}); run `megadata clean --scores` again") from None
    text = raw.get(META) or written.get(META)
    if text is None:
        raise CorpusError(f"{path}: expected scores of megadata, found another Parquet file; check the folder")
    about = formats.check("scores", orjson.loads(text), path)
    if about["identity"] != manifest.identity or not manifest.stands(folder):
        raise CorpusError(
            f"{path}: expected the scores of the shards beside them, found others; run `megadata clean` again"
        )
    return Scored(folder, manifest, about)
