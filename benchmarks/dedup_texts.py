"""Text for measuring deduplication: real documents, all distinct, and copies of known likeness planted among them.

The documents are those of `real_documents` (pages, articles, chapters, news of MEGADATA_REAL_DATA) and, where these do not
suffice, books from a folder of ``.txt`` files, cut at blank lines into documents whose lengths are spread like those of web
pages: a median of three thousand characters, a mean half as large again. Books alone would make a corpus of a few large
documents, which any tool finds easy.

``python benchmarks/dedup_texts.py FILE [--megabytes 200] [--texts DIR] [--copies 0.2]`` writes JSON lines.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
from real_documents import real_documents

from megadata.corpus.dedup import DedupConfig, find_duplicates
from megadata.documents.batch import DocBatch

SIMILARITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
MEDIAN, SPREAD = 3_000, 0.9
"""Characters of a document cut from a book: lognormal."""
SHORTEST, LONGEST = 300, 60_000
_WORD = re.compile(r"\w+")
_BLANK_LINES = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class Planted:
    """A copy of a document in which words were replaced."""

    original: str
    copy: str
    aim: float


def of_books(folder: Path, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Documents cut from the books of a folder, in the order of their paths."""
    for path in sorted(folder.rglob("*.txt")):
        paragraphs = _BLANK_LINES.split(path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n"))
        piece: list[str] = []
        held, wanted, number = 0, _length(rng), 0
        for paragraph in paragraphs:
            piece.append(paragraph)
            held += len(paragraph) + 2
            if held >= wanted:
                yield f"{path.stem}/{number}", "\n\n".join(piece)[:LONGEST]
                piece, held, wanted, number = [], 0, _length(rng), number + 1


def _length(rng: random.Random) -> float:
    return min(max(rng.lognormvariate(0, SPREAD) * MEDIAN, SHORTEST), LONGEST)


def distinct(megabytes: int, texts: Path | None = None) -> list[tuple[str, str]]:
    """(id, text) of about so many megabytes of documents, none of which is a copy of another at the default settings."""
    rng = random.Random(1)
    found, size, enough = [], 0, megabytes * 1_000_000
    sources = [iter(real_documents()), *([of_books(texts, rng)] if texts else [])]
    for one in (document for source in sources for document in source):
        if size >= enough * 1.03:
            break
        found.append(one)
        size += len(one[1].encode())
    docs = DocBatch.of([str(row) for row in range(len(found))], [text for _, text in found])
    copies = find_duplicates(docs, DedupConfig(threshold=0.5, recall=0.95)).removed
    return [one for row, one in enumerate(found) if row not in copies]


def changed(text: str, similarity: float, pool: list[str], rng: random.Random, width: int = 5) -> str:
    """The text with words replaced until its word 5-grams are about as similar as wanted; at 1, with other blanks."""
    if similarity == 1:
        return text.replace(" ", "  ")
    words = list(_WORD.finditer(text))
    whole = (2 * similarity / (1 + similarity)) ** (1 / width)
    pieces, end = [], 0
    for at in sorted(rng.sample(range(len(words)), round(len(words) * (1 - whole)))):
        pieces += [text[end : words[at].start()], rng.choice(pool)]
        end = words[at].end()
    return "".join([*pieces, text[end:]])


def plant(documents: list[tuple[str, str]], share: float, seed: int = 2) -> list[Planted]:
    """Copies of a share of the documents; the i-th copy has the similarity i of `SIMILARITIES`, in turn."""
    rng = random.Random(seed)
    pool = [word for _, text in documents[:: max(1, len(documents) // 200)] for word in _WORD.findall(text)[:200]]
    chosen = rng.sample(range(len(documents)), round(share * len(documents)))
    found = []
    for number, row in enumerate(chosen):
        name, text = documents[row]
        aim = SIMILARITIES[number % len(SIMILARITIES)]
        found.append(Planted(name, changed(text, aim, pool, rng), aim))
    return found


def write(path: Path, documents: list[tuple[str, str]], planted: list[Planted]) -> int:
    """JSON lines of documents and copies, shuffled; the bytes of text in them."""
    lines = [*documents, *((f"copy/{n}/{one.aim}", one.copy) for n, one in enumerate(planted))]
    random.Random(3).shuffle(lines)
    with path.open("wb") as file:
        for name, text in lines:
            file.write(orjson.dumps({"id": name, "text": text}, option=orjson.OPT_APPEND_NEWLINE))
    return sum(len(text.encode()) for _, text in lines)


def main() -> None:
    """Write a corpus, and print what is in it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--texts", type=Path, help="folder of books as .txt")
    parser.add_argument("--copies", type=float, default=0.2)
    given = parser.parse_args()
    documents = distinct(given.megabytes, given.texts)
    planted = plant(documents, given.copies)
    size = write(given.file, documents, planted)
    own = sum(len(text.encode()) for _, text in documents)
    line = {"documents": len(documents), "megabytes": own / 1e6, "copies": len(planted), "with_copies": size / 1e6}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
