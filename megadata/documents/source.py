"""The contract of a source: how one kind of input file is recognised, cut into spans and read.

megadata's own sources are named in `registry`; those of other packages are found through the entry-point group
``megadata.sources``, so a user's source is a class with this shape and one line in their ``pyproject.toml``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from megadata.config import build, configclass, override
from megadata.documents.batch import DocBatch, Record
from megadata.documents.wikitemplates import template_table
from megadata.errors import ConfigError, CorpusError
from megadata.runtime.units import InputFile, Span


@configclass
class ReadOptions:
    """What a user may choose about reading (``--set read.NAME=VALUE``); the same for all sources. Part of the step's identity."""

    kind: str | None = None
    """Read every file as this kind, whatever its name and first bytes; None recognises each."""
    text_field: str = "text"
    """Field or column that holds the text; nested fields by dotted path, the whole record as JSON with ``.``."""
    id_field: str = "id"
    """Field or column that holds the document's own id."""
    header: bool = True
    """Whether the first row of a csv or tsv file names the columns; without, they are named 0, 1, ..."""
    delimiter: str | None = None
    """What stands between the cells of csv and tsv files; None tells it from the name and the first row."""
    quotes: bool | None = None
    """Whether double quotes enclose cells of csv and tsv files; None: in csv always, in tsv where they come in pairs."""
    extractor: str = "blocks"
    """How HTML becomes text: `blocks` (megadata's own rules), `resiliparse`, `trafilatura`, or an installed package's."""
    max_record_bytes: int = 256 << 20
    """Records larger than this many decoded bytes are set aside as `record_too_large`."""
    max_expansion: int = 250
    """Decoded bytes for each stored one of a compressed file, beyond a first GiB; what is more is taken for a bomb."""
    max_page_characters: int = 32 << 20
    """Larger HTML pages are set aside as `page_too_large`."""
    max_page_depth: int = 2000
    """HTML pages with more elements inside one another are set aside as `page_too_deep` by extractors that build a tree,
    which takes the square of the depth; `blocks` reads them all."""
    page_seconds: float = 20.0
    """HTML pages that keep an extractor's Python code busy for longer (processor time) are set aside as `page_timeout`."""

    max_set_aside: int = 10_000
    """Records of one reason in one span that are kept among the removed documents; all are counted."""
    namespaces: tuple[int | str, ...] = (0,)
    """Pages of wiki dumps that are read, by the number of their namespace or its name in the dump (``Help``)."""
    redirects: Literal["skip", "keep"] = "skip"
    """Whether wiki pages that only send the reader on are documents (the target's title is their text)."""
    disambiguations: Literal["skip", "keep"] = "skip"
    """Whether wiki pages that list the meanings of a word are documents."""
    wiki_tables: Literal["drop", "flatten"] = "drop"
    """Tables of wiki pages: left out, or a line for each row with bars between the cells."""
    wiki_templates: dict[str, Any] | str | None = None
    """What becomes of templates, beyond the table that ships: a YAML file, or its contents."""

    def __post_init__(self) -> None:
        if self.wiki_templates is not None:
            object.__setattr__(self, "wiki_templates", template_table(self.wiki_templates))
        for name in ("max_set_aside", "max_record_bytes", "max_expansion", "max_page_characters", "max_page_depth"):
            if (value := getattr(self, name)) < 1:
                raise ConfigError(f"read.{name} must be at least 1, got {value}")
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '\r\n"'):
            raise ConfigError(f"read.delimiter must be one character, got {self.delimiter!r}")
        if not 0 < self.page_seconds < float("inf"):
            raise ConfigError(f"read.page_seconds must be more than 0, got {self.page_seconds}")


WHOLE = "."
"""The text field that stands for a whole record, as JSON."""

READ = "read."
"""How `--set` names the options of reading."""


def read_options(values: Mapping[str, Any], assignments: Iterable[str] = ()) -> tuple[ReadOptions, tuple[str, ...]]:
    """Options from plain values and the ``read.`` part of ``--set`` assignments; also the other assignments.

    Raises
    ------
    ConfigError
        For an unknown name or a value that does not fit.
    """
    given = tuple(assignments)
    mine = [one for one in given if one.startswith(READ)]
    changed = override({"read": dict(values)}, mine)["read"]
    return build(ReadOptions, changed, "read"), tuple(one for one in given if not one.startswith(READ))


@dataclass(slots=True)
class Problems:
    """Records that could not be read: counted by reason and kept, so that nothing is silently dropped.

    A reader calls `add` and goes on with the next record. What is kept of it is bounded: a damaged file can hold a bad record
    every other byte.
    """

    most: int = 10_000
    """Records of one reason that are kept; more of them are only counted."""
    counts: Counter[str] = field(default_factory=Counter)
    items: list[dict[str, Any]] = field(default_factory=list)

    def add(self, reason: str, where: str, detail: str = "", excerpt: str = "") -> None:
        """Set a record aside: `reason` is a stable name (``bad_json``), `where` a file and position."""
        self.counts[reason] += 1
        if self.counts[reason] > self.most:
            return
        self.items.append({"reason": reason, "where": where, "detail": detail[:500], "excerpt": excerpt[:500]})

    def forget(self, reason: str, where: str) -> None:
        """Take back what was added of a place, because it is told elsewhere."""
        kept = [item for item in self.items if (item["reason"], item["where"]) != (reason, where)]
        self.counts[reason] -= len(self.items) - len(kept)
        self.counts += Counter()  # without those that are zero
        self.items[:] = kept

    def tally(self, source: str) -> Counter[str]:
        """The counts by the names of statistics: ``unreadable|SOURCE|REASON``, ``skipped|SOURCE|REASON``."""
        kinds = {reason: "skipped" if reason.startswith("skipped:") else "unreadable" for reason in self.counts}
        return Counter(
            {f"{kinds[reason]}|{source}|{reason.removeprefix('skipped:')}": n for reason, n in self.counts.items()}
        )

    def skip(self, reason: str) -> None:
        """Count what is left out by choice and is not a fault (a redirect page, a WARC request record)."""
        self.counts[f"skipped:{reason}"] += 1


class Unfit(CorpusError):
    """A whole file that its source cannot read as the options say, raised before its first record.

    It ends the run where the user named the file itself. Below a folder, or inside an archive, it is set aside under `reason`
    (`set_aside`), and the other files are read.
    """

    reason: ClassVar[str] = "unfit"
    """Stable name under which the file is counted."""


class NoTextColumn(Unfit):
    """A table without a column of text where the options say."""

    reason = "no_text_field"


class NotUtf8(Unfit):
    """Text in another encoding than UTF-8, where the kind leaves no choice."""

    reason = "not_utf8"


class CompressedTwice(Unfit):
    """A file of a kind that is compressed inside, compressed as a whole."""

    reason = "compressed_twice"


def set_aside(error: Unfit, span: Span, problems: Problems) -> None:
    """Count a file that cannot be read, once however many spans it has.

    Raises
    ------
    Unfit
        The error itself, where the user named the file.
    """
    if span.file.named:
        raise error
    if span.start == 0:
        problems.add(error.reason, span.file.name, str(error).removeprefix(f"{span.file.name}: "))


class Source(Protocol):
    """One kind of input."""

    kind: ClassVar[str]
    """Name of the format: ``warc``, ``wet``, ``html``, ``mediawiki``, ``epub``, ``txt``, ``jsonl``, ``parquet``."""
    default_source: ClassVar[str]
    """Kind of text inside: web, books, wikipedia or text. Decides the rule list where the user names none."""
    version: ClassVar[str]
    """Raised whenever the same bytes would be read differently; part of the step's identity."""
    suffixes: ClassVar[tuple[str, ...]]
    """Endings of file names, compression ending removed: ``.warc``."""

    # `ranges: ClassVar[bool] = True` tells that a file is cut into byte ranges wherever its storage allows, so that one that can
    # only be read from its start is worth a copy (`megadata.documents.unpack`).

    def sniff(self, head: bytes, name: str) -> bool:
        """Whether a file with these first bytes (decoded, at most 4 KiB) is of this kind, whatever its name."""
        ...

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """Cut a file without reading it through."""
        ...

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """Documents whose first byte lies in the span, in order, in batches of bounded size."""
        ...


BATCH_DOCUMENTS = 2048
BATCH_BYTES = 8 << 20


def batches(records: Iterator[tuple[int, Record]], file: InputFile) -> Iterator[DocBatch]:
    """Collect (position in the file, record) pairs into batches.

    Records without an id are named ``path:position``. The path relative to the input is kept as ``metadata.path``.
    """
    import orjson

    ids: list[str] = []
    texts: list[str] = []
    urls: list[str | None] = []
    notes: list[str | None] = []
    held = 0
    for position, record in records:
        ids.append(record.id or f"{file.name}:{position}")
        texts.append(record.text)
        urls.append(record.url)
        notes.append(orjson.dumps({**(record.metadata or {}), "path": file.name}).decode())
        held += len(record.text)
        if len(ids) >= BATCH_DOCUMENTS or held >= BATCH_BYTES:
            yield DocBatch.of(ids, texts, file.source, urls, notes)
            ids, texts, urls, notes, held = [], [], [], [], 0
    if ids:
        yield DocBatch.of(ids, texts, file.source, urls, notes)
