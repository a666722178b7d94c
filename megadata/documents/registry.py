"""Which source reads which file: megadata's own, and those that other packages register.

A package adds a source with an entry point of the group ``megadata.sources``; its name must not be one of ours.
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import entry_points
from pathlib import PurePosixPath
from typing import cast

from megadata.documents.refused import BY_ENDING, Refused, refusal
from megadata.documents.source import Source
from megadata.errors import ConfigError
from megadata.runtime.damage import DamagedStream
from megadata.runtime.streams import COMPRESSIONS, open_decoded

OURS = {
    "jsonl": "megadata.documents.jsonl:Jsonl",
    "parquet": "megadata.documents.parquet:ParquetFile",
    "arrow": "megadata.documents.arrow:ArrowIpc",
    "csv": "megadata.documents.delimited:Delimited",
    "json": "megadata.documents.jsonarray:JsonArray",
    "lines": "megadata.documents.textlines:TextLines",
    "warc": "megadata.corpus.sources.warc:Warc",
    "wet": "megadata.corpus.sources.wet:Wet",
    "arc": "megadata.corpus.sources.arc:Arc",
    "html": "megadata.corpus.sources.html:Html",
    "mediawiki": "megadata.corpus.sources.mediawiki:MediaWiki",
    "wikidoc": "megadata.corpus.sources.text:WikiDoc",
    "wikitext": "megadata.corpus.sources.wikifiles:WikiPages",
    "epub": "megadata.corpus.sources.books:Epub",
    "gutenberg": "megadata.corpus.sources.books:PlainBook",
    "tei": "megadata.corpus.sources.books:Tei",
    "tar": "megadata.documents.archives:Tar",
    "wacz": "megadata.documents.archives:Wacz",
    "zip": "megadata.documents.archives:Zip",
    "txt": "megadata.corpus.sources.text:PlainText",
}
"""Kind -> class, imported when needed. Earlier kinds win where two recognise the same bytes."""

ENDINGS = {
    ".jsonl": ("jsonl",),
    ".ndjson": ("jsonl",),
    ".parquet": ("parquet",),
    ".arrow": ("arrow",),
    ".arrows": ("arrow",),
    ".csv": ("csv",),
    ".tsv": ("csv",),
    ".tab": ("csv",),
    ".warc": ("warc",),
    ".wet": ("wet",),
    ".arc": ("arc",),
    ".html": ("html",),
    ".htm": ("html",),
    ".xhtml": ("html",),
    ".shtml": ("html",),
    ".xml": ("mediawiki", "tei"),
    ".epub": ("epub",),
    ".tei": ("tei",),
    ".wiki": ("wikidoc", "wikitext"),
    ".wikitext": ("wikitext",),
    ".mediawiki": ("wikitext",),
    ".tar": ("tar",),
    ".wacz": ("wacz",),
    ".txt": ("gutenberg", "txt"),
    ".text": ("txt",),
    ".md": ("txt",),
}
"""What the classes say of endings (`Source.suffixes`), so that a file is recognised by its name before any class is imported."""

READERS = ("fastwarc", "resiliparse", "trafilatura")
"""Libraries that shape what sources read; steps that read raw files name them in their identity."""

FAMILIES = ("web", "books", "wikipedia", "text")
HEAD_BYTES = 4096


@cache
def sources() -> dict[str, Source]:
    """All sources by kind."""
    return {kind: source(kind) for kind in OURS} | foreign()


@cache
def foreign() -> dict[str, Source]:
    """Sources that other packages register."""
    found: dict[str, Source] = {}
    for entry in entry_points(group="megadata.sources"):
        if entry.name in OURS:
            raise ConfigError(
                f"entry point megadata.sources {entry.name!r} ({entry.value}): the name is megadata's own"
            )
        found[entry.name] = cast("Source", entry.load()())
    return found


@cache
def source(kind: str) -> Source:
    """The source of one kind; of ours, only its own module is imported."""
    if kind not in OURS:
        return foreign()[kind]
    module, _, name = OURS[kind].partition(":")
    return cast("Source", getattr(importlib.import_module(module), name)())


def suffix_of(name: str) -> str:
    """Ending of a file name without a compression ending, lower case: ``.jsonl`` of ``a.jsonl.zst``."""
    path = PurePosixPath(name.lower())
    return PurePosixPath(path.stem).suffix if path.suffix in COMPRESSIONS else path.suffix


CARD = Refused("a dataset card", "name the files of the dataset")


def _is_card(path: str) -> bool:
    """Whether a README opens with the fields by which the Hugging Face hub describes a repository."""
    with open_decoded(path) as stream:
        return stream.read(4) == b"---\n"


def recognise(path: str, name: str, family: str | None = None) -> str | Refused | None:
    """Kind of a file by its ending and first bytes; what it is where we know it and do not read it; None where nothing fits.

    `family` is what the user says the text is; plain text of the family ``books`` is read as a book, and of the family
    ``wikipedia`` as a page of a wiki where it is full of its markup.
    """
    others = foreign()
    ending = suffix_of(name)
    if ending in BY_ENDING:
        return BY_ENDING[ending]
    if PurePosixPath(name).name == "README.md" and _is_card(path):
        return CARD
    by_name = [*ENDINGS.get(ending, ()), *(kind for kind, one in others.items() if ending and ending in one.suffixes)]
    if len(by_name) == 1 and (by_name[0] != "txt" or family not in ("books", "wikipedia")):
        return by_name[0]
    try:
        with open_decoded(path) as stream:
            head = stream.read(HEAD_BYTES)
    except DamagedStream:
        return by_name[0] if by_name else None
    candidates = by_name or [*OURS, *others]
    if family == "books" and "txt" in candidates:
        if not by_name and source("epub").sniff(head, name):
            return "epub"
        # Text may begin with the letters that some binary kinds begin with.
        not_text = b"\0" in head or head.startswith((b"%PDF-", b"%!PS", b"{\\rtf"))
        return (refusal(head) if not_text else None) or "gutenberg"
    if family == "wikipedia" and "txt" in by_name and source("wikitext").sniff(head, name):
        return "wikitext"
    for kind in candidates:
        if source(kind).sniff(head, name):
            return kind
    if (known_not_read := refusal(head)) is not None:
        return known_not_read
    return "txt" if "txt" in by_name else None
