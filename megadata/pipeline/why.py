"""`megadata why`: what each stage did with a document."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megadata.documents.ids import find
from megadata.errors import CorpusError


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one stage's output says about a document."""

    stage: str
    verdict: str
    record: dict[str, Any]


def why(name: str, folder: Path) -> list[Verdict]:
    """Look a document id up in every output below `folder` that has a key index.

    Raises
    ------
    CorpusError
        If no output below `folder` knows the id.
    """
    indexes = sorted(folder.rglob("keys.idx"))
    if not indexes:
        raise CorpusError(f"{folder}: expected an output of clean or dedup with a keys.idx, found none; check --in")
    found = []
    for index in indexes:
        for stream, record in find(index.parent, name):
            verdict = "kept"
            if stream == "removed":
                value = f" (value {record['value']:g})" if record.get("value") is not None else ""
                verdict = f"removed: {record.get('reason')}{value}"
            found.append(Verdict(str(index.parent), verdict, record))
    if not found:
        raise CorpusError(f"{name}: no output in {folder} knows this id; ids are those in the shards' `id` field")
    return found
