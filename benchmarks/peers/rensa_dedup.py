"""rensa over a file of JSON lines: word shingles in Python, signatures and bands in rensa, JSON lines out.

``python rensa_dedup.py INPUT OUTPUT BANDS ROWS``: prints the documents that were kept. Of documents that share a band value the
first stays, as in rensa's own examples; nothing is verified.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import orjson
from rensa import RMinHash, RMinHashLSH

WORD = re.compile(r"\w+")


def shingles(text):
    """Word 5-grams."""
    words = WORD.findall(text.lower())
    return {" ".join(words[at : at + 5]) for at in range(max(1, len(words) - 4))}


def main(source, target, bands, rows):
    """Read, sign, find, write."""
    bands, permutations = int(bands), int(bands) * int(rows)
    lines = Path(source).read_bytes().splitlines()
    sketches = RMinHash.from_token_sets([shingles(orjson.loads(line)["text"]) for line in lines], permutations, 1)
    index = RMinHashLSH(0.8, permutations, bands)
    index.insert_pairs(list(enumerate(sketches)))
    kept = 0
    with Path(target).open("wb") as file:
        for row, (line, alike) in enumerate(zip(lines, index.query_all(sketches), strict=True)):
            if min(alike) == row:
                file.write(line + b"\n")
                kept += 1
    print(f"kept {kept}")


if __name__ == "__main__":
    main(*sys.argv[1:])
