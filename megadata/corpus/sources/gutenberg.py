"""Plain-text books: the frame that Project Gutenberg puts around them, and lines that were broken to fit a page."""

from __future__ import annotations

import re
from itertools import pairwise

_FRONT_LINES = 700
"""The header with the old "small print" ends within this many lines."""
_START = re.compile(
    r"^\W*(?:START OF (?:THE|THIS) (?:PROJECT GUTENBERG|COPYRIGHTED)|END\W*THE SMALL PRINT"
    r"|START DES PROJE[CK]T GUTENBERG|D[EÉ]BUT D[EU].{0,20}PROJE[CK]T GUTENBERG).*$",
    re.IGNORECASE,
)
_END = re.compile(
    r"^\W*(?:END OF (?:THE |THIS )?(?:PROJECT GUTENBERG|COPYRIGHTED)|ENDE? D(?:IESES?|ES|ER) (?:PROJE[CK]T GUTENBERG|ETEXT)"
    r"|FIN D[EU].{0,20}PROJE[CK]T GUTENBERG|FINE DEL PROGETTO GUTENBERG|EINDE VAN HET PROJECT GUTENBERG"
    r"|START:? FULL LICENSE|This and all associated files of various formats will be found in).*$",
    re.IGNORECASE,
)
_HINT = re.compile(
    rb"\*\*\*\s*START OF TH(?:E|IS) PROJECT GUTENBERG|Project Gutenberg(?:'s|\xe2\x80\x99s|\(tm\)|-tm|\xe2\x84\xa2)?,?"
    rb"\s+(?:e-?text|e-?book|edition|presents|is a)|Project Gutenberg'?s? [A-Z]|by Project Gutenberg|PROJECT GUTENBERG",
)
_CREDIT = re.compile(
    r"\W*(?:produced (?:from|by)|(?:this )?e-?(?:text|book)\b.{0,30}(?:was )?(?:prepared|produced|transcribed|scanned|created) |"
    r"(?:transcribed|scanned|digitized|digitised|prepared|proofread|scanning|updated|corrected|html version|this file) "
    r".{0,40}\b(?:by|from|was)\b|credits?:|most recently updated|release date|character set encoding|"
    r"the project gutenberg|project gutenberg|distributed proof|images? (?:generously|courtesy)|\(this file was produced|"
    r"this (?:e-?text|e-?book|file|book|work|project gutenberg).{0,40}(?:was|is|prepared|produced)|note: images of|"
    r"note: project gutenberg|language: |title: |author: |.{0,80}distributed proofread|.{0,200}pgdp\.net|http)",
    re.IGNORECASE | re.DOTALL,
)
_NOTE = re.compile(
    r"\W*(?:(?:original )?(?:transcriber|etext transcriber|editor|scanner|proofreader|redactor)['’]?s?['’]? (?:end)?notes?\b"
    r"|note of the transcriber|notes? de (?:la )?transcription|notes? (?:sur|au lecteur)|nota d[eo] transcri"
    r"|anmerkungen? (?:des|zur) (?:bearbeiter|transkription|transkribier)|transkriptionsanmerkung|opmerkingen van de bewerker)",
    re.IGNORECASE,
)
_PICTURE = re.compile(
    r"\[\s*(?:illustrations?|illustré|ilustraci[oó]n(?:es)?|ilustração|illustrazione|illustratie|abbildung(?:en)?|"
    r"frontispiece|decoration|head-?piece|tail-?piece|drop ?cap|blank page|image|figure|plate|map|kuva|bild|musical? notation|"
    r"ornament|cover)\b[^\[\]]{0,1500}(?:\[[^\[\]]{0,500}\][^\[\]]{0,1500})?\]",
    re.IGNORECASE,
)
_PAGE_NUMBER = re.compile(
    r"(?<![ \t])[ \t]*(?:\[(?:pg?\.?|page|s\.|seite)[ \t]*[0-9ivxlc]{1,6}\.?\]|\{(?:pg?\.?|page)?[ \t]*[0-9ivxlc]{1,6}\})",
    re.IGNORECASE,
)
_EMPHASIS = re.compile(r"(?<![\w_])_([^_\n]{1,300}(?:\n[^_\n]{1,300}){0,12})_(?![\w_])")
_BOLD = re.compile(r"(?<![\w=])=([^=\n]{1,200})=(?![\w=])")
_STARS = re.compile(r"(?:\*[ \t]*){3,}|(?:[-–—_=~•·.][ \t]+){4,}\S?|[-–—_=~]{5,}")
_CJK = re.compile("[\u3000-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")
_NOT_BROKEN = 200
"""Documents whose longer lines exceed this many characters have a paragraph a line."""


def is_gutenberg(head: bytes) -> bool:
    """Whether the first bytes of a text file show the header of Project Gutenberg."""
    return _HINT.search(head) is not None


def strip_frame(text: str) -> str:
    """Text without Project Gutenberg's header, licence, credits, transcriber's notes, and marks of pictures and pages."""
    lines = text.split("\n")
    begin = _begin(lines)
    body = "\n".join(lines[begin : _end(lines, begin)])
    body = _PAGE_NUMBER.sub("", _PICTURE.sub("", body))
    return _without_credits(body)


def _begin(lines: list[str]) -> int:
    """Line where the book begins: after the last header marker, which may run over some lines up to its closing stars."""
    begin = 0
    for at, line in enumerate(lines[:_FRONT_LINES]):
        if not _START.match(line):
            continue
        begin = at + 1
        if line.lstrip().startswith("***") and not line.rstrip().endswith("*"):
            closing = (n for n in range(at + 1, min(at + 4, len(lines))) if lines[n].rstrip().endswith("***"))
            begin = next(closing, at) + 1
    return begin


def _end(lines: list[str], begin: int) -> int:
    """Line where the book ends: at the starred marker and the sentence before it; without one, at a sentence far behind."""
    closing = [at for at in range(begin, len(lines)) if _END.match(lines[at])]
    starred = next((at for at in closing if lines[at].lstrip().startswith("*")), None)
    if starred is not None:
        return next((at for at in closing if starred - 12 <= at <= starred), starred)
    return next((at for at in closing if (at - begin) * 2 > len(lines) - begin), len(lines))


def _without_credits(text: str) -> str:
    """Without the paragraphs on who made the file, at the start, and transcriber's notes at either end."""
    blocks = re.split(r"\n[ \t]*\n", text)
    kept: list[str] = []
    in_note = 0
    for at, block in enumerate(blocks):
        flat = block.strip()
        if not flat:
            kept.append(block)
            continue
        if in_note:
            in_note += flat.count("[") - flat.count("]")
            continue
        if _NOTE.match(flat) and (at < 40 or at > len(blocks) * 0.9):
            if flat.startswith("["):
                in_note = max(flat.count("[") - flat.count("]"), 0)
                continue
            if at > len(blocks) * 0.9 and at > 40:
                break
            if len(flat) > 40:
                continue
            blocks[at + 1 : at + 2] = [""]
            continue
        if at < 12 and _CREDIT.match(flat) and len(flat) < 1500:
            continue
        kept.append(block)
    return "\n\n".join(kept)


def rewrap(text: str) -> str:
    """Paragraphs on one line each, where lines were broken to fit a width; verse, tables and titles keep their lines.

    A break is a wrap where the next line's first word would not have fitted any more. Paragraphs most of whose breaks are wraps
    are joined.
    """
    text = _BOLD.sub(r"\1", _EMPHASIS.sub(r"\1", text.replace("\t", "    ")))
    lines = [line.rstrip() for line in text.split("\n")]
    lengths = sorted(len(line) for line in lines if len(line) > 20)
    width = lengths[int(len(lengths) * 0.9)] if lengths else 0
    if not lengths or width > _NOT_BROKEN:
        return re.sub(r"\n{3,}", "\n\n", "\n".join(line.strip() for line in lines)).strip("\n")
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line:
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return _blocks_to_text([_reflow(block, width) for block in blocks if block])


def _blocks_to_text(blocks: list[list[str]]) -> str:
    parts = []
    for block in blocks:
        if len(block) == 1 and _STARS.fullmatch(block[0].strip()):
            parts.append("* * *")
        else:
            parts.append("\n".join(block))
    return "\n\n".join(part for part in parts if part.strip())


def _reflow(block: list[str], width: int) -> list[str]:
    """The paragraph as one line, or its lines where it is none."""
    if len(block) == 1:
        return [block[0].strip()]
    indents = [len(line) - len(line.lstrip()) for line in block]
    rest = sorted(indents[1:])
    common = min(indents)
    indented = rest[len(rest) // 2] >= 2
    limit = max(len(line) for line in block) if indented else width
    if indented and (limit < 40 or len(block) < 3):
        return [line[common:] for line in block]
    wraps = sum(_is_wrap(a, b, limit) for a, b in pairwise(block))
    needed = 0.85 if indented else 0.6
    table = sum("   " in line.strip() for line in block) * 3 >= len(block)
    if table or _is_verse(block, width) or wraps < needed * (len(block) - 1):
        return [line[common:] for line in block]
    pieces = [block[0].strip()]
    for line in block[1:]:
        pieces.append(_between(pieces[-1], line.strip()))
        pieces.append(line.strip())
    return [re.sub(r" {2,}", " ", "".join(pieces))]


def _is_verse(block: list[str], width: int) -> bool:
    """Whether lines stay well within the page and nearly all begin with a capital, as those of poems do."""
    capitals = sum(line.lstrip(" \"'“‘«»„(_")[:1].isupper() for line in block[1:])
    return max(len(line.strip()) for line in block) < 0.85 * width and capitals >= 0.8 * (len(block) - 1)


def _is_wrap(line: str, following: str, width: int) -> bool:
    word = following.split(maxsplit=1)[0] if following.strip() else ""
    if _CJK.match(word):
        word = word[0]
    split_word = line.endswith("-") and line[-2:-1].isalpha()
    return split_word or len(line) + 1 + len(word) > width - 4


def _between(before: str, after: str) -> str:
    """What stands for the break between two lines: a space, or nothing inside a word and between Chinese characters."""
    if before.endswith(("-", "—")) and not before.rstrip("-—").endswith(" ") and not after.startswith("-"):
        return ""
    return "" if before and after and _CJK.match(before[-1]) and _CJK.match(after[0]) else " "
