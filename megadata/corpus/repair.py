"""`repair`: what `ftfy.fix_text` does to a text, exactly, at the speed of a scan.

ftfy looks at a text line by line. A kernel finds the lines it could change: those with an HTML entity, a character it
replaces, text that is perhaps not in normal form C, or two neighbouring characters that mojibake consists of. The last test is
derived from the pairs that every alternative of ftfy's own expression (`ftfy.badness.BADNESS_RE`) contains. Only these lines
go to ftfy; curly quotes and carriage returns alone, the most frequent change, are exchanged by a kernel. Curly quotes, wide
characters and ligatures may be left as they are, as ftfy's own options do it.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, cast

import ftfy
import numpy as np
from ftfy import badness, chardata

from megadata.config import configclass
from megadata.corpus import characters
from megadata.corpus.characters import ASSIGNED, CODE_POINTS, UNICODE, class_table
from megadata.corpus.tables import kept_tables
from megadata.documents.batch import DocBatch
from megadata.kernels import repair as kernels
from megadata.kernels import text as letters
from megadata.kernels.base import I64, U8, U32
from megadata.kernels.text import REGEX_WORD

PROVEN = ("6.3.1",)
"""Versions of ftfy whose rules the scan below was derived from. With any other, every line goes to ftfy."""

_FTFY = ftfy.TextFixerConfig(explain=False)

Characters = frozenset[str]


def _expand(ranges: str) -> Characters:
    """The characters of a regular expression's class, written without its brackets."""
    characters: set[str] = set()
    i = 0
    while i < len(ranges):
        if i + 2 < len(ranges) and ranges[i + 1] == "-":
            characters.update(map(chr, range(ord(ranges[i]), ord(ranges[i + 2]) + 1)))
            i += 3
        else:
            characters.add(ranges[i])
            i += 1
    return frozenset(characters)


def _bad_pairs() -> Iterator[tuple[Characters, Characters, int]]:
    """Two neighbours of which one pair stands in every match of ftfy's BADNESS_RE, and what the pair asks for behind it.

    The matches of a single character (C1 controls) are not among them. One line here for each alternative there, in order.
    """
    groups = {name: _expand(ranges) for name, ranges in badness.MOJIBAKE_CATEGORIES.items()}
    bad, law, currency, numeric, box = (groups[n] for n in ("bad", "law", "currency", "numeric", "box"))
    start, end = groups["start_punctuation"], groups["end_punctuation"]
    upper, lower = groups["upper_accented"], groups["lower_accented"]
    most = lower | upper | box | start | end | currency | numeric | law
    always = kernels.ALWAYS
    yield most | bad, bad, always
    yield groups["lower_common"] | groups["upper_common"], bad, always
    yield bad, most, always
    yield lower | groups["lower_common"] | box | end | currency | numeric, upper, always
    yield box | end | currency | numeric, lower, always
    yield lower | box | end, currency, always
    yield upper, currency, always
    yield upper | box, numeric | law, always
    yield start, numeric, always
    yield end, start, always
    yield currency | numeric | box, start, always
    yield upper, start | currency, always
    yield box, groups["kaomoji"], always
    yield lower | upper | currency | numeric | start | end | law, box, always
    yield box, end, always
    yield lower | upper, start | end, kernels.BEFORE_WORD
    yield upper, frozenset("°"), always
    yield frozenset("ÂÃÎÐ"), frozenset("€œŠš¢£Ÿž\xa0\xad®©°·»–—´") | start | end, always
    yield frozenset("×"), frozenset("²³"), always
    arabic = groups["common"] | currency | bad | numeric | start | frozenset("ŸŠ®°µ»")
    yield frozenset("ØÙ"), arabic, always
    yield frozenset("à"), frozenset("²µ¹¼½¾"), always
    yield frozenset("√"), frozenset("±∂†≠®™´≤≥¥µø"), always
    yield frozenset("≈"), frozenset("°¢"), always
    yield frozenset("‚"), frozenset("Äâó"), always
    yield frozenset("в"), frozenset("Ђ"), always
    single_byte = bad | start | end | currency
    yield frozenset("ВГРС"), single_byte | frozenset("°µ"), always
    yield frozenset("Г"), frozenset("ў"), always
    yield frozenset("Ã"), frozenset("\xa0¡"), always
    yield frozenset("ÃÂ"), frozenset(" "), always
    yield frozenset("Â"), frozenset(" ") | start | end, always
    yield frozenset("β"), frozenset("€"), always
    yield frozenset("ΒΓΞΟ"), single_byte | frozenset("°"), always
    yield frozenset("ā"), frozenset("€"), always


LIGATURE_OE = "Œœ"
"""ftfy calls these bad before anything but an unaccented Latin letter."""


@functools.cache
def pair_classes() -> tuple[dict[str, int], U8]:
    """Class of each character that is part of a bad pair (all others: 0), and uint8[K, K]: what each pair of classes means."""
    pairs = list(_bad_pairs())
    letters = frozenset(map(chr, (*range(65, 91), *range(97, 123))))
    members: dict[str, set[int]] = {}
    for number, (left, right, _) in enumerate(pairs):
        for side, either in enumerate((left, right)):
            for character in either:
                members.setdefault(character, set()).add(2 * number + side)
    for character in letters | frozenset(LIGATURE_OE):
        members.setdefault(character, set()).add(2 * len(pairs) + (character in letters))
    kinds: dict[frozenset[int], int] = {}
    classes = {c: 1 + kinds.setdefault(frozenset(m), len(kinds)) for c, m in sorted(members.items())}
    matrix = np.zeros((len(kinds) + 1, len(kinds) + 1), np.uint8)
    for first, one in kinds.items():
        for second, two in kinds.items():
            found = {kind for n, (_, _, kind) in enumerate(pairs) if 2 * n in first and 2 * n + 1 in second}
            if found:
                matrix[one + 1, two + 1] = kernels.ALWAYS if kernels.ALWAYS in found else kernels.BEFORE_WORD
        if 2 * len(pairs) in first:
            not_letters = [0, *(two + 1 for second, two in kinds.items() if 2 * len(pairs) + 1 not in second)]
            matrix[one + 1, not_letters] = kernels.ALWAYS
    matrix.setflags(write=False)
    return classes, matrix


def unstable_in_nfc() -> Iterator[str]:
    """Characters that are not in normal form C, or that may combine with a character before them."""
    for code in (c for part in ASSIGNED for c in part):
        character = chr(code)
        decomposition = unicodedata.decomposition(character)
        if decomposition and decomposition[0] != "<":
            if unicodedata.normalize("NFC", character) != character:
                yield character
            elif " " in decomposition:
                yield chr(int(decomposition.split()[1], 16))
    yield from map(chr, (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)))  # vowels and finals of Hangul syllables


def _set(marks: U32, characters: Iterable[str | int], bit: int) -> None:
    codes = [c if isinstance(c, int) else ord(c) for c in characters]
    marks[codes] |= np.uint32(bit)


@functools.cache
def scan_tables(quotes: bool = True, widths: bool = True, ligatures: bool = True) -> tuple[U32, U8, U8]:
    """The character table, the pair matrix and the table of quiet bytes of `kernels.find_lines`."""
    made_of = (__file__, characters.__file__, str(kernels.__file__), str(letters.__file__))
    chosen = quotes, widths, ligatures
    name = "-".join(("repair", *(str(int(one)) for one in chosen)))
    made = kept_tables(name, made_of, (f"ftfy {ftfy.__version__}",), functools.partial(_scan_tables, *chosen))
    return cast("tuple[U32, U8, U8]", made)


def _scan_tables(quotes: bool, widths: bool, ligatures: bool) -> tuple[U32, U8, U8]:
    marks = np.zeros(CODE_POINTS, np.uint32)
    marks[(class_table() & REGEX_WORD) != 0] |= kernels.VISIBLE
    classes, matrix = pair_classes()
    for character, kind in classes.items():
        marks[ord(character)] |= kind << kernels.CLASS_SHIFT
    for code in (c for part in ASSIGNED for c in part):
        if order := unicodedata.combining(chr(code)):
            marks[code] |= order << kernels.ORDER_SHIFT
    _set(marks, unstable_in_nfc(), kernels.MAYBE)
    _set(marks, range(0x80, 0xA0), kernels.CHANGES)
    for replaced in (chardata.CONTROL_CHARS, "\u2028\u2029"):
        _set(marks, replaced, kernels.CHANGES)
    if ligatures:
        _set(marks, chardata.LIGATURES, kernels.CHANGES)
    if widths:
        _set(marks, chardata.WIDTH_MAP, kernels.CHANGES)
    if quotes:
        _set(marks, "\u02bc\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f", kernels.QUOTE)
    _set(marks, "\r", kernels.RETURN)
    _set(marks, "&", kernels.ENTITY)
    _set(marks, "<", kernels.LESS)
    quiet = np.zeros(256, np.uint8)
    quiet[:0x80] = (marks[:0x80] & (kernels.CHANGES | kernels.RETURN | kernels.ENTITY | kernels.LESS)) == 0
    quiet[ord("\n")] = 0
    return marks, matrix, quiet


@functools.cache
def _scan_everything() -> tuple[U32, U8, U8]:
    """Tables with which every line is found."""
    marks = np.full(CODE_POINTS, kernels.CHANGES, np.uint32)
    marks[ord("<")] |= kernels.LESS
    return marks, np.zeros((1, 1), np.uint8), np.zeros(256, np.uint8)


def changeable_lines(text: U8, offsets: I64, tables: tuple[U32, U8, U8] | None = None) -> tuple[I64, I64, I64]:
    """Lines of the documents that ftfy could change: first byte, byte behind, and the reasons as `kernels.repair` names them.

    `tables` are those of `scan_tables`, with all that ftfy does by default where they are not given.
    """
    tables = tables or scan_tables()
    room = 1024 + text.size // 256
    while True:
        document, start, stop, how = (np.empty(room, np.int64) for _ in range(4))
        found = kernels.find_lines(text, offsets, *tables, document, start, stop, how)
        if found <= room:
            return start[:found], stop[:found], how[:found]
        room = found


@configclass
class Repair:
    """Repair mojibake, HTML entities, ligatures, widths, quotes, line breaks and control characters as ftfy.fix_text does."""

    name: ClassVar[str] = "repair"
    version: ClassVar[int] = 2

    quotes: bool = True
    """Whether curly quotes become straight ones (ftfy's `uncurl_quotes`)."""
    widths: bool = True
    """Whether full-width Latin letters, digits and punctuation, as in Chinese text, become ASCII (`fix_character_width`)."""
    ligatures: bool = True
    """Whether ligatures become letters (`fix_latin_ligatures`)."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """ftfy, and the character data it uses."""
        return f"ftfy {ftfy.__version__}", UNICODE

    @property
    def configuration(self) -> ftfy.TextFixerConfig:
        """What ftfy is asked for."""
        return _FTFY._replace(
            uncurl_quotes=self.quotes, fix_character_width=self.widths, fix_latin_ligatures=self.ligatures
        )

    def map(self, docs: DocBatch) -> DocBatch:
        """The documents with ``text == ftfy.fix_text(text)``, or what it gives with some of its options off."""
        text, offsets = docs.text, docs.offsets
        proven = ftfy.__version__ in PROVEN
        tables = scan_tables(self.quotes, self.widths, self.ligatures) if proven else _scan_everything()
        start, stop, how = changeable_lines(text, offsets, tables)
        if not start.size:
            return docs
        simple = (how & (kernels.CHANGES | kernels.ENTITY | kernels.MAYBE)) == 0
        changed = np.ones(start.size, np.bool_)
        patches: list[bytes] = []
        data = text.data
        unescape = self.configuration
        literal = unescape._replace(unescape_html=False)
        for r in np.flatnonzero(~simple).tolist():
            line = bytes(data[start[r] : stop[r]])
            reasons = int(how[r])
            if reasons & (kernels.CHANGES | kernels.ENTITY) == 0 and unicodedata.is_normalized("NFC", line.decode()):
                simple[r] = True
                changed[r] = reasons & (kernels.QUOTE | kernels.RETURN) != 0
                continue
            fixed = ftfy.fix_text(line.decode(), literal if reasons & kernels.LITERAL else unescape).encode()
            changed[r] = fixed != line
            if changed[r]:
                patches.append(fixed)
        if not changed.any():
            return docs
        start, stop, simple = start[changed], stop[changed], simple[changed]
        lengths = np.zeros(start.size, np.int64)
        lengths[~simple] = [len(p) for p in patches]
        patch_offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        patch = np.frombuffer(b"".join(patches), np.uint8)
        out = np.empty(int(offsets[-1] - offsets[0] + lengths.sum()), np.uint8)
        out_offsets = np.empty_like(offsets)
        kernels.splice_lines(text, offsets, start, stop, simple, patch, patch_offsets, self.quotes, out, out_offsets)
        return docs.with_flat_text(out[: out_offsets[-1]], out_offsets)


@configclass
class Nfc:
    """Bring text into Unicode normal form C."""

    name: ClassVar[str] = "nfc"
    version: ClassVar[int] = 1

    @property
    def libraries(self) -> tuple[str, ...]:
        """The character data."""
        return (UNICODE,)

    def map(self, docs: DocBatch) -> DocBatch:
        """The documents with ``text == unicodedata.normalize("NFC", text)``."""
        tables = scan_tables()
        room = 0
        while True:
            document, start, stop, how = (np.empty(room, np.int64) for _ in range(4))
            found = kernels.find_lines(docs.text, docs.offsets, *tables, document, start, stop, how)
            if found <= room:
                break
            room = found
        suspects = np.unique(document[(how & kernels.MAYBE) != 0]).tolist()
        if not suspects:
            return docs
        texts: list[Any] = docs.texts
        for d in suspects:
            texts[d] = unicodedata.normalize("NFC", texts[d])
        return docs.replace(text=texts)
