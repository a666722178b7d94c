"""Plain-text books: the frame that Project Gutenberg puts around them."""

from __future__ import annotations

import re

_FRONT_LINES = 700
"""The header with the old "small print" ends within this many lines."""
_LONGEST_LICENCE = 800
"""Lines behind the end of a book at most; where more follow, another book begins there, or the marker was quoted."""
_SHORT_BOOK = 5000
"""Characters; in what is shorter, notes may well be the larger part."""
_MOST_TAKEN = 0.3
"""Share of a book that may be notes, credits and marks; a text of which more would go keeps them."""
_START = re.compile(
    r"^\W*(?:START OF (?:THE|THIS) (?:PROJECT GUTENBERG|COPYRIGHTED)|END\W*THE SMALL PRINT"
    r"|(?:START|BEGINN?|D[EÉ]BUT|INIZIO|IN[IÍ]CIO|COMIENZO|PRINCIPIO|ALKU|BÖRJAN|POCZĄTEK)\b.{0,40}PROJ\w{2,6} GUTENBERG).*$",
    re.IGNORECASE,
)
_END = re.compile(
    r"^\W*(?:END OF (?:THE |THIS )?(?:PROJECT GUTENBERG|COPYRIGHTED)|ENDE? D(?:IESES?|ES|ER) (?:PROJE[CK]T GUTENBERG|ETEXT)"
    r"|(?:END|FINE?|FIM|ENDE|EINDE|SLUT(?:ET)?|LOPPU|KONIEC|KONEC|VÉGE)\b.{0,40}PRO(?:J|GE)\w{2,6} GUTENBERG"
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
    r"this (?:e-?text|e-?book|file|book|work|project gutenberg).{0,40}(?:was|is|prepared|produced)|note:\s+images of|"
    r"note: project gutenberg|language: |title: |author: |.{0,80}distributed proofread|.{0,200}pgdp\.net|http)",
    re.IGNORECASE | re.DOTALL,
)
_NOTE = re.compile(
    r"\W*(?:(?:original )?(?:transcriber|etext transcriber|scanner|proofreader|redactor)['’]?s?['’]? (?:end)?notes?\b"
    r"|note of the transcriber|notes? (?:de (?:la )?|sur la |du )transcri|note au lecteur de ce fichier"
    r"|not[ae]s? d(?:el?|o|a|i) (?:la )?transcri"
    r"|anmerkungen? (?:des|der|zur) (?:bearbeiter|transkription|transkribier)|(?:hinweise? )?zur transkription"
    r"|transkriptionsanmerkung|transkriptionsnotiz|opmerkingen van de (?:bewerker|transcribent)"
    r"|uwagi od transkry|huomautus(?:ia)? tekst)",
    re.IGNORECASE,
)
_NOTE_BODY = re.compile(
    r"transcri|e-?text|proofread|obvious|typograph|spelling|hyphenat|punctuation|printer|misprint|italic|underscore"
    r"|project gutenberg|footnotes? (?:have|has|were|are)|corrected|rechtschreib|druckfehler|fehler|korrigiert|gesperrt"
    r"|orthograph|coquille|corrigé|ponctuation|spelfout|verbeterd|gecorrigeerd|painovirhe|errata|ortogra|^\W*page \d",
    re.IGNORECASE,
)
"""What a paragraph below the title of a transcriber's note speaks of."""
_NOTE_INSIDE = re.compile(
    r"\[\s*(?:(?:transcriber|etext transcriber|scanner|proofreader|redactor)['’]?s?['’]?|tr\.?|t\.) ?n(?:otes?|\.)?"
    r"\s*[:.][^\[\]]{0,2000}\]"
    r"|\[\s*(?:anm(?:erkung|\.) d(?:es|er|\.) (?:bearbeiter|transkri)|note (?:du|de) transcri|nota d(?:el|o|e) transcri)"
    r"[^\[\]]{0,2000}\]",
    re.IGNORECASE,
)
_PICTURE = re.compile(
    r"\[\s*(?:(?:illustrations?|illustré|illustrated|ilustraci[oó]n(?:es)?|ilustraç(?:ão|ões)|illustrazion[ei]|illustraties?|ilustracja"
    r"|abbildung(?:en)?|afbeelding|gravure|frontispiece|frontispiz|titelbild|head-?piece|tail-?piece|drop ?cap|blank page|kuvitus"
    r"|musical? notation|иллюстрация|рисунок)\b"
    r"|(?:pictures?|image|figura|figure|figuur|plate|plaat|map|cover|kuva|bild|decoration|decorative|ornament|vignette|tafel|tavola)"
    r"(?=\s*(?:[\]:.;,—–]|--|-\s|\d|[IVXLC]+\b|of\b|no\b|facing|image|graphic|initial|page)))"
    r"[^\[\]]{0,1500}(?:\[[^\[\]]{0,500}\][^\[\]]{0,1500})?\]",
    re.IGNORECASE,
)
_UNCLOSED_PICTURE = re.compile(r"\[illustration\b[^\]\n]{0,200}(?:\n[^\]\n]{1,200}){0,6}\]", re.IGNORECASE)
_TAG = re.compile(r"</?(?:i|b|em|strong|sup|sub|small|u|center|br|hr|p)\s*/?>", re.IGNORECASE)
_PAGE_NUMBER = re.compile(
    r"\[(?:pgs?\.?|pages?|p\.|s\.|seite|blz\.?|p[aá]g\.?|str\.)[ \t]*[0-9ivxlc]{1,6}\.?\]"
    r"|\{(?:pg?\.?|page|s\.)?[ \t]*[0-9ivxlc]{1,6}\}",
    re.IGNORECASE,
)
_MADE_BY = re.compile(r"pgdp\.net|distributed proofread|project gutenberg", re.IGNORECASE)
_STARRED = re.compile(r"^\s*\*{3}\s*START OF", re.IGNORECASE)
_NOTES_WITHIN = 6000
"""Characters from either end within which notes of transcribers stand; more in long books."""
_NOTE_TITLE = 60
_NOTE_PARAGRAPHS = 12


def is_gutenberg(head: bytes) -> bool:
    """Whether the first bytes of a text file show the header of Project Gutenberg."""
    return _HINT.search(head) is not None


def strip_frame(text: str) -> str:
    """Text without Project Gutenberg's header, licence, credits, transcriber's notes, and marks of pictures and pages.

    A file may hold several books. Where more than `_MOST_TAKEN` of a book would go with notes, credits and marks, they stay.
    """
    lines = text.split("\n")
    books = []
    begin = _begin(lines)
    while True:
        end, again = _end(lines, begin)
        books.append(_without_marks("\n".join(lines[begin:end])))
        if again is None:
            return "\n\n".join(books)
        begin = again


def _without_marks(book: str) -> str:
    body = book
    if "[" in body or "{" in body:
        body = _PAGE_NUMBER.sub("", _UNCLOSED_PICTURE.sub("", _PICTURE.sub("", _NOTE_INSIDE.sub("", body))))
    if "</" in body:
        body = _TAG.sub("", body)
    body = _without_credits(body)
    return body if len(body) >= (1 - _MOST_TAKEN) * len(book) or len(book) < _SHORT_BOOK else book


def _begin(lines: list[str], first: int = 0) -> int:
    """Line where the book begins: after the last header marker, which may run over some lines up to its closing stars."""
    begin = first
    for at in range(first, min(first + _FRONT_LINES, len(lines))):
        line = lines[at]
        if not _START.match(line):
            continue
        begin = at + 1
        if line.lstrip().startswith("***") and not line.rstrip().endswith("*"):
            closing = (n for n in range(at + 1, min(at + 4, len(lines))) if lines[n].rstrip().endswith("***"))
            begin = next(closing, at) + 1
    return begin


def _end(lines: list[str], begin: int) -> tuple[int, int | None]:
    """Line where the book ends, and the line where the next book of the file begins, or None.

    The end is at the starred marker and the sentence before it; without one, at a sentence far behind.
    """
    closing = [at for at in range(begin, len(lines)) if _END.match(lines[at])]
    starred = [at for at in closing if lines[at].lstrip().startswith("*")]
    for at in starred:
        end = next((one for one in closing if at - 12 <= one <= at), at)
        if len(lines) - at <= _LONGEST_LICENCE:
            return end, None
        following = next(
            (n for n in range(at + 1, min(at + 2 * _LONGEST_LICENCE, len(lines))) if _STARRED.match(lines[n])), None
        )
        if following is not None:
            return end, _begin(lines[: following + 4], following)
    return next((at for at in closing if (at - begin) * 2 > len(lines) - begin), len(lines)), None


def _without_credits(text: str) -> str:
    """Without the paragraphs on who made the file, at either end, and transcriber's notes there."""
    blocks = re.split(r"\n[ \t]*\n", text)
    front, back = max(_NOTES_WITHIN, len(text) // 25), len(text) - max(_NOTES_WITHIN, len(text) // 10)
    kept: list[str] = []
    place = in_note = below_title = 0
    for at, block in enumerate(blocks):
        flat = block.strip()
        place += len(block) + 2
        if not flat:
            kept.append(block)
            continue
        if in_note:
            in_note += flat.count("[") - flat.count("]")
            continue
        if below_title:
            below_title -= 1
            if _NOTE_BODY.search(flat):
                continue
            below_title = 0
        if (place - len(block) < front or place > back) and _NOTE.match(flat):
            if flat.startswith("["):
                in_note = max(flat.count("[") - flat.count("]"), 0)
                continue
            if at > 40 and len(text) - place < max(_NOTES_WITHIN // 2, len(text) // 100):
                break
            if len(flat) <= _NOTE_TITLE or place > back:
                below_title = _NOTE_PARAGRAPHS if place < back else len(blocks)
            continue
        if at < 12 and _CREDIT.match(flat) and len(flat) < 1500:
            continue
        if at >= len(blocks) - 12 and len(flat) < 600 and _MADE_BY.search(flat):
            continue
        kept.append(block)
    return "\n\n".join(kept)
