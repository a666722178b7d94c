"""Precision and recall of `pii` on spans that people marked in real pages, by kind, beside datatrove's PIIFormatter.

Run from the repository::

    MEGADATA_REAL_DATA=DIR python benchmarks/pii_spans.py [--peer .peers/datatrove/bin/python] [--misses]

The pages are a random sample (`SEED`) of each family of sources. All candidates in them were read that patterns much looser than
the detector's find: anything around "@", "(at)" or "at ... dot"; seven digits with at most three characters between them; four
numbers with dots; three colons; two capitals and two digits; long tokens of letters and digits; words such as "password". Mail
addresses and telephone numbers were marked in the first pages of the sample, the rarer kinds in all of it, before the
detector was run on them. `pii_labels.tsv` says where each marked span lies and has a digest of it, not its text. The detector was
improved on its mistakes in the first pages; those from `HELD_OUT` on were left for the end.

A span is found if the detector's of the same kind overlaps it, and `exact` if it is the same. With ``--misses`` the
wrong and missed ones are printed with their surroundings.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from pii_pages import key, pages, text_of

from megadata.corpus.pii import KINDS, Pii
from megadata.documents.batch import DocBatch

LABELS = Path(__file__).parent / "pii_labels.tsv"
PEER = Path(__file__).parent / "peers" / "datatrove_pii.py"
SEED = 7
SAMPLE = {"web": (1500, 720), "web_debian": (400, 150), "wikipedia": (90, 40), "jsonl": (1200, 400), "eval": (200, 200)}
"""Family -> pages read for all kinds but two, and pages read for mail and telephone."""
FREQUENT = ("email", "phone")
LISTS = {("web", 645)}
"""Pages in which mail and telephone were not marked: a list of hundreds of addresses would be most of all."""
HELD_OUT = ("web", 646)
"""Family, and the first of its pages that were left for the end."""

Span = tuple[str, int, int]
"""Kind, first character, character behind."""


class Page(NamedTuple):
    """A page of the sample."""

    name: str
    text: str
    frequent: bool
    """Whether mail and telephone were marked in it."""
    part: str
    """`first`, or `held out`."""


def sample(place: Path) -> list[Page]:
    """The pages that were read."""
    found: list[Page] = []
    for family, (most, frequent) in SAMPLE.items():
        every = pages(place, family)
        random.Random(SEED).shuffle(every)
        for rank, (path, number) in enumerate(every[:most]):
            marked = rank < frequent and (family, rank) not in LISTS
            part = "held out" if family == HELD_OUT[0] and HELD_OUT[1] <= rank < frequent else "first"
            found.append(Page(f"{path.relative_to(place)}{number}", text_of(path, number), marked, part))
    return found


def labels(texts: dict[str, str]) -> dict[str, list[Span]]:
    """The marked spans of each page; a `SystemExit` says so if a page is not what it was when they were marked."""
    marked: dict[str, list[Span]] = {}
    for line in LABELS.read_text("utf-8").splitlines()[1:]:
        name, kind, start, stop, digest = line.split("\t")
        if name not in texts or key(texts[name][int(start) : int(stop)]) != digest:
            raise SystemExit(
                f"{name}: not the page that was marked; the real data or resiliparse is of another version"
            )
        marked.setdefault(name, []).append((kind, int(start), int(stop)))
    return marked


def ours(texts: list[Page]) -> dict[str, list[Span]]:
    """Spans of the detector, in characters."""
    names = [name for name, *_ in texts]
    docs = DocBatch.of(names, [text for _, text, *_ in texts])
    found: dict[str, list[Span]] = {}
    for d, spans in Pii().find(docs).items():
        data = texts[d].text.encode()
        found[names[d]] = [(kind, len(data[:a].decode()), len(data[:b].decode())) for a, b, kind in spans]
    return found


def peer(python: str, texts: list[Page]) -> dict[str, list[Span]]:
    """Spans of datatrove's patterns."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "texts.json", Path(folder) / "spans.json"
        source.write_text(json.dumps([text for _, text, *_ in texts]), "utf-8")
        subprocess.run([python, str(PEER), str(source), str(target)], check=True)
        answers = json.loads(target.read_text("utf-8"))
    return {name: [tuple(span) for span in spans] for (name, *_), spans in zip(texts, answers, strict=True)}


def _overlap(one: Span, other: Span) -> bool:
    return one[0] == other[0] and one[1] < other[2] and other[1] < one[2]


def compare(
    texts: list[Page], marked: dict[str, list[Span]], found: dict[str, list[Span]]
) -> tuple[dict[str, Counter[str]], list[str]]:
    """Counts by kind, and a line for every span that is missed or wrong."""
    count: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    lines: list[str] = []
    for name, text, frequent, _ in texts:
        here, there = marked.get(name, []), found.get(name, [])
        if not frequent:
            there = [span for span in there if span[0] not in FREQUENT]
        for span in here:
            hit = any(_overlap(span, other) for other in there)
            count[span[0]] += Counter(marked=1, recalled=hit, exact=span in there)
            if not hit:
                lines.append(f"missed {_shown(name, text, span)}")
            elif span not in there:
                other = next(other for other in there if _overlap(span, other))
                lines.append(f"inexact {_shown(name, text, span)} found {text[other[1] : other[2]]!r}")
        for span in there:
            hit = any(_overlap(span, other) for other in here)
            count[span[0]] += Counter(found=1, right=hit)
            if not hit:
                lines.append(f"wrong {_shown(name, text, span)}")
    return count, lines


def _shown(name: str, text: str, span: Span) -> str:
    kind, start, stop = span
    return f"{kind} {name}: {text[max(0, start - 30) : start]!r} {text[start:stop]!r} {text[stop : stop + 12]!r}"


def table(who: str, part: str, count: dict[str, Counter[str]]) -> list[dict[str, object]]:
    return [
        {
            "detector": who,
            "pages": part,
            "kind": kind,
            "marked": c["marked"],
            "found": c["found"],
            "recall": round(c["recalled"] / c["marked"], 3) if c["marked"] else None,
            "exact": round(c["exact"] / c["marked"], 3) if c["marked"] else None,
            "precision": round(c["right"] / c["found"], 3) if c["found"] else None,
        }
        for kind, c in count.items()
        if c
    ]


def main() -> None:
    """Print a line for each kind."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer", default="")
    parser.add_argument("--misses", action="store_true")
    options = parser.parse_args()
    if not os.environ.get("MEGADATA_REAL_DATA"):
        raise SystemExit("MEGADATA_REAL_DATA: not set; the marked pages are real ones")
    texts = sample(Path(os.environ["MEGADATA_REAL_DATA"]))
    marked = labels({name: text for name, text, *_ in texts})
    answers = {"megadata": ours(texts)}
    if options.peer:
        answers["datatrove"] = peer(options.peer, texts)
    for who, found in answers.items():
        for part in ("first", "held out"):
            count, lines = compare([text for text in texts if text.part == part], marked, found)
            for row in table(who, part, count):
                print(json.dumps(row))
            if options.misses:
                print("\n".join(lines), file=sys.stderr)


if __name__ == "__main__":
    main()
