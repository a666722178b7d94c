"""Where a document lies in indexed datasets, and at which steps training runs saw it.

PREFIX.docs.parquet is sorted by the shuffle's hash of the id, so the statistics of its row groups say which one to read. From the
document's tokens the samples that cover them follow in closed form (`indexed.inverse`), and from those the steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from megadata.errors import IndexFormatError
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.samples import SourceStream
from megadata.pipeline.runsteps import RunSteps
from megadata.tokenize.keys import shuffle_keys
from megadata.tokenize.repeat import parse_repeat

ENDING = ".docs.parquet"


@dataclass(frozen=True, slots=True)
class Place:
    """Tokens of a dataset that are a document, or a piece of one."""

    prefix: str
    document: int
    """Number of the document (or packed row) in the dataset."""
    documents: int
    """Documents of the dataset."""
    start: int
    """First token in the dataset."""
    stop: int


def datasets_below(folder: Path) -> list[str]:
    """Prefixes of the datasets in or below a folder that know their documents."""
    return [str(path)[: -len(ENDING)] for path in sorted(folder.rglob(f"*{ENDING}"))]


def find_document(prefix: str, name: str) -> list[Place]:
    """Where a document of this id lies in a dataset; several places where it was repeated or cut, none where it is not there.

    Raises
    ------
    IndexFormatError
        If PREFIX.docs.parquet is not Parquet, or belongs to another dataset.
    """
    path = Path(f"{prefix}{ENDING}")
    data = IndexedDataset(prefix)
    try:
        file = pq.ParquetFile(path)
        rows = [row for group, first in _row_groups(file, data, name) for row in _matches(file, group, first, name)]
    except (pa.ArrowException, OSError) as error:
        raise IndexFormatError(f"{path}: cannot be read as Parquet: {error}; write the dataset again") from error
    if file.metadata.num_rows != data.documents:
        raise IndexFormatError(
            f"{path}: has {file.metadata.num_rows} rows for {data.documents} documents; it belongs to another dataset"
        )
    places = []
    for document, pieces in rows:
        start, stop = data.document_starts(np.array([document, document + 1])).tolist()
        for begin, size in pieces if pieces is not None else [(0, stop - start)]:
            places.append(Place(prefix, document, data.documents, start + begin, start + begin + size))
    return places


def _row_groups(file: pq.ParquetFile, data: IndexedDataset, name: str) -> Iterator[tuple[int, int]]:
    """Row groups that may hold the id, and the number of the first row of each."""
    columns = {file.metadata.schema.column(i).path.split(".")[0]: i for i in range(len(file.metadata.schema.names))}
    keys = _keys(data, name) if "key" in columns else []
    first = 0
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        stats = group.column(columns["key"]).statistics if keys else None
        if stats is None or not stats.has_min_max or any(stats.min <= key <= stats.max for key in keys):
            yield number, first
        first += group.num_rows


def _keys(data: IndexedDataset, name: str) -> list[int]:
    """Hashes under which the shuffle put a document and its copies; none where the sidecar does not say the seed."""
    if data.meta is None or data.meta.seed is None:
        return []
    configs = [data.meta.config, *(one.get("config", {}) for one in data.meta.config.get("merged", ()))]
    tables = [parse_repeat(str(config["repeat"])) for config in configs if config.get("repeat")]
    copies = max(
        [1, *(n for table in tables for _, _, n in table.ranges), *(n for table in tables for _, n in table.texts)]
    )
    found: list[int] = shuffle_keys([name] * copies, data.meta.seed, range(copies))[0].tolist()
    return found


def _matches(
    file: pq.ParquetFile, group: int, first: int, name: str
) -> Iterator[tuple[int, list[tuple[int, int]] | None]]:
    """Rows of a row group whose document, or one of whose pieces, has the id: row, and (place in it, tokens) of pieces."""
    ids = file.read_row_group(group, columns=["id"]).column("id").combine_chunks()
    if not pa.types.is_list(ids.type):
        for at in np.flatnonzero(pc.equal(ids, name).to_numpy(zero_copy_only=False)).tolist():
            yield first + at, None
        return
    hits = np.flatnonzero(pc.equal(ids.flatten(), name).to_numpy(zero_copy_only=False))
    rows = np.unique(np.searchsorted(ids.offsets.to_numpy(), hits, side="right") - 1)
    if rows.size:
        tokens = file.read_row_group(group, columns=["tokens"]).column("tokens")
        for at in rows.tolist():
            sizes = tokens[at].as_py()
            begins = np.cumsum([0, *sizes]).tolist()
            named = zip(ids[at].as_py(), begins, sizes, strict=False)
            yield first + at, [(begin, size) for own, begin, size in named if own == name]


def steps_of(run: RunSteps, places: list[Place]) -> list[int]:
    """The steps of a run that saw any of these tokens, rising."""
    steps: set[int] = set()
    for source in run.samples.samples.sources:
        for start, stop in _in_stream(source, places):
            steps.update(map(run.step_of, run.samples.showing(source.name, start, stop, run.end).tolist()))
    return sorted(steps)


def _in_stream(source: SourceStream, places: list[Place]) -> Iterator[tuple[int, int]]:
    """The parts of a source's stream that these places are."""
    before = 0
    for piece in source.stream.pieces:
        prefix = Path(piece.dataset.prefix).resolve()
        for place in places:
            start, stop = max(place.start, piece.start), min(place.stop, piece.stop)
            if start < stop and Path(place.prefix).resolve() == prefix:
                yield before + start - piece.start, before + stop - piece.start
        before += piece.stop - piece.start


def record(place: Place) -> dict[str, Any]:
    """A place as plain values."""
    return {"document": place.document, "start": place.start, "stop": place.stop, "prefix": place.prefix}
