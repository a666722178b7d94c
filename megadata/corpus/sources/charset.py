"""Bytes of a page or a book as text: byte order mark, what the header and the page say, then detection.

Labels are read as browsers read them (WHATWG Encoding Standard): ``latin-1`` means Windows-1252, ``gb2312`` means GB 18030.
Valid UTF-8 with characters beyond ASCII is taken as UTF-8 whatever the labels say: other text is practically never valid UTF-8,
and wrong labels are common.
"""

from __future__ import annotations

import codecs
import re
import struct
from functools import lru_cache

import numpy as np
import pyarrow as pa
from resiliparse.parse.encoding import detect_encoding

_HEAD_BYTES = 4096
_SAMPLE_BYTES = 1 << 17
_CR, _LF = b"\r\n"

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_AS_BROWSERS_DO = {
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
_SEVEN_BIT = ("iso2022", "iso-2022", "hz")
_NO_CHARSETS = {"utf-7", "idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
_META = re.compile(rb"""<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}["']?\s{0,9}([A-Za-z0-9_:.\-]+)""", re.IGNORECASE)
_XML = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9_:.\-]+)["']""")


@lru_cache(maxsize=1024)
def codec(label: str | None) -> str | None:
    """Python's codec for a label, as browsers understand the label; None for unknown labels."""
    if not label:
        return None
    try:
        name = codecs.lookup(label.strip().strip("\"'")).name
    except (LookupError, ValueError):
        return None
    name = _AS_BROWSERS_DO.get(name, name)
    if name in _NO_CHARSETS:
        return None
    try:
        return name if isinstance(b"a".decode(name, "replace"), str) else None
    except (LookupError, TypeError, ValueError):
        return None


def declared(data: bytes) -> str | None:
    """Codec that a page names in its XML declaration or a ``meta`` element."""
    head = data[:_HEAD_BYTES]
    for pattern in (_XML, _META):
        found = pattern.search(head)
        if found is not None and (name := codec(found[1].decode("ascii"))) is not None:
            # A label that could be read as ASCII cannot be UTF-16 (WHATWG, "prescan a byte stream").
            return "utf-8" if name.startswith(("utf-16", "utf-32")) else name
    return None


def decode(data: bytes, header: str | None = None, markup: bool = True) -> str:
    """Text of `data`.

    Parameters
    ----------
    header : charset label that came with the bytes (an HTTP header), if any.
    markup : whether to look for a label inside the bytes (HTML, XML).
    """
    found = _read(data, header, markup)
    return found if isinstance(found, str) else _plain_line_ends(found).decode()


def to_utf8(data: bytes, header: str | None = None, markup: bool = True) -> bytes:
    """What `decode` gives, as UTF-8, but with carriage returns where they are: most data is such, and comes back as it is."""
    found = _read(data, header, markup)
    return found.encode("utf-8", "replace") if isinstance(found, str) else found


def _read(data: bytes, header: str | None, markup: bool) -> str | bytes:
    """The text; or valid UTF-8 of it, carriage returns and all."""
    for mark, name in _BOMS:
        if data.startswith(mark):
            return _clean(data[len(mark) :].decode(name, "replace"))
    said = codec(header) or (declared(data) if markup else None) or _seven_bit_or_wide(data)
    if said is not None and said.startswith(_SEVEN_BIT):
        return _clean(data.decode(said, "replace"))
    if said is None or not said.startswith(("utf-16", "utf-32")):
        plain = data.replace(b"\0", b"") if b"\0" in data else data
        if is_utf8(plain):
            return plain.removeprefix(codecs.BOM_UTF8)
    for label in (said, declared(data) if markup and header else None):
        if label is not None and (text := _decode_well(data, label)) is not None:
            return text
    guess = _detect(data)
    if guess is not None and guess != said and (text := _decode_well(data, guess)) is not None:
        return text
    return _clean(data.decode(said or guess or "cp1252", "replace"))


def is_utf8(data: bytes) -> bool:
    """Whether ``data.decode()`` would give a text, told by Arrow in a third of the time."""
    ends = pa.py_buffer(struct.pack("<qq", 0, len(data)))
    try:
        pa.LargeStringArray.from_buffers(1, ends, pa.py_buffer(data)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _detect(data: bytes) -> str | None:
    return codec(detect_encoding(data[:_SAMPLE_BYTES], html5_compatible=False))


def _seven_bit_or_wide(data: bytes) -> str | None:
    """Encodings whose bytes are valid ASCII as well: ISO-2022 by its escapes, UTF-16 by zeros in every second place."""
    sample = data[:_SAMPLE_BYTES]
    if (
        b"\x1b" in sample
        and b"\x1b$" in sample
        and (guess := _detect(data)) is not None
        and guess.startswith(_SEVEN_BIT)
    ):
        return guess
    head = data[:_HEAD_BYTES]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) * 4 > len(head) and min(even, odd) * 20 < len(head):
        return "utf-16-be" if even > odd else "utf-16-le"
    return None


def _decode_well(data: bytes, name: str) -> str | None:
    """Text, where at most one byte in a thousand does not fit the encoding (pages are cut and patched together)."""
    try:
        return _clean(data.decode(name))
    except (UnicodeDecodeError, UnicodeError):
        text = data.decode(name, "replace")
    wrong = text.count("�")
    return _clean(text) if wrong * 1000 <= len(data) else None


def _clean(text: str) -> str:
    """Without NUL, carriage returns and a stray byte order mark at the start."""
    if "\0" in text:
        text = text.replace("\0", "")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.removeprefix("\ufeff")


def _plain_line_ends(data: bytes) -> bytes:
    """The same of carriage returns in UTF-8, where it costs less."""
    if b"\r" not in data:
        return data
    values = np.frombuffer(data, np.uint8)
    returns, feeds = values == _CR, values == _LF
    if returns[-1] or (returns[:-1] > feeds[1:]).any():
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.replace(b"\r", b"")
