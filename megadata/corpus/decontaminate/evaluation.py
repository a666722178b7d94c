"""Evaluation sets: files of any kind to items, and items to the texts that are looked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from megadata.config import nearest
from megadata.corpus.decontaminate.config import DecontaminateConfig
from megadata.documents.archives import ARCHIVES
from megadata.documents.fields import as_id, dig
from megadata.documents.inputs import Inputs, expand, plan, read_span, some
from megadata.documents.source import WHOLE, Problems, ReadOptions
from megadata.errors import ConfigError, CorpusError
from megadata.runtime.files import digest_of
from megadata.runtime.progress import Reporter
from megadata.runtime.streams import open_raw
from megadata.runtime.units import InputFile

TABLES = ("jsonl", "json", "csv", "parquet", "arrow")
"""Kinds whose records have fields; of all others an item is one document."""

SQUAD = ("data", "paragraphs", "qas")
"""Lists of SQuAD's form: articles, paragraphs with a context, questions."""


@dataclass(slots=True)
class Evaluation:
    """All items of all sets, and their texts in order: text r is field `fields[r]` of item `items[r]`."""

    sets: list[str] = field(default_factory=list)
    """Names of the sets."""
    ids: list[str] = field(default_factory=list)
    """Id of each item."""
    set_of: list[int] = field(default_factory=list)
    """Which set each item belongs to."""
    texts: list[str] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    """Dotted path of each text in its item; ``[n]`` are places in lists."""

    def item_of(self, text: int) -> tuple[str, str, str]:
        """Set, item and field of a text."""
        item = self.items[text]
        return self.sets[self.set_of[item]], self.ids[item], self.fields[text]


def find(arguments: Sequence[str], read: ReadOptions) -> Inputs:
    """The files behind ``--against``.

    Raises
    ------
    ConfigError, CorpusError
        Where nothing is named, or nothing readable is found.
    """
    if not arguments:
        raise ConfigError("--against: expected evaluation sets to look for, found none; name their files or folders")
    found = expand(arguments, read=replace(read, text_field=WHOLE))
    for file in found.files:
        if file.kind in ARCHIVES:
            raise CorpusError(f"{file.name}: expected evaluation items, found an archive of files; unpack it first")
    return found


def digests(inputs: Inputs) -> list[list[str]]:
    """Name of the set, name of the file and SHA-256 of the bytes of each file, for the step's identity."""
    found = []
    for file in inputs.files:
        with open_raw(file.path) as raw:
            found.append([set_name(file, inputs), file.name, digest_of(raw)])
    return found


def set_name(file: InputFile, inputs: Inputs) -> str:
    """The set that a file's items belong to: NAME in ``NAME=EVAL``, else the file itself."""
    return file.source if file.source in inputs.labels else file.name


def read_sets(inputs: Inputs, config: DecontaminateConfig, progress: Reporter) -> Evaluation:
    """Read all items, and take the texts of the wanted fields.

    Raises
    ------
    CorpusError
        Where a file that was named holds no item with text; one below a folder is told of.
    ConfigError
        Where no item has a field of a wanted name.
    """
    if inputs.passed_over:
        progress.note(
            f"of the evaluation sets, {len(inputs.passed_over)} files are not read: {some(inputs.passed_over)}"
        )
    found = Evaluation()
    seen: Counter[str] = Counter()
    options = replace(config.evaluation, text_field=WHOLE)
    for file in inputs.files:
        name = set_name(file, inputs)
        if name not in found.sets:
            found.sets.append(name)
        before = len(found.texts)
        problems = Problems(options.max_set_aside)
        for own, content in _items(file, options, problems, config.items):
            found.ids.append(own)
            found.set_of.append(found.sets.index(name))
            for path, text in leaves(content):
                seen[plain(path)] += 1
                if wanted(path, config.fields):
                    found.texts.append(text)
                    found.items.append(len(found.ids) - 1)
                    found.fields.append(path)
        for reason, number in problems.counts.items():
            progress.note(f"{file.name}: {number} records of this evaluation set are not read: {reason}")
        if len(found.texts) == before and not config.fields:
            if file.named:
                raise CorpusError(
                    f"{file.name}: expected evaluation items with text, found none; name files of questions or passages"
                )
            progress.note(f"{file.name}: holds no text of evaluation items")
    for name in config.fields:
        if not any(wanted(path, (name,)) for path in seen):
            raise ConfigError(
                f"fields: expected fields of the evaluation sets, found {name!r}, which none of their items "
                f"has{nearest(name, seen)}"
            )
    return found


def _items(
    file: InputFile, options: ReadOptions, problems: Problems, lists: Sequence[str]
) -> Iterator[tuple[str, Any]]:
    """(id, content) of each item; the content of a document without fields is its text."""
    for unit in plan([file], max(file.size, 1)):
        for span in unit.spans:
            for docs in read_span(span, options, problems):
                for own, text in zip(docs.ids, docs.texts, strict=True):
                    if file.kind in TABLES:
                        record = orjson.loads(text)
                        yield from parts(record, own, lists or _lists_of(record), options.id_field)
                    else:
                        yield own, text


def _lists_of(record: dict[str, Any]) -> Sequence[str]:
    """The lists of items inside a record: those of SQuAD's form, where it has that."""
    data = record.get("data")
    squad = isinstance(data, list) and any(isinstance(one, dict) and "paragraphs" in one for one in data)
    return SQUAD if squad else ()


def parts(record: dict[str, Any], own: str, lists: Sequence[str], id_field: str) -> Iterator[tuple[str, Any]]:
    """(id, content) of the items that lie inside a record, list within list, and of what is left of it without them."""
    inside = record.get(lists[0]) if lists else None
    if not isinstance(inside, list):
        yield own, record
        return
    if rest := {key: value for key, value in record.items() if key != lists[0]}:
        yield own, rest
    for number, one in enumerate(inside):
        name = f"{own}/{lists[0]}[{number}]"
        if isinstance(one, dict):
            yield from parts(one, as_id(dig(one, id_field.split("."))) or name, lists[1:], id_field)
        else:
            yield name, one


def leaves(content: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(path, text) of every text in a record, at any depth; a bare text has the path ``text``."""
    if isinstance(content, str):
        if content.strip():
            yield path or "text", content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(content, list):
        for number, value in enumerate(content):
            yield from leaves(value, f"{path}[{number}]")


def plain(path: str) -> str:
    """A path without the places in lists."""
    parts = path.split("[")
    return parts[0] + "".join(rest.partition("]")[2] for rest in parts[1:])


def wanted(path: str, fields: Sequence[str]) -> bool:
    """Whether a text is in one of the fields, or in what lies inside one; all are without any."""
    name = plain(path)
    return not fields or any(name == one or name.startswith(f"{one}.") for one in fields)
