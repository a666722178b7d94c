"""What the user names, as files; files, as units; units, as batches of documents.

An input is a file, a folder, a glob, ``@list`` (a file that names one input a line), ``-`` for standard input, or an fsspec URL,
each optionally labelled ``NAME=INPUT``. A folder that megadata wrote stands for its shards; any other for all files below it that
some source recognises.
"""

from __future__ import annotations

import atexit
import glob
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from megadata.config import nearest
from megadata.documents.archives import ARCHIVES
from megadata.documents.batch import DocBatch
from megadata.documents.folders import contents
from megadata.documents.registry import FAMILIES, OURS, recognise, source, sources
from megadata.documents.source import NoTextColumn, Problems, ReadOptions, Unfit, set_aside
from megadata.errors import ConfigError, CorpusError
from megadata.runtime.manifest import STATE
from megadata.runtime.stores import attempt, file_system, protocol_of
from megadata.runtime.streams import MAGIC, can_be_entered, is_url, local_size, plain_path
from megadata.runtime.units import UNIT_BYTES, InputFile, Span, Unit, pack_units

_UNKNOWN = (
    f"expected a kind of file megadata reads ({', '.join(OURS)}), found none of them; "
    "give it the usual ending, or say what it is with --set read.kind=KIND"
)
TABLES = ("csv", "parquet", "arrow")
"""Kinds whose files are read whole or not at all: their columns are the same in every row."""
RECORDS = ("jsonl", "json")
"""Kinds whose records have fields, each its own."""
_LABEL = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Files in the order the user named them, what was passed over, and the steps that made them."""

    files: list[InputFile]
    passed_over: list[str] = field(default_factory=list)
    """Files below a folder that no source reads; where their kind is known, it follows in brackets."""
    upstream: tuple[str, ...] = ()
    """Identities of the megadata steps whose output is read."""
    labels: tuple[str, ...] = ()
    """Names given with `NAME=INPUT`, each once, in the order of the inputs."""

    @property
    def apart(self) -> tuple[str, ...]:
        """Labels of the inputs whose outputs are kept apart: all of them as soon as one is named, else none."""
        return tuple(dict.fromkeys(file.source for file in self.files)) if self.labels else ()


@dataclass(frozen=True, slots=True)
class _Found:
    path: str
    name: str
    argument: str
    label: str | None
    named: bool
    """Whether the user named the file itself, so that it must be readable."""


def split_label(argument: str) -> tuple[str | None, str]:
    """``NAME=INPUT`` as (name, input); a path that exists as written has no label."""
    match = _LABEL.fullmatch(argument)
    if match is None or os.path.exists(argument):  # noqa: PTH110
        return None, argument
    return match[1], match[2]


def in_unicode(name: str) -> str:
    """A file's name in which bytes that are not UTF-8 are spelled out (``\\xff``), since ids and receipts are UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def expand(
    arguments: Sequence[str],
    family: str | None = None,
    exclude: Path | None = None,
    read: ReadOptions | None = None,
) -> Inputs:
    """Find the files behind the arguments, recognise each, and name each relative to its input.

    Parameters
    ----------
    arguments : inputs as on the command line.
    exclude : a folder below an input that is no part of it: where the results go.
    family : ``web``, ``books``, ``wikipedia`` or ``text`` where the user says it; None lets each file's kind decide.
    read : options of reading; its `kind` stands for what files would be recognised as.

    Raises
    ------
    CorpusError
        When an input does not exist, holds nothing readable, or a file named by itself is of no known kind.
    """
    found: list[_Found] = []
    upstream: list[str] = []
    for argument in arguments:
        label, rest = split_label(argument)
        before = len(found)
        found.extend(_walk(rest, label, upstream, exclude.resolve() if exclude is not None else None))
        if len(found) == before:
            raise CorpusError(f"{rest}: expected files to read, found none; check the path or the pattern")
    if not found:
        raise CorpusError("no input was named: expected files, folders, globs, @list, - or URLs")
    chosen = _known_kind(read.kind) if read is not None and read.kind is not None else None
    files: list[InputFile] = []
    passed_over: list[str] = []
    for one in _with_unique_names(found):
        said = family or (one.label if one.label in FAMILIES else None)
        if not one.named and (odd := _odd(one.path)):
            passed_over.append(f"{one.name} ({odd})")
            continue
        size, mtime_ns = local_size(one.path)
        kind = chosen or recognise(one.path, one.name, said)
        if not isinstance(kind, str):
            if one.named:
                place = "-" if one.argument == "-" else one.path
                raise CorpusError(f"{place}: {_UNKNOWN if kind is None else kind.sentence}")
            passed_over.append(one.name if kind is None else f"{one.name} ({kind.what})")
            continue
        of = said or source(kind).default_source
        files.append(
            InputFile(in_unicode(one.name), one.path, size, mtime_ns, kind, one.label or of, of, named=one.named)
        )
    if not files:
        raise CorpusError(
            f"{', '.join(arguments)}: expected files of a kind megadata reads, "
            f"found {len(passed_over)} others: {some(passed_over)}"
        )
    labels = dict.fromkeys(one.label for one in found if one.label is not None)
    return Inputs(files, passed_over, tuple(dict.fromkeys(upstream)), tuple(labels))


def some(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")


def _known_kind(kind: str) -> str:
    if kind not in sources():
        raise ConfigError(f"read.kind: unknown kind {kind!r}{nearest(kind, sources())}")
    return kind


def _walk(argument: str, label: str | None, upstream: list[str], exclude: Path | None) -> Iterator[_Found]:
    """Files behind one argument, in order."""
    argument = argument.removeprefix("file://") if argument.startswith("file:///") else argument
    if argument == "-":
        yield _Found(_spool_stdin(), "stdin", argument, label, True)
    elif argument.startswith("@"):
        try:
            listed = Path(argument[1:]).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise CorpusError(f"{argument[1:]}: cannot be read: {error.strerror}; expected a list of inputs") from error
        for number, line in enumerate(listed, 1):
            if line.strip() and not line.startswith("#"):
                own, rest = split_label(line.strip())
                behind = list(_walk(rest, own or label, upstream, exclude))
                if not behind:
                    raise CorpusError(
                        f"{argument[1:]}:{number}: {rest}: expected files to read, found none; mend the line or delete it"
                    )
                yield from behind
    elif is_url(argument):
        yield from _walk_url(argument, label, upstream)
    elif os.path.isdir(argument):  # noqa: PTH112
        yield from _walk_folder(Path(argument), argument, label, upstream, exclude)
    elif os.path.exists(argument):  # noqa: PTH110
        yield _Found(_regular(argument), Path(argument).name, argument, label, True)
    else:
        for match in sorted(glob.glob(argument, recursive=True)):  # noqa: PTH207
            if os.path.isdir(match):  # noqa: PTH112
                yield from _walk_folder(Path(match), match, label, upstream, exclude)
            else:
                yield _Found(_regular(match), Path(match).name, match, label, True)


def _regular(path: str) -> str:
    """The path of a file whose bytes can be read more than once; a pipe would be waited for without end."""
    if not os.path.isfile(path):  # noqa: PTH113
        raise CorpusError(
            f"{path}: expected a file or a folder, found a pipe or a device, which can be read only once; "
            f"pipe it into the command with - in its place"
        )
    return path


def _walk_folder(
    folder: Path, argument: str, label: str | None, upstream: list[str], exclude: Path | None = None
) -> Iterator[_Found]:
    odd: list[str] = []
    found = contents(_names_below(folder, exclude, odd), lambda name: (folder / name).read_bytes(), str(folder))
    upstream.extend(found.upstream)
    for one in found.files:
        yield _Found(str(folder / one.name), one.name, argument, label, one.named)
    for name in odd:
        yield _Found(str(folder / name), name, argument, label, False)


def _names_below(folder: Path, exclude: Path | None, odd: list[str]) -> Iterator[str]:
    """Paths of all files below a folder that are not hidden; hidden folders that mean something by their names alone.

    `odd` gets those of what is neither a file nor a folder.
    """
    for base, folders, names in os.walk(folder):
        here = Path(base).relative_to(folder)
        if STATE in folders:
            yield f"{(here / STATE).as_posix()}/"
        folders[:] = [f for f in folders if not f.startswith(".") and (Path(base) / f).resolve() != exclude]
        for name in names:
            if name.startswith("."):
                continue
            if (Path(base) / name).is_file():
                yield (here / name).as_posix()
            else:
                odd.append((here / name).as_posix())


def _odd(path: str) -> str:
    """What lies at a path that is no file, in words; empty for a file."""
    if is_url(path) or os.path.isfile(path):  # noqa: PTH113
        return ""
    return "a pipe or a device" if os.path.exists(path) else "a link to nothing"  # noqa: PTH110


def _walk_url(url: str, label: str | None, upstream: list[str]) -> Iterator[_Found]:
    """Files behind a URL: an object, the objects below a folder, or those that a pattern fits."""
    plain = protocol_of(url) in ("http", "https")
    if plain and not url.endswith("/") and "*" not in url:
        yield _Found(url, PurePosixPath(plain_path(url)).name, url, label, True)
        return
    system, path = attempt(url, lambda: file_system(url))
    system.invalidate_cache()
    if glob.has_magic(path) and not attempt(url, lambda: system.exists(path)):
        fixed = path[: path.index("*")].rpartition("/")[0] if "*" in path else ""
        for one in attempt(url, lambda: sorted(system.glob(path))):
            if any(part.startswith(".") for part in one[len(fixed) :].split("/")) or system.isdir(one):
                continue
            yield _Found(str(system.unstrip_protocol(one)), PurePosixPath(one).name, url, label, True)
    elif attempt(url, lambda: system.isdir(path)):
        base = path.rstrip("/") + "/"
        below = {one[len(base) :]: one for one in attempt(url, lambda: system.find(path)) if one.startswith(base)}
        found = contents(below, lambda name: bytes(attempt(url, lambda: system.cat_file(below[name]))), url.rstrip("/"))
        upstream.extend(found.upstream)
        for chosen in found.files:
            place = below.get(chosen.name, base + chosen.name)
            yield _Found(str(system.unstrip_protocol(place)), chosen.name, url, label, chosen.named)
    elif attempt(url, lambda: system.exists(path)):
        yield _Found(str(system.unstrip_protocol(path)), PurePosixPath(path).name, url, label, True)


def _spool_stdin() -> str:
    """Standard input as a file that can be read more than once; its ending tells the compression."""
    stream = sys.stdin.buffer
    if stream.isatty():
        raise CorpusError("-: expected data on standard input, found a terminal; pipe something into the command")
    head = stream.read(16)
    if not head:
        raise CorpusError("-: expected data on standard input, found none")
    ending = next((name for name, magic in MAGIC.items() if head.startswith(magic)), "")
    with tempfile.NamedTemporaryFile(prefix="megadata-stdin-", suffix=ending, delete=False) as file:
        atexit.register(Path(file.name).unlink, missing_ok=True)
        file.write(head)
        shutil.copyfileobj(stream, file)
    return file.name


def _with_unique_names(found: list[_Found]) -> list[_Found]:
    """Qualify names that occur under several inputs with as much of the inputs' paths as tells them apart."""
    result = list(found)
    for depth in range(1, 16):
        places: dict[str, list[int]] = {}
        for at, one in enumerate(result):
            places.setdefault(one.name, []).append(at)
        clashes = [ats for ats in places.values() if len(ats) > 1]
        if not clashes:
            return result
        for ats in clashes:
            if len({found[at].path for at in ats}) == 1:
                raise ConfigError(f"{found[ats[0]].path}: the same file is named twice; name each input once")
            for at in ats:
                one = found[at]
                tail = PurePosixPath(one.argument if not one.named else str(PurePosixPath(one.path).parent)).parts[
                    -depth:
                ]
                prefix = "/".join(part for part in tail if part not in ("/", "..", "."))
                result[at] = replace(one, name=f"{prefix}/{one.name}" if prefix else one.name)
    return result


def refuse_overlap(files: Sequence[InputFile], output: Path) -> None:
    """Refuse to write shards where the input's own shards lie.

    Raises
    ------
    ConfigError
        When an input is a shard inside `output`, which would be replaced while it is read.
    """
    target = output.resolve()
    for file in files:
        if is_url(file.path):
            continue
        path = Path(file.path).resolve()
        if path.name.startswith("docs-") and path.is_relative_to(target):
            raise ConfigError(f"{output}: holds {file.name}, which is one of the inputs; write to another folder")


def plan(files: Sequence[InputFile], unit_bytes: int = UNIT_BYTES) -> list[Unit]:
    """Units over the files, in order."""
    return pack_units((span for file in files for span in _spans(file, unit_bytes)), unit_bytes)


def _spans(file: InputFile, unit_bytes: int) -> list[Span]:
    if not can_be_entered(file.path):
        return [Span(file, 0, -1)]
    return source(file.kind).spans(file, unit_bytes)


def read_span(span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
    """Documents of one span."""
    try:
        yield from source(span.file.kind).read(span, options, problems)
    except Unfit as error:
        set_aside(error, span, problems)
    copy = span.file.unpacked
    if copy is not None and copy.damage:  # told of once, by the last span, whether or not others have come upon it
        problems.forget("damaged_compression", span.file.name)
        if span.stop == copy.length:
            problems.add("damaged_compression", span.file.name, copy.damage)


def refuse_unfit(files: Sequence[InputFile], options: ReadOptions) -> None:
    """Refuse inputs that gave nothing because none of them is what the options say, with the first one's own sentence.

    Raises
    ------
    Unfit
        For the first file among them that has records, and no text in the field or column that the options name.
    """
    for file in files:
        if file.kind not in (*TABLES, *RECORDS):
            continue
        problems = Problems(most=1)
        for span in _spans(replace(file, named=True), UNIT_BYTES)[:1]:
            for _ in read_span(span, options, problems):
                return
        for item in problems.items:
            if item["reason"] == NoTextColumn.reason:
                raise NoTextColumn(
                    f"{item['where']}: {item['detail']}; name it with --text-field, or --set read.text_field=NAME"
                )


def read_unit(unit: Unit, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
    """Documents of all spans of a unit, in order."""
    for span in unit.spans:
        yield from read_span(span, options, problems)


def source_versions(files: Sequence[InputFile]) -> dict[str, str]:
    """Version of each source that reads the files, for the step's identity; an archive may hold files of any kind."""
    kinds = {file.kind for file in files}
    if kinds.intersection(ARCHIVES):
        kinds.update(sources())
    return {kind: source(kind).version for kind in sorted(kinds)}
