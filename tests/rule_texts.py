"""Texts that reach every rule of the published rule-sets: equal halves, blank lines, n-grams that occur once, ties, and more."""

from __future__ import annotations

VARIED = " ".join(f"The word{i} of that unkind{i * 7 % 90}" for i in range(40))
PLAIN = (
    "We walked to the river and saw that the bridge was gone. Nobody had told us, so we turned back to the village. There we "
    "asked an old man about it. He said that the flood had taken it in the night, and that it would be weeks before anyone "
    "could cross with a cart. We stayed with his family, and he told us of other floods and of the people that have lived by "
    "the water. In the end we went around by the hills, which took three days, but the weather was good and the road dry."
)
LINES = [f"{s.strip()}." for s in PLAIN.split(".") if s.strip()]
STRETCH = ["here", "is", "a", "longer", "stretch", "of", "ten", "words", "that", "will", "come", "again", "and"]
GERMAN = [f"Zeile{i} und der ganze Rest{i * 3} von ihr{i * 5} in dem Haus{i * 9} am Berg{i * 2}" for i in range(40)]
AGAIN = "Lange Zeile noch mal hier, und der Rest kommt ja auch noch"


def word(number: int, size: int = 5) -> str:
    """One of 26**size words."""
    return "".join(chr(97 + number // 26**k % 26) for k in range(size))


def unlike(count: int, size: int = 5) -> list[str]:
    """Words that are all different."""
    return [word(104_729 * i + 11, size) for i in range(count)]


def woven(stretch: int, copies: int, others: int) -> str:
    """`copies` of a stretch of words among `others` that occur once: what repeats is only the stretch."""
    repeated = " ".join(word(7_919 * i + 5) for i in range(stretch))
    rest = unlike(others)
    cut = max(1, others // (copies + 1))
    parts = [" ".join(rest[i * cut : (i + 1) * cut]) + " " + repeated for i in range(copies)]
    return f"the of und der de la {' '.join(parts)} {' '.join(rest[copies * cut :])}."


def sentences(count: int, words: int, end: str = ".", size: int = 5) -> list[str]:
    """Lines of words that are all different."""
    every = unlike(count * words, size)
    return [" ".join(every[i * words : (i + 1) * words]) + end for i in range(count)]


def lines(*parts: str) -> str:
    """The parts, one a line."""
    return "\n".join(parts)


def counted(pattern: str, count: int) -> str:
    """The pattern with 0, 1, 2, ... in place of its "%"."""
    return " ".join(pattern.replace("%", str(i)) for i in range(count))


def hanzi(number: int) -> str:
    """Three characters of their own."""
    return chr(0x4E00 + 7 * number) + chr(0x5000 + 11 * number) + chr(0x6000 + 13 * number)


WOVEN = [(9, 4, 58), (9, 6, 37), (7, 16, 30), (20, 6, 527), (18, 4, 191), (12, 24, 555), (9, 12, 303), (20, 3, 261), (9, 3, 65),
         (18, 3, 191), (20, 3, 268), (24, 3, 380), (24, 5, 590), (24, 8, 429), (9, 24, 86), (5, 24, 37)]  # fmt: skip
"""Stretches for which each of the n-gram rules is the first to fire in some rule-set."""

TEXTS = [
    "", " \n\n ", "\n\n", "x", "#", "one two three", PLAIN, VARIED, f"{PLAIN}\n{PLAIN}", f"{PLAIN}\n\n{PLAIN}",
    f"{PLAIN} {PLAIN}", f"{VARIED}\n\n\n\n{VARIED}", f"{VARIED} {VARIED[:200]}", "the of " * 200, "Short line.\n" * 30,
    PLAIN.replace(" ", "\n"), PLAIN.replace(" ", "\n\n\n"), lines(*LINES), "\n\n".join(LINES), lines(*LINES, *LINES[:3]),
    lines(*LINES, LINES[4], LINES[4]), "\n\n".join([*LINES, LINES[-1], LINES[-1]]),
    "\n\n".join([PLAIN, "a b.", "a b.", "a b.", "a b."]), "\n\n".join([*LINES, *["One more line\nof two."] * 3]),
    lines(*LINES, *[""] * 6), lines(*("* " + line for line in LINES)), lines(*("•" + line for line in LINES)),
    lines(*(" - " + line for line in LINES)), lines(*(line[:-1] + "…" for line in LINES)),
    lines(*(line[:-1] + " Read more" for line in LINES[:3]), *LINES[3:]), lines(*(line[:-1] + "..." for line in LINES)),
    lines(*(line[:-1] for line in LINES)), lines(*(line[:-1] for line in LINES), LINES[0]), PLAIN.replace(" ", " # ", 60),
    PLAIN.replace(" ", "# ", 30), PLAIN + " ..." * 40, PLAIN + " … read #a# ##" * 20, counted("1%", 190),
    PLAIN + " 123456" * 30, PLAIN + " 1234567" * 12, "the 12 and 34 of " * 30 + PLAIN,
    PLAIN + " https://example.org/a/b?c=d%20e" * 8, PLAIN + " ()[]{}" * 30, PLAIN.replace(" ", "(a) [b] {c} ", 20),
    PLAIN.replace(" ", "     "), PLAIN + "\n\nWe use cookies here.\n\nRead our Privacy Policy.",
    "We use cookies.\n\n" + PLAIN, lines(PLAIN, "Lorem ipsum dolor sit amet, consectetur."),
    lines(PLAIN, "if (x) { return it to me }."), lines(PLAIN, "Please enable JavaScript to see it."),
    lines(*LINES, "See the terms of use of this site here."), LINES[0], lines(*LINES[:2], "Two [1] [2] [3] [edit] words."),
    lines(*LINES[:3]), lines(PLAIN, "x" * 1001 + " is it."), PLAIN + " " + "y" * 1001,
    counted("extraordinarilyextraordinarily% of the", 40), "a b c d e to be or i am of it " * 9,
    counted("extraordinary%", 60) + " of the.", counted("of% a to% the b%", 60) + ".", counted("w% o v%", 60) + " the and.",
    counted("wort% ganz anders%", 40) + ".", "!? " * 60, counted("Wort% und der Satz% mit", 30) + ".",
    "\U0001f600" * 50 + PLAIN, "abcdefghij" * 40, "a ba bc " * 12 + PLAIN,
    *(" ".join([PLAIN, *STRETCH * k]) for k in (1, 2, 3)),
    *(counted(" ".join(STRETCH[:n]) + " split% %a", 40) for n in (2, 3, 4)),
    *(counted(" ".join(STRETCH[:n]) + " split%", k) + " " + PLAIN * 2 for n in range(4, 12) for k in (3, 5, 9)),
    *(woven(*numbers) for numbers in WOVEN),
    lines(PLAIN, "THE NEWS OF TODAY", "12345", "3 likes", "12.5K followers!", "Home"),
    lines("Sign-in to read", PLAIN, "Three items in cart"), lines(PLAIN, "The rest of it: read more..."),
    lines(PLAIN, "Read more now"), lines(PLAIN * 3, "SHOUTED LINE", "Home", "3 likes"), "HOME\nNEWS", "3 likes\n\n\n4 views",
    "A\n\n\nB", "items in cart", "漢字を書く。" * 20, "我们在河边走的时候看到了那座桥。" * 8,
    "السلام عليكم ورحمة الله وبركاته " * 12,
    "".join(f"第{i}章是说{hanzi(i)}的人在{hanzi(i + 90)}。" for i in range(40)), "".join(map(hanzi, range(60))) + "。",
    " ".join(f"{hanzi(i)[0]}1 2 3" for i in range(60)) + "的年。", lines(*(line[:25] for line in GERMAN)),
    lines(*GERMAN, *[AGAIN] * 10), counted("Gesetzgebungsverfahren% Bundesverfassungsgericht1%", 40) + " und der.",
    counted("Wort%# und der%", 60), counted("Wort%... und der%", 60), lines(*("- " + line for line in GERMAN)),
    lines(*(line + "…" for line in GERMAN)),
    "u d a " * 5 + " ".join(f"{word(i, 1)}{word(i * 7, 1)} {word(i * 5, 1)}" for i in range(90)),
    counted("% 3% und Wort%", 60), lines("the of and to", *sentences(8, 6), *sentences(1, 40) * 2),
    f"{PLAIN} {'y' * 1001} {' '.join(sentences(30, 10))}",
    " ".join(f"({a}) [{b}]" for a, b in zip(unlike(60, 9), unlike(60, 10), strict=True)) + ".",
    "\n\n".join([*(" \n" * 99 + " ",) * 6, *unlike(12, 310)]), " ".join([*["the", "abc"] * 29, "of", "be."]),
    f"{PLAIN} {' !!! ?? '.join(unlike(40))}.", lines(*sentences(60, 3)), lines(*sentences(8, 10), *sentences(1, 10)),
    PLAIN + " #a" * 12, " ".join(sentences(40, 3, " …", 4)) + ".",
    f"und der de la 的 年 في من {' '.join(f'{w} {i * 7}' for i, w in enumerate(unlike(100, 3)))}.",
]  # fmt: skip
