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

_SMALL = 50_000_000
"""Bytes of input under which the smallest models and vocabularies are proposed."""


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
        found = expand([argument])
        for family in dict.fromkeys(file.family for file in found.files):
            key = (label or family, family)
            place = rest if "://" in rest or rest.startswith("@") else os.path.relpath(rest, path.parent or Path())
            groups.setdefault(key, []).append(place)
            sizes[key] = sizes.get(key, 0) + sum(f.size for f in found.files if f.family == family)
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


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
