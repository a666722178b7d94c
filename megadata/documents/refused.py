"""Kinds of file that megadata does not read, recognised by their first bytes, and what to do with each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refused:
    """A kind of file that is known and not read."""

    what: str
    """The kind, with its article: ``a 7z archive``."""
    remedy: str
    """What the user can do."""

    @property
    def sentence(self) -> str:
        """How an error goes on after the file's name."""
        return f"is {self.what}, which megadata does not read; {self.remedy}"


SEVEN_ZIP = Refused(
    "a 7z archive", "unpack it (7z x FILE), or take the .bz2 edition where there is one, as for wiki dumps"
)

_MAGIC: tuple[tuple[int, bytes, Refused], ...] = (
    (0, b"7z\xbc\xaf\x27\x1c", SEVEN_ZIP),
    (0, b"Rar!\x1a\x07", Refused("a RAR archive", "unpack it first (unrar x FILE)")),
    (0, b"%PDF-", Refused("a PDF document", "turn it into text first (pdftotext FILE)")),
    (0, b"%!PS", Refused("a PostScript document", "turn it into text first (ps2ascii FILE)")),
    (0, b"AT&TFORM", Refused("a DjVu document", "turn it into text first (djvutxt FILE)")),
    (0, b"{\\rtf", Refused("an RTF document", "save it as plain text or HTML first")),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Refused("an old Office document", "save it as plain text or HTML first")),
    (60, b"BOOKMOBI", Refused("a Mobipocket book", "convert it to EPUB first (ebook-convert FILE book.epub)")),
    (0, b"\x04\x22\x4d\x18", Refused("an lz4 file", "decompress it first (lz4 -d FILE), or compress it as .zst")),
    (0, b"\xff\x06\x00\x00sNaPpY", Refused("a snappy file", "decompress it first, or compress it as .zst")),
    (0, b"LZIP", Refused("an lzip file", "decompress it first (lzip -d FILE)")),
    (0, b"\x89LZO\x00", Refused("an lzop file", "decompress it first (lzop -d FILE)")),
    (0, b"\x1f\x9d", Refused("a file of compress (.Z)", "decompress it first (gunzip FILE)")),
    (0, b"\x1f\x8b", Refused("gzip data inside a name that does not say so", "let the name end in .gz")),
    (0, b"\x28\xb5\x2f\xfd", Refused("zstd data inside a name that does not say so", "let the name end in .zst")),
    (0, b"BZh", Refused("bzip2 data inside a name that does not say so", "let the name end in .bz2")),
    (0, b"\xfd7zXZ\x00", Refused("xz data inside a name that does not say so", "let the name end in .xz")),
    (0, b"FEA1", Refused("a Feather file of version 1", "write it again as Arrow IPC (Feather version 2) or Parquet")),
    (0, b"Obj\x01", Refused("an Avro file", "write its records as JSON lines or Parquet")),
    (0, b"ORC", Refused("an ORC file", "write its rows as Parquet")),
    (0, b"SQLite format 3\x00", Refused("an SQLite database", "export the table with the text as csv or JSON lines")),
    (0, b"\x89HDF\r\n", Refused("an HDF5 file", "write its texts as JSON lines or Parquet")),
    (0, b"\x93NUMPY", Refused("a NumPy array", "write its texts as JSON lines")),
    (0, b"\x80\x02", Refused("a Python pickle", "write its texts as JSON lines; pickles can run code")),
    (0, b"\x80\x03", Refused("a Python pickle", "write its texts as JSON lines; pickles can run code")),
    (0, b"\x80\x04", Refused("a Python pickle", "write its texts as JSON lines; pickles can run code")),
    (0, b"\x80\x05", Refused("a Python pickle", "write its texts as JSON lines; pickles can run code")),
)
"""(position, bytes there, kind). Earlier entries win."""

BY_ENDING: dict[str, Refused] = {
    ".wat": Refused(
        "a WAT file (what a crawler noted of pages, without their text)", "read the crawl's WARC or WET files"
    ),
    ".cdx": Refused("an index of web archives", "read the WARC files it names"),
    ".cdxj": Refused("an index of web archives", "read the WARC files it names"),
}
"""Endings, compression endings removed, that tell more than the first bytes."""

_OFFICE = (b"word/", b"xl/", b"ppt/", b"[Content_Types].xml", b"mimetypeapplication/vnd.oasis.opendocument")


def refusal(head: bytes) -> Refused | None:
    """What a file with these first bytes (decoded, as many as there are up to 4 KiB) is, where it is known and not read."""
    for at, magic, kind in _MAGIC:
        if head[at : at + len(magic)] == magic:
            return kind
    if head.startswith(b"PK\x03\x04") and any(mark in head for mark in _OFFICE):
        return Refused("an Office document", "save it as plain text or HTML first")
    return None
