"""Lists of web addresses that are not wanted: domains, addresses, words and regular expressions.

A list is YAML::

    url_list: 1                     # the format
    about: What it blocks, and where it comes from.
    domains: [example.com]          # with all their subdomains; example.com/forum is that part of the site
    files: [adult/domains, ads.txt] # plain lists, relative to this file
    words:                          # of the address, between characters that are neither letters nor digits
      hard: [casino]                # one is enough
      soft: [poker, bonus]          # that many of them are
      soft_limit: 2
      parts: [freeslots]            # anywhere, also inside words
    regex: ['/tag/\\w+/page/\\d+']   # as RE2 reads them, found anywhere, in any case

or plain text with one domain or address a line (`#` begins a comment), such as the ``domains`` and ``urls`` files of the UT1
lists (Université Toulouse Capitole) or a hosts file. Plain lists of millions cost eight bytes an entry: of each, a 64-bit
hash is kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from megadata.config import build, configclass, parse_yaml
from megadata.documents.urls import address
from megadata.errors import ConfigError, CorpusError
from megadata.formats import VERSIONS
from megadata.kernels import hashing
from megadata.kernels.base import U64
from megadata.runtime.streams import open_decoded

_SEED = np.uint64(0x75726C)
_AT_ONCE = 1 << 18
_MOST_STEPS = 16
"""Steps of a path that are looked up one by one."""
_DOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")
"""A line that is a domain as it stands, as most are."""
_SINK = re.compile(r"(?:0\.0\.0\.0|127\.0\.0\.1|::1?|255\.255\.255\.255)[ \t]+")
"""What stands before a name in a hosts file."""


@configclass
class UrlWords:
    """Words of addresses; lower case or not, they are compared in lower case."""

    hard: tuple[str, ...] = ()
    """One of these is enough."""
    soft: tuple[str, ...] = ()
    """Words that count."""
    soft_limit: int = 2
    """How many soft words are too many."""
    parts: tuple[str, ...] = ()
    """Strings that must not occur anywhere in an address, inside words included."""

    def __post_init__(self) -> None:
        for word in (*self.hard, *self.soft):
            if not word.isalnum():
                raise ConfigError(
                    f"words: {word!r}: expected letters and digits only; use `parts` or `regex` for other strings"
                )
        if "" in self.parts:
            raise ConfigError("words.parts: an empty string is part of every address; delete it")
        if self.soft_limit < 1:
            raise ConfigError(f"words.soft_limit must be at least 1, got {self.soft_limit}")


@configclass
class UrlListFile:
    """The keys of a list in YAML."""

    about: str = ""
    """What it blocks."""
    domains: tuple[str, ...] = ()
    """Domains, with their subdomains, and addresses."""
    files: tuple[str, ...] = ()
    """Plain lists, relative to the file that names them."""
    words: UrlWords = UrlWords()
    """Words of addresses."""
    regex: tuple[str, ...] = ()
    """Regular expressions."""

    def __post_init__(self) -> None:
        for pattern in self.regex:
            try:
                if matches(pa.array([""]), pattern)[0].as_py():
                    raise ConfigError(f"regex: {pattern!r}: matches every address, and would drop all documents")
            except pa.ArrowInvalid as error:
                raise ConfigError(
                    f"regex: {pattern!r}: {error}; RE2 has no look-around and no back-references"
                ) from error


@dataclass(frozen=True)
class UrlList:
    """A list as it is asked: sorted hashes of its domains and addresses, words, and expressions."""

    entries: U64
    """uint64[E], sorted: hashes of domains and addresses."""
    words: UrlWords
    regex: tuple[str, ...]
    digest: str
    """SHA-256 over all that the list holds, and nothing of where it lies."""


def load_url_list(path: Path) -> UrlList:
    """Read a list, and the plain lists it names.

    Raises
    ------
    ConfigError
        When a file cannot be read, or holds what is no domain, address, word or expression.
    """
    if path.suffix not in (".yaml", ".yml"):
        entries, digest = _plain(path)
        return UrlList(np.unique(entries), UrlWords(), (), digest)
    text = _bytes_of(path)
    try:
        content = parse_yaml(text.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text, found byte {text[error.start]:#x}") from error
    version = content.pop("url_list", None)
    if version != VERSIONS["url_list"]:
        raise ConfigError(
            f'{path}: expected "url_list: {VERSIONS["url_list"]}" (the format\'s version), found {version!r}'
        )
    try:
        listed = build(UrlListFile, content, str(path))
    except ConfigError as error:
        raise error if str(error).startswith(str(path)) else ConfigError(f"{path}: {error}") from None
    found = [_hashes(_entries(listed.domains, str(path)))]
    digests = [hashlib.sha256(text).hexdigest()]
    for name in listed.files:
        entries, digest = _plain(path.parent / name)
        found.append(entries)
        digests.append(digest)
    digest = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    return UrlList(np.unique(np.concatenate(found)), listed.words, listed.regex, digest)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; expected a list of addresses") from error


def _plain(path: Path) -> tuple[U64, str]:
    """Hashes of a plain list's entries, and the SHA-256 of its decoded bytes."""
    digest = hashlib.sha256()
    found: list[U64] = []

    def lines() -> Iterator[str]:
        with open_decoded(str(path)) as stream:
            while block := stream.readlines(_AT_ONCE):
                whole = b"".join(block)
                digest.update(whole)
                yield from whole.decode("utf-8", "replace").removesuffix("\n").split("\n")

    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; name the lists in it, such as {path / 'domains'}")
    try:
        wanted = _entries(lines(), str(path))
        while part := list(islice(wanted, _AT_ONCE)):
            found.append(_hashes(part))
    except CorpusError as error:
        raise ConfigError(str(error)) from error
    return np.concatenate(found) if found else np.zeros(0, np.uint64), digest.hexdigest()


def _entries(lines: Iterable[str], where: str) -> Iterator[str]:
    """Domains and addresses as `candidates` writes them, of lines with comments and blanks."""
    for number, line in enumerate(lines, 1):
        if _DOMAIN.fullmatch(line):
            yield line
            continue
        text = line.partition("#")[0].strip().lstrip("\ufeff")
        if not text:
            continue
        text = _SINK.sub("", text, count=1).removeprefix("*.").removeprefix(".")
        parts = None if " " in text or "*" in text else address(text if "//" in text else f"//{text}")
        if parts is None:
            raise ConfigError(
                f"{where}:{number}: {line.strip()[:80]!r}: expected a domain such as example.com, or an address"
            )
        path = parts.path.rstrip("/") + parts.query
        yield f"{parts.host}{path}" if path else parts.host


def _hashes(entries: Iterable[str]) -> U64:
    rows = [entry.encode("utf-8", "replace") for entry in entries]
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    out = np.empty(len(rows), np.uint64)
    hashing.hash_rows(np.frombuffer(b"".join(rows), np.uint8), offsets, _SEED, out)
    return out


def candidates(url: str) -> list[str]:
    """What a list may hold of an address: its host and the domains above it, then each with the path as far as each slash."""
    parts = address(url)
    if parts is None:
        return []
    names = [parts.host]
    if not parts.host.startswith("[") and not parts.host.replace(".", "").isdigit():
        names += [parts.host[at + 1 :] for at, mark in enumerate(parts.host) if mark == "."]
    path = parts.path.rstrip("/")
    ends = [at for at, mark in enumerate(path) if mark == "/" and at][:_MOST_STEPS]
    paths = [path[:at] for at in ends] + ([path] if path else []) + ([path + parts.query] if parts.query else [])
    return names + [name + one for name in names for one in paths]


def listed_entries(urls: list[str | None], entries: U64) -> list[str | None]:
    """For each address the entry that names it: the host's own before those of domains above it; None where none does."""
    if not entries.size:
        return [None] * len(urls)
    rows: list[str] = []
    owners: list[int] = []
    for number, url in enumerate(urls):
        mine = candidates(url) if url else []
        rows += mine
        owners += [number] * len(mine)
    hashes = _hashes(rows)
    places = np.minimum(np.searchsorted(entries, hashes), entries.size - 1)
    found: list[str | None] = [None] * len(urls)
    for row in np.flatnonzero(entries[places] == hashes).tolist()[::-1]:
        found[owners[row]] = rows[row]
    return found


def matches(urls: pa.Array, pattern: str) -> Any:
    """bool[D] (Arrow): where a regular expression is found; RE2 needs time linear in the address, whatever the expression."""
    return pc.match_substring_regex(urls, pattern, ignore_case=True)
