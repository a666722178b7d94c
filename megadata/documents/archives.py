"""Archives of files, tar and zip: each member is read as the file it is, and named after the archive.

A member is copied to a temporary file while it is read, so memory stays bounded; nothing is written under a name that the archive
gives. What members unfold to is bounded by ``read.max_expansion``.
"""

from __future__ import annotations

import re
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, ClassVar

from megadata.documents.batch import DocBatch
from megadata.documents.refused import Refused, refusal
from megadata.documents.source import Problems, ReadOptions, Unfit, set_aside
from megadata.runtime.damage import DamagedStream
from megadata.runtime.streams import open_decoded, open_raw
from megadata.runtime.units import InputFile, Span

ARCHIVES = ("tar", "zip", "wacz")
FREE_BYTES = 1 << 30
"""Decoded bytes that any archive may have, however small it is."""
_BLOCK = 1 << 20
_MOST_HEAD = 1 << 20
_WHOLE = 1 << 62
_LONG_HEADS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError,
)  # fmt: skip


class Tar:
    """A tar archive, compressed or not, read from its start; its members in their order."""

    kind: ClassVar[str] = "tar"
    default_source: ClassVar[str] = "text"
    version: ClassVar[str] = "1"
    suffixes: ClassVar[tuple[str, ...]] = (".tar",)
    ranges: ClassVar[bool] = False

    def sniff(self, head: bytes, name: str) -> bool:
        """The mark of POSIX and GNU tar in the first head."""
        return head[257:262] == b"ustar"

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """One."""
        return [Span(file, 0, -1)]

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """Documents of all members."""
        file = span.file
        left = max(file.size * options.max_expansion, FREE_BYTES)
        try:
            with (
                open_decoded(file.path) as stream,
                tarfile.open(fileobj=stream, mode="r|", tarinfo=_Head) as archive,
            ):
                for member in archive:
                    if not member.isfile() or _hidden(member.name):
                        continue
                    content = archive.extractfile(member)
                    if content is None:
                        continue
                    name = f"{file.name}/{member.name}"
                    with _copied(content, name, left) as (copy, size):
                        left -= size
                        if left < 0:
                            problems.add("expansion_too_large", name, _too_much(options))
                            return
                        yield from _member(file, name, copy, options, problems)
        except DamagedStream as damage:
            problems.add("damaged_compression", file.name, str(damage).replace(file.path, file.name))
        except _DAMAGE as error:
            problems.add("damaged_tar", file.name, str(error))


class Zip:
    """A zip archive; a span covers members, and each belongs to the span that holds its head."""

    kind: ClassVar[str] = "zip"
    default_source: ClassVar[str] = "text"
    version: ClassVar[str] = "2"
    suffixes: ClassVar[tuple[str, ...]] = ()
    ranges: ClassVar[bool] = False

    def sniff(self, head: bytes, name: str) -> bool:
        """A zip archive that is no Office document; EPUBs are recognised before."""
        return head.startswith(b"PK\x03\x04") and refusal(head) is None

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """Borders at members, from the directory at the end."""
        borders = [0]
        try:
            with open_raw(file.path) as raw, zipfile.ZipFile(raw) as archive:
                for start in sorted(info.header_offset for info in archive.infolist()):
                    if start - borders[-1] >= unit_bytes and start < file.size:
                        borders.append(start)
        except _DAMAGE:
            return [Span(file, 0, -1)]
        return [Span(file, a, b) for a, b in zip(borders, [*borders[1:], file.size], strict=True)]

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """Documents of the span's members."""
        file = span.file
        try:
            with open_raw(file.path) as raw, zipfile.ZipFile(raw) as archive:
                members = sorted(archive.infolist(), key=lambda one: (one.header_offset, one.filename))
                too_much = self._past_budget(members, file, options)
                for info in members:
                    start = min(max(info.header_offset, 0), max(file.size - 1, 0))
                    inside = span.start <= start and (span.stop == -1 or start < span.stop)
                    if inside and not info.filename:
                        problems.add("damaged_zip", f"{file.name}:{start}", "a member without a name")
                    elif inside and not info.is_dir() and not self._reads(info.filename):
                        self._skip(problems)
                    elif inside and id(info) in too_much:
                        problems.add("expansion_too_large", f"{file.name}/{info.filename}", _too_much(options))
                    elif inside and not info.is_dir():
                        yield from self._one(archive, info, file, options, problems)
        except _DAMAGE as error:
            problems.add("damaged_zip", file.name, str(error))

    def _reads(self, name: str) -> bool:
        """Whether a member is read."""
        return not _hidden(name)

    def _skip(self, problems: Problems) -> None:
        """Count a member that is not read."""

    def _past_budget(self, members: list[zipfile.ZipInfo], file: InputFile, options: ReadOptions) -> set[int]:
        """The members that no room is left for, by what the directory says of all of them, so that every span knows the same.

        None unfolds to more than its directory entry says, so what is read stays within the budget of the archive.
        """
        left = max(file.size * options.max_expansion, FREE_BYTES)
        past = set()
        for info in members:
            if not info.filename or info.is_dir() or not self._reads(info.filename):
                continue
            if info.file_size <= left:
                left -= info.file_size
            else:
                past.add(id(info))
        return past

    @staticmethod
    def _one(
        archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: InputFile, options: ReadOptions, problems: Problems
    ) -> Iterator[DocBatch]:
        name = f"{file.name}/{info.filename}"
        try:
            if info.flag_bits & 1:
                problems.add("encrypted_member", name, "the member is encrypted")
                return
            with archive.open(info) as content, _copied(content, name, info.file_size) as (copy, _):
                yield from _member(file, name, copy, options, problems)
        except _DAMAGE as error:
            problems.add("damaged_zip", name, str(error))


class Wacz(Zip):
    """A package of web archives (WACZ 1.1): a zip archive with WARC files in ``archive/``, and indexes and lists beside them."""

    kind: ClassVar[str] = "wacz"
    default_source: ClassVar[str] = "web"
    suffixes: ClassVar[tuple[str, ...]] = (".wacz",)

    def sniff(self, head: bytes, name: str) -> bool:
        """A zip archive whose first member is one of a package's."""
        return head.startswith(b"PK\x03\x04") and head[30:].startswith((b"archive/", b"datapackage.json"))

    def _reads(self, name: str) -> bool:
        return name.startswith("archive/") and not _hidden(name)

    def _skip(self, problems: Problems) -> None:
        problems.skip("beside_archives")


class _Head(tarfile.TarInfo):
    """A head whose names are of a sane length: tarfile would hold any length in memory."""

    def _proc_member(self, archive: Any) -> Any:
        if self.type in _LONG_HEADS and self.size > _MOST_HEAD:
            raise tarfile.ReadError(f"a name of {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]


def _hidden(name: str) -> bool:
    return any(
        (part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in PurePosixPath(name).parts
    )


def _too_much(options: ReadOptions) -> str:
    return f"more than {options.max_expansion} decoded bytes for each stored one; raise read.max_expansion if that is right"


@contextmanager
def _copied(content: IO[bytes], name: str, limit: int) -> Iterator[tuple[Path, int]]:
    """A temporary copy of a member, and its bytes; more than `limit` are not written."""
    endings = "".join(PurePosixPath(name).suffixes[-2:])
    suffix = endings if re.fullmatch(r"[\w.]{1,24}", endings, re.ASCII) else ""
    with tempfile.NamedTemporaryFile(prefix="megadata-member-", suffix=suffix) as file:
        size = 0
        while size <= limit and (block := content.read(_BLOCK)):
            file.write(block)
            size += len(block)
        file.flush()
        yield Path(file.name), size


def _member(archive: InputFile, name: str, path: Path, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
    """Documents of one member, by the kind it is recognised as."""
    from megadata.documents.registry import recognise, source  # the registry names this module

    size = path.stat().st_size
    kind = options.kind if options.kind not in (None, *ARCHIVES) else recognise(str(path), name, archive.family)
    if kind in ARCHIVES:
        problems.add("nested_archive", name, "an archive inside an archive; unpack it first")
    elif not isinstance(kind, str):
        problems.add("unknown_kind", name, kind.what if isinstance(kind, Refused) else "no kind that megadata reads")
    else:
        file = InputFile(name, str(path), size, 0, kind, archive.source, archive.family, named=False)
        for span in source(kind).spans(file, _WHOLE):
            try:
                yield from source(kind).read(span, options, problems)
            except Unfit as error:
                set_aside(error, span, problems)
