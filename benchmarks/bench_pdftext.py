"""How much of a manual's HTML edition is found in the text of its PDF edition, before and after pages are made running text.

::

    python benchmarks/bench_pdftext.py FOLDER [MANUAL ...]

downloads the Debian packages of the manuals into FOLDER (`apt-get download`, unpacked there with `dpkg -x`; nothing
is installed), runs `pdftotext` of poppler-utils, and prints one JSON line a manual: the share of the PDF text's
4-grams of words and marks that the HTML edition has (precision), the share of the HTML edition's 4-grams that the PDF
text has (recall), and characters a second. The HTML editions have navigation and contents of their own, so recall is
comparable between before and after only.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from megadata.corpus.sources.charset import decode
from megadata.corpus.sources.pages import unpage
from megadata.corpus.sources.xhtml import page_text
from megadata.runtime.streams import open_decoded

MANUALS = {
    "debian-policy": ("debian-policy", "policy.pdf*", "policy.html/*.html*"),
    "developers-reference": ("developers-reference", "developers-reference.pdf*", "*.html*"),
    "developers-reference-de": ("developers-reference-de", "developers-reference.pdf*", "*.html*"),
    "debian-reference-en": ("debian-reference-en", "debian-reference.en.pdf*", "*.en.html*"),
    "debian-reference-de": ("debian-reference-de", "debian-reference.de.pdf*", "*.de.html*"),
    "debian-reference-fr": ("debian-reference-fr", "debian-reference.fr.pdf*", "*.fr.html*"),
    "debian-faq": ("debian-faq", "debian-faq.en.pdf*", "*.en.html*"),
    "maint-guide": ("maint-guide", "maint-guide.en.pdf*", "*.en.html*"),
    "maint-guide-es": ("maint-guide-es", "maint-guide.es.pdf*", "*.es.html*"),
    "bash": ("bash-doc", "bashref.pdf*", "bashref.html*"),
    "R-intro": ("r-doc-pdf r-doc-html", "R-intro.pdf*", "R-intro.html*"),
    "R-exts": ("r-doc-pdf r-doc-html", "R-exts.pdf*", "R-exts.html*"),
    "R-admin": ("r-doc-pdf r-doc-html", "R-admin.pdf*", "R-admin.html*"),
    "R-lang": ("r-doc-pdf r-doc-html", "R-lang.pdf*", "R-lang.html*"),
}
"""Manual -> (packages, name of the PDF file, names of the pages)."""

WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")


def grams(text: str) -> Counter[tuple[str, ...]]:
    """How often each run of four words and marks occurs."""
    words = WORD.findall(text)
    return Counter(zip(words, words[1:], words[2:], words[3:], strict=False))


def content(path: Path) -> bytes:
    """Bytes of a file, gzip undone."""
    with open_decoded(str(path)) as stream:
        return stream.read()


def files(folder: Path, packages: list[str], pattern: str) -> list[Path]:
    """Files of packages, one for each name: links and compressed twins are left out."""
    found = (p for name in packages for p in sorted((folder / name).rglob(pattern)) if p.is_file())
    return list({p.name.removesuffix(".gz"): p for p in found}.values())


def fetch(folder: Path, package: str) -> None:
    """Unpack a package's files below the folder."""
    if not (folder / package).exists():
        subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True, capture_output=True)
        (archive,) = folder.glob(f"{package}_*.deb")
        subprocess.run(["dpkg", "-x", archive.name, package], cwd=folder, check=True)


def main(folder: Path, names: list[str]) -> None:
    """Measure the manuals named, or all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or MANUALS:
        packages, pdf, pages = MANUALS[name][0].split(), *MANUALS[name][1:]
        for package in packages:
            fetch(folder, package)
        (folder / "manual.pdf").write_bytes(content(files(folder, packages, pdf)[0]))
        subprocess.run(["pdftotext", "manual.pdf", "manual.txt"], cwd=folder, check=True, capture_output=True)
        raw = (folder / "manual.txt").read_text("utf-8")
        start = time.process_time()
        clean = unpage(raw)
        seconds = time.process_time() - start
        wanted = grams("\n".join(page_text(decode(content(page))) for page in files(folder, packages, pages)))
        line: dict[str, object] = {"bench": f"pdftext/{name}", "characters_per_s": round(len(raw) / seconds)}
        for label, text in (("before", raw), ("after", clean)):
            got = grams(text)
            shared = sum((got & wanted).values())
            line[label] = {
                "precision": round(shared / got.total(), 3),
                "recall": round(shared / wanted.total(), 3),
            }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
