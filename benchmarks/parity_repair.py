"""Whether `repair` gives what ftfy.fix_text gives, for every file of MEGADATA_REAL_DATA that is text.

Run from the repository::

    MEGADATA_REAL_DATA=DIR python benchmarks/parity_repair.py [--share 1/4]

Files are unpacked (gzip, bzip2, xz, zstd) and read as what they are: UTF-8, UTF-16 with its mark, or, where neither fits, both as
UTF-8 with replacement characters and as Windows-1252. Files with zero bytes are not text. Every `BROKEN`th text is also broken
first, as mojibake is made: its UTF-8 taken for Windows-1252. Prints what was compared, and the files that differ; the exit status
is their number. ``--share 1/4`` takes every fourth file, because ftfy needs minutes for all.
"""

from __future__ import annotations

import argparse
import codecs
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import ftfy
import ftfy.bad_codecs  # registers sloppy-windows-1252

from megadata.corpus.repair import Repair
from megadata.documents.batch import DocBatch
from megadata.runtime.streams import open_decoded

BROKEN = 20
BROKEN_CHARACTERS = 200_000
PACKED = (".gz", ".bz2", ".xz", ".zst")


def texts(data: bytes) -> Iterator[tuple[str, str]]:
    """(how it was read, text) of a file's bytes; none of what is no text."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield "utf-16", data.decode("utf-16", "replace").encode("utf-8", "replace").decode()
    elif b"\0" not in data[:65_536]:
        try:
            yield "utf-8", data.decode()
        except UnicodeDecodeError:
            yield "utf-8 with replacements", data.decode("utf-8", "replace")
            yield "windows-1252", data.decode("sloppy-windows-1252")


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def content(path: Path) -> bytes:
    if path.suffix not in PACKED:
        return path.read_bytes()
    try:
        with open_decoded(str(path)) as stream:
            return stream.read()
    except (OSError, EOFError, ValueError):  # damaged on purpose
        return path.read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", default="1/1", metavar="K/N")
    part, parts = map(int, parser.parse_args().share.split("/"))
    root = Path(os.environ["MEGADATA_REAL_DATA"])
    count: Counter[str] = Counter()
    different: list[str] = []
    step = Repair()
    for path in files(root)[part - 1 :: parts]:
        data = content(path)
        found = list(texts(data))
        count["files"] += 1
        count["files of text"] += bool(found)
        if found and count["files of text"] % BROKEN == 0:
            found.append(("broken", found[0][1][:BROKEN_CHARACTERS].encode().decode("sloppy-windows-1252")))
        for how, text in found:
            size = len(text.encode())
            count["texts"] += 1
            count[f"bytes read as {how}"] += size
            expected = ftfy.fix_text(text)
            (answer,) = step.map(DocBatch.of(["0"], [text])).texts
            count["texts that ftfy changes"] += expected != text
            if answer != expected:
                different.append(f"{path.relative_to(root)} ({how})")
                print(different[-1], file=sys.stderr, flush=True)
    total = sum(size for name, size in count.items() if name.startswith("bytes"))
    print(json.dumps({"share": f"{part}/{parts}", **count, "bytes": total, "different": len(different)}))
    sys.exit(min(len(different), 100))


if __name__ == "__main__":
    main()
