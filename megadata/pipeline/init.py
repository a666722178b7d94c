"""`megadata init`: look at files and write a recipe to edit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from megadata.documents.inputs import expand, split_label
from megadata.errors import OutputError
from megadata.pipeline.recipe import RECIPE_VERSION
from megadata.runtime.files import atomic_write
from megadata.runtime.progress import human
from megadata.runtime.units import InputFile

_SMALL = 50_000_000
"""Bytes of input under which the smallest models and vocabularies are proposed."""
_PLAIN, _BOOK = "txt", 100_000
"""The kind of plain text, and the bytes from which one is as long as a book."""


@dataclass(frozen=True, slots=True)
class InitReport:
    """What was found, by source."""

    path: Path
    sources: dict[str, str]


def init(arguments: Sequence[str], path: Path) -> InitReport:
    """Recognise the inputs and write a recipe that names each kind of text as a source.

    Raises
    ------
    CorpusError
        If an input holds nothing that megadata reads.
    OutputError
        If `path` exists.
    """
    if path.exists():
        raise OutputError(f"{path}: a recipe lies here already; choose another -o, or delete it first")
    groups: dict[tuple[str, str], list[str]] = {}
    sizes: dict[tuple[str, str], int] = {}
    for argument in arguments:
        label, rest = split_label(argument)
        files = expand([argument]).files
        families = _families(files)
        apart = len(set(families.values())) > 1
        for family in dict.fromkeys(families.values()):
            key = (f"{label}-{family}" if label and apart else label or family, family)
            for place in _cover(families, family) if apart and os.path.isdir(rest) else [""]:  # noqa: PTH112
                named = os.path.join(rest, place) if place else rest  # noqa: PTH118
                local = "://" not in rest and not rest.startswith("@")
                groups.setdefault(key, []).append(os.path.relpath(named, path.parent or Path()) if local else named)
            sizes[key] = sizes.get(key, 0) + sum(f.size for f in files if families[f.name] == family)
    total = sum(sizes.values())
    lines = [
        f"recipe: {RECIPE_VERSION}",
        "output: out                      # folder of all results, relative to this file",
        "sources:",
    ]
    for (name, family), places in groups.items():
        lines += [f"  {name}:                          # {human(sizes[name, family])}", "    input:"]
        lines += [f"      - {_quoted(place)}" for place in places]
        lines.append(f"    kind: {family}                  # decides the rules: web, books, wikipedia or text")
    vocabulary = 8192 if total < _SMALL else 32768
    gpt, bert = ("gpt-tiny", "bert-tiny") if total < _SMALL else ("gpt-mini", "bert-mini")
    lines += [
        "dedup:",
        "  threshold: 0.8                 # Jaccard similarity that makes a duplicate",
        f"  prefer: [{', '.join(name for name, _ in groups)}]",
        "# decontaminate: {against: [evals/]}   # evaluation sets whose text must not be in the training data",
        "tokenizer:",
        f"  vocab_size: {vocabulary}",
        "tokenize:",
        "  split: {train: 0.98, validation: 0.02}",
        "blend: {}                        # by tokens; or weights: {name: number}",
        "train:",
        f"  gpt: {{config: {gpt}}}",
        f"  # bert: {{config: {bert}}}",
    ]
    with atomic_write(path) as file:
        file.write(("\n".join(lines) + "\n").encode())
    return InitReport(path, dict(groups.keys()))


def _families(files: Sequence[InputFile]) -> dict[str, str]:
    """The family of each file by its name; plain texts as long as books are taken for books."""
    sizes = sorted(file.size for file in files if file.kind == _PLAIN)
    long = bool(sizes) and sizes[len(sizes) // 2] >= _BOOK
    return {f.name: "books" if long and f.kind == _PLAIN and f.family == "text" else f.family for f in files}


def _cover(families: dict[str, str], family: str, below: str = "") -> list[str]:
    """The fewest folders and files, by their paths, that hold all files of a family below a folder and no others."""
    found: list[str] = []
    inside = [name for name in families if name.startswith(below)]
    for entry in dict.fromkeys(name[len(below) :].split("/")[0] for name in inside):
        path = f"{below}{entry}"
        held = {families[name] for name in inside if name == path or name.startswith(f"{path}/")}
        if held == {family}:
            found.append(path)
        elif family in held:
            found += _cover({name: families[name] for name in inside}, family, f"{path}/")
    return found


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
