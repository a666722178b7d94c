"""The demo's books: the language reference that Python carries for `help()`, set as volumes of plain text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from megadata.errors import CorpusError
from megadata.runtime.files import atomic_write

VOLUMES = {
    "Of Names and Literals": "identifiers id-classes atom-identifiers atom-literals strings numbers integers floating imaginary",
    "Of Objects and Types": (
        "objects types typesfunctions typesmethods typesmodules bltin-code-objects bltin-type-objects bltin-null-object "
        "bltin-ellipsis-object specialattrs"
    ),
    "Of Execution": "execmodel naming exceptions dynamic-features context-managers",
    "Of Special Methods": ("specialnames customization attribute-access callable-types sequence-types numeric-types"),
    "Of Expressions": (
        "conversions lists dict attribute-references subscriptions slicings calls await power unary binary shifting bitwise "
        "comparisons in booleans truth lambda yield exprlists operator-summary"
    ),
    "Of Simple Statements": "assert assignment augassign pass del return raise break continue import global nonlocal",
    "Of Compound Statements": "compound if else while for try with function class async",
    "Of Sequences": "typesseq typesseq-mutable",
    "Of Strings": "string-methods",
    "Of the Formatting of Strings": "formatstrings",
    "Of Mappings": "typesmapping",
    "Of the Debugger": "debugger",
}
"""Titles of the volumes, and the topics that are their chapters; topics of other versions of Python form a last one."""

NUMERALS = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII")
LAST_VOLUME = "Of Further Matters"


@dataclass(frozen=True, slots=True)
class BookReport:
    """What `build_book` wrote."""

    folder: Path
    volumes: tuple[Path, ...]
    chapters: int
    bytes: int


def _topics() -> dict[str, str]:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise CorpusError(
            "demo corpus: expected the module pydoc_data, which comes with Python's standard library, and did not find it; "
            "install the complete standard library of this Python (on Debian: the package libpython3-stdlib)"
        ) from error
    return {name: str(text) for name, text in topics.items()}


def _skeleton(text: str) -> str:
    """The letters of a topic, so that a topic printed inside another one is found whatever its headings look like."""
    return re.sub(r"\W+", "", text)


def _whole_topics(topics: dict[str, str]) -> dict[str, str]:
    """Topics that are not printed, word for word, inside a longer one."""
    bones = {name: _skeleton(text) for name, text in topics.items()}
    by_size = sorted(topics, key=lambda name: (-len(bones[name]), name))
    kept: list[str] = []
    for name in by_size:
        if not any(bones[name] in bones[longer] for longer in kept):
            kept.append(name)
    return {name: topics[name] for name in sorted(kept)}


def _chapter(number: int, text: str) -> tuple[str, str]:
    """Heading and text of a chapter, without the rules under its own heading."""
    heading, _, body = text.strip().partition("\n")
    body = re.sub(r"\A[*=~-]{3,}\n", "", body)
    heading = heading.replace('"', "").replace("*", "").strip()
    return heading, f"CHAPTER {number}. {heading}\n\n\n{body.strip()}\n"


def _name(number: int) -> str:
    return f"volume-{number + 1:02}.txt"


def build_book(folder: Path, *, quick: bool = False) -> BookReport:
    """Write the volumes of the language reference into `folder`, one text file each; volumes of an earlier build go.

    Raises
    ------
    CorpusError
        If this Python lacks `pydoc_data`.
    """
    topics = _whole_topics(_topics())
    plan = {title: names.split() for title, names in VOLUMES.items()}
    plan[LAST_VOLUME] = sorted(topics.keys() - {name for names in plan.values() for name in names})
    plan = {title: [name for name in names if name in topics] for title, names in plan.items()}
    plan = {title: names for title, names in plan.items() if names}
    if quick:
        plan = dict(list(plan.items())[:3])
    for number in range(len(NUMERALS)):
        (folder / _name(number)).unlink(missing_ok=True)
    paths: list[Path] = []
    chapters = size = 0
    for numeral, (title, names) in zip(NUMERALS, plan.items(), strict=False):
        parts = [_chapter(number, topics[name]) for number, name in enumerate(names, start=1)]
        contents = "\n".join(f"   {number}. {heading}" for number, (heading, _) in enumerate(parts, start=1))
        front = f"THE PYTHON LANGUAGE REFERENCE\n\nVOLUME {numeral}\n\n{title.upper()}\n\n\nCONTENTS\n\n{contents}\n"
        text = "\n\n\n".join([front, *(chapter for _, chapter in parts), f"END OF VOLUME {numeral}\n"])
        path = folder / _name(len(paths))
        data = text.encode()
        with atomic_write(path, sync=False) as out:
            out.write(data)
        paths.append(path)
        chapters += len(parts)
        size += len(data)
    return BookReport(folder, tuple(paths), chapters, size)
