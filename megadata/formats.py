"""Kind and version of every file megadata writes: a newer one is refused, an older one is upgraded on reading.

JSON files carry ``"format": kind`` and ``"version": n``. Shards (``.jsonl.zst``, ``.parquet``) and indexed datasets (``.bin``,
``.idx``) keep their public formats; the manifest or sidecar beside them carries the version.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from megadata.errors import CorpusError

VERSIONS: dict[str, int] = {
    "manifest": 1,
    "receipt": 2,
    "stats": 1,
    "scores": 1,
    "indexed": 2,
    "blend": 1,
    "recipe": 1,
    "rules": 1,
    "url_list": 1,
    "quality_model": 1,
    "run": 1,
    "checkpoint": 1,
    "exchange": 1,
    "unpacked": 1,
    "dedup_index": 1,
}


def _without_digests_of_parts(receipt: dict[str, Any]) -> dict[str, Any]:
    parts = {name: {k: v for k, v in part.items() if k != "digest"} for name, part in receipt["parts"].items()}
    return {**receipt, "parts": parts}


UPGRADES: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {
    ("indexed", 1): lambda content: content,  # 2 adds a digest of the sidecar's own fields
    ("receipt", 1): _without_digests_of_parts,
}
"""(kind, version) -> function that turns such a document into the next version."""


def stamp(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """`content` with its format and version in front."""
    return {"format": kind, "version": VERSIONS[kind], **content}


def check(kind: str, content: Any, path: Path | str) -> dict[str, Any]:
    """Return `content` as the current version of `kind`, or raise `CorpusError` that names `path`."""
    if not isinstance(content, dict) or content.get("format") != kind:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise CorpusError(f"{path}: expected a megadata {kind} file, found {found!r}; is this the right path?")
    version = content.get("version")
    if not isinstance(version, int) or not 0 < version <= VERSIONS[kind]:
        raise CorpusError(
            f"{path}: {kind} version {version}, this megadata reads up to {VERSIONS[kind]}; upgrade megadata or write it again"
        )
    current: dict[str, Any] = content
    for older in range(version, VERSIONS[kind]):
        current = UPGRADES[kind, older](current)
    return current
