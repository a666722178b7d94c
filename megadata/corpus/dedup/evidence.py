"""``duplicates.parquet``: for every removed document, the one that was kept for it and how alike they are; and `explain`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from megadata.corpus.dedup.difference import difference
from megadata.corpus.dedup.records import EVIDENCE
from megadata.corpus.dedup.verdicts import RULES
from megadata.documents.ids import find
from megadata.errors import ConfigError, CorpusError
from megadata.runtime.exchange import Exchange, Partition
from megadata.runtime.files import atomic_write

FILE = "duplicates.parquet"
SCHEMA = pa.schema(
    [
        pa.field("removed_id", pa.string(), nullable=False),
        pa.field("kept_id", pa.string(), nullable=False),
        pa.field("similarity", pa.float64(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("cluster_size", pa.uint32(), nullable=False),
    ]
)
ROW_GROUP = 1 << 16


def _table(part: Partition) -> pa.Table:
    rows = part.records
    bounds = np.stack([part.offsets[:-1], part.offsets[:-1] + rows["kept"]], axis=1).ravel()
    bounds = np.append(bounds, part.offsets[-1]).astype(np.int64)
    buffers = [None, pa.py_buffer(bounds.tobytes()), pa.py_buffer(part.payload.tobytes())]
    both = pa.Array.from_buffers(pa.large_string(), 2 * rows.size, buffers)
    table = pa.table(
        {
            "removed_id": both.take(pa.array(np.arange(1, 2 * rows.size, 2))),
            "kept_id": both.take(pa.array(np.arange(0, 2 * rows.size, 2))),
            "similarity": np.ascontiguousarray(rows["similarity"]),
            "rule": pa.array(RULES).take(pa.array(rows["rule"])),
            "cluster_size": np.ascontiguousarray(rows["cluster"]),
            "key": np.ascontiguousarray(rows["key"]),
        }
    )
    order = pc.sort_indices(table, [("key", "ascending"), ("kept_id", "ascending"), ("removed_id", "ascending")])
    return table.take(order).drop_columns(["key"]).cast(SCHEMA)


def write_evidence(folder: Path, target: Path, memory: int, workers: int) -> int:
    """Write the evidence of all units; how many documents were removed.

    Rows are sorted by a hash of the kept id, so that clusters stay together, then by kept and removed id: the order depends on
    the documents alone.
    """
    exchange = Exchange(folder / "evidence", EVIDENCE)
    written = 0
    with atomic_write(target) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        held = SCHEMA.empty_table()
        for key_range in exchange.ranges(memory, workers):
            held = pa.concat_tables([held, _table(exchange.read(key_range))])
            while held.num_rows >= ROW_GROUP:
                writer.write_table(held.slice(0, ROW_GROUP).combine_chunks())
                held = held.slice(ROW_GROUP)
                written += ROW_GROUP
        if held.num_rows:
            writer.write_table(held.combine_chunks())
    return written + int(held.num_rows)


def _evidence_of(output: Path, own: str) -> Iterator[dict[str, Any]]:
    path = output / FILE
    if not path.exists():
        raise CorpusError(f"{path}: expected the evidence of a finished dedup, found none; is {output} its output?")
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        mask = pc.or_(pc.equal(table["removed_id"], own), pc.equal(table["kept_id"], own))
        yield from table.filter(mask).to_pylist()


def _text_of(output: Path, own: str, stream: str) -> str | None:
    """Text of a document that was kept, or removed; an index may hold a document of the same id."""
    for folder in (output, *sorted(p.parent for p in output.glob("*/keys.idx"))):
        for where, record in find(folder, own):
            if where == stream:
                return str(record["text"])
    return None


def _refuse_unknown(output: Path, own: str) -> None:
    if _text_of(output, own, "kept") is None:
        raise ConfigError(f"{own}: expected the id of a document in {output}, found none; ids are case-sensitive")


def explain(output: Path, own: str) -> str:
    """Why a document was removed, or what was removed for it, in words: both ids, the similarity, and how the texts differ.

    Of an output of the other modes: what was taken out of the document.

    Raises
    ------
    ConfigError
        If no document of the output has the id.
    """
    from megadata.corpus.dedup.spans.evidence import rows_of, told  # which takes a tenth of a second to load
    from megadata.corpus.dedup.spans.takeout import FILE as SPANS

    spans = output / SPANS
    if spans.exists():
        lost, others = rows_of(spans, own)
        if not lost and not others:
            _refuse_unknown(output, own)
        return told(own, lost, others)
    rows = list(_evidence_of(output, own))
    mine = [row for row in rows if row["removed_id"] == own]
    if not mine:
        _refuse_unknown(output, own)
        if not rows:
            return f"{own} is kept; nothing was removed for it."
        listed = "\n".join(f"  {row['removed_id']}  {row['rule']}  similarity {row['similarity']:.4f}" for row in rows)
        return f"{own} is kept, and stands for {len(rows) + 1} documents:\n{listed}"
    row = mine[0]
    said = (
        f"{own} was removed ({row['rule']}): similarity {row['similarity']:.4f} to {row['kept_id']}, "
        f"which stands for {row['cluster_size']} documents."
    )
    removed, kept = _text_of(output, own, "removed"), _text_of(output, row["kept_id"], "kept")
    if kept is None:
        return f"{said}\nThat document is in the index of --against, and not in {output}."
    if not removed:
        return f"{said}\nThe text of the removed document was not kept (--removed ids or none)."
    return f"{said}\n{difference(kept, removed)}"
