"""Records with named fields on their way to documents: which field becomes what, and what is kept beside the text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from megadata.documents.batch import MAX_TEXT_BYTES, DocBatch, flat_column, text_column
from megadata.documents.source import BATCH_BYTES, BATCH_DOCUMENTS, WHOLE, Problems, ReadOptions
from megadata.runtime.units import InputFile

OWN_FIELDS = ("source", "url", "metadata")
"""Fields that mean something besides being a text or an id."""


class Rows:
    """Records of JSON lines, JSON and tables, collected into a batch.

    The text and the id are taken from the fields that the options name (a dotted path reaches into objects), ``source``,
    ``url`` and ``metadata`` where they are of our shape; every other field is kept inside the metadata.
    """

    def __init__(self, file: InputFile, options: ReadOptions, problems: Problems) -> None:
        self._file, self._options, self._problems = file, options, problems
        self._text_path = options.text_field.split(".")
        self._id_path = options.id_field.split(".")
        self._path_alone = orjson.dumps({"path": file.name}).decode()
        names = options.text_field, options.id_field
        self._plain_id = None if any("." in name or name in OWN_FIELDS for name in names) else options.id_field
        self._clear()

    @property
    def takes_plain(self) -> bool:
        """Whether records of an id and a text alone may come as columns."""
        return self._plain_id is not None

    def _clear(self) -> None:
        self._done: list[DocBatch] = []
        self._plain: list[tuple[pa.Array, pa.Array]] = []
        self._count = self._bytes = 0
        self._clear_rows()

    def _clear_rows(self) -> None:
        self._ids: list[str] = []
        self._texts: list[bytes | memoryview] = []
        self._sources: list[str] = []
        self._urls: list[str | None] = []
        self._metadata: list[str | None] = []

    def __len__(self) -> int:
        return self._count

    @property
    def full(self) -> bool:
        """Whether the batch should be taken."""
        return self._count >= BATCH_DOCUMENTS or self._bytes >= BATCH_BYTES

    def take(self) -> DocBatch:
        """The batch; the next begins empty."""
        self._end_rows()
        self._end_plain()
        batch = DocBatch.concat(self._done)
        self._clear()
        return batch

    def _end_rows(self) -> None:
        """Make a batch of the records that came one by one and are not in any yet."""
        if self._ids:
            text = text_column(b"".join(self._texts), np.cumsum([0, *map(len, self._texts)], dtype=np.int64))
            self._done.append(DocBatch.of(self._ids, text, self._sources, self._urls, self._metadata))
            self._clear_rows()

    def _end_plain(self) -> None:
        """Make a batch of the records that came as columns and are not in any yet."""
        if self._plain:
            ids, texts = (
                column[0] if len(column) == 1 else pa.concat_arrays(column)  # which copies even a single one
                for column in zip(*self._plain, strict=True)
            )
            metadata = pa.repeat(pa.scalar(self._path_alone, pa.string()), len(ids))
            self._done.append(DocBatch.of(ids, texts, self._file.source, None, metadata))
            self._plain = []

    def fail(self, reason: str, position: int, detail: str, raw: bytes = b"") -> None:
        """Set a record aside."""
        excerpt = raw[:500].decode("utf-8", "replace")
        self._problems.add(reason, f"{self._file.name}:{position}", detail, excerpt)

    def add(self, position: int, record: object, raw: bytes) -> None:
        """Add a record that begins at `position`; `raw` is shown where it must be set aside. The record is changed."""
        if not isinstance(record, dict):
            self.fail("not_an_object", position, f"expected an object, found {type(record).__name__}", raw)
            return
        text = self._text(record)
        if not isinstance(text, str):
            self.fail("no_text_field", position, self._without_text(record, text), raw)
            return
        self.add_with_text(position, record, text.encode(), raw)

    def add_plain(self, ids: pa.Array, texts: pa.Array) -> None:
        """Add records that are nothing but an id that is not empty and a text, as columns (only where `takes_plain`)."""
        self._end_rows()
        self._plain.append((ids, texts))
        self._count += len(ids)
        self._bytes += int(flat_column(texts)[1][-1])

    def add_with_text(self, position: int, record: dict[str, Any], text: bytes | memoryview, raw: bytes) -> None:
        """Add a record whose text is given beside it; what the record itself has under the text's name is left out."""
        if len(text) > MAX_TEXT_BYTES:
            self.fail("record_too_large", position, f"text longer than {MAX_TEXT_BYTES} bytes", raw)
            return
        own = record.get(self._plain_id) if self._plain_id and len(record) == 2 else None
        if isinstance(own, str) and own:  # nothing but an id and a text
            self._append(own, text, self._file.source, None, self._path_alone)
            return
        own = as_id(dig(record, self._id_path))
        try:
            notes = self._notes(record)
        except orjson.JSONEncodeError:
            self.fail("bad_json", position, "fields nested deeper than 250 levels", raw)
            return
        url, source = record.get("url"), record.get("source")
        self._append(
            own or f"{self._file.name}:{position}",
            text,
            source if isinstance(source, str) and source else self._file.source,
            url if isinstance(url, str) else None,
            notes,
        )

    def _append(self, own: str, text: bytes | memoryview, source: str, url: str | None, notes: str) -> None:
        self._end_plain()
        self._count += 1
        self._ids.append(own)
        self._texts.append(text)
        self._sources.append(source)
        self._urls.append(url)
        self._metadata.append(notes)
        self._bytes += len(text)

    def _text(self, record: dict[str, Any]) -> Any:
        if self._options.text_field != WHOLE:
            return dig(record, self._text_path)
        try:
            return orjson.dumps(record).decode()
        except orjson.JSONEncodeError:
            return None

    def _without_text(self, record: dict[str, Any], found: object) -> str:
        """What is said of a record that has no text where the options say."""
        name = self._options.text_field
        if found is not None:
            return f"expected text in the field {name!r}, found {type(found).__name__}"
        return f"expected a text field {name!r}, found {f'fields {listed(field_paths(record))}' if record else 'no fields'}"

    def _has_column(self, key: str, value: Any) -> bool:
        """Whether a top-level field was used whole, for the text, the id, the source, the URL or the metadata."""
        if key == self._options.text_field or (key == self._options.id_field and as_id(value)):
            return True
        if key == "source":
            return isinstance(value, str)
        if key == "url":
            return isinstance(value, str) or value is None
        return key == "metadata" and isinstance(value, dict)

    def _notes(self, record: dict[str, Any]) -> str:
        """The metadata as JSON: the record's own, every field we have no column for, and the path."""
        if self._options.text_field == WHOLE:
            return orjson.dumps({"path": self._file.name}).decode()
        remove(record, self._text_path)
        own = record.get("metadata")
        notes: dict[str, Any] = dict(own) if isinstance(own, dict) else {}
        for key, value in record.items():
            if not self._has_column(key, value):
                notes.setdefault(key, value)
        if not notes:
            return self._path_alone
        notes.setdefault("path", self._file.name)
        return orjson.dumps(notes).decode()


def as_id(value: object) -> str | None:
    """A record's own id: text or a whole number."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float) and (not math.isfinite(value) or not value.is_integer()):
        return None
    return str(int(value)) if isinstance(value, int | float) else None


def field_paths(record: dict[str, Any]) -> list[str]:
    """Names of a record's fields, and dotted paths of the fields of objects right inside it."""
    found = []
    for key, value in record.items():
        found.append(key)
        found += [f"{key}.{inner}" for inner in value] if isinstance(value, dict) else []
    return found


def listed(names: Sequence[str]) -> str:
    """Names of columns as messages tell them: at most 20, and no more than 40 characters of each, on one line."""
    shown = [" ".join((name if len(name) <= 40 else f"{name[:40]}...").split()) for name in names[:20]]
    return ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def dig(record: dict[str, Any], path: list[str]) -> Any:
    """Value at a dotted path; None where the path ends early. A field whose own name holds the dots comes first."""
    if len(path) > 1 and ".".join(path) in record:
        return record[".".join(path)]
    value: Any = record
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def remove(record: dict[str, Any], path: list[str]) -> None:
    """Take the value at a path of several names out of the record, so that a nested text is not kept twice."""
    whole = ".".join(path)
    if len(path) == 1 or whole in record:
        record.pop(whole, None)
        return
    inside: Any = record
    for key in path[:-1]:
        inside = inside.get(key) if isinstance(inside, dict) else None
    if isinstance(inside, dict):
        inside.pop(path[-1], None)
