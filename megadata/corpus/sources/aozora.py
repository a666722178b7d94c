"""Plain-text books of Aozora Bunko (Japanese): ruby, notes on signs, and the frame around the text."""

from __future__ import annotations

import re

_RUBY = re.compile("《[^《》\n]{1,60}》")
_NOTE = re.compile("［＃[^［］\n]{1,200}］")
_RULE = re.compile(r"-{20,}\s*")
_FOOTER = re.compile("底本[：:]")


def is_aozora(text: str) -> bool:
    """Whether a text explains Aozora's signs in its head, or carries its notes."""
    return "《》：ルビ" in text[:3000] or len(_NOTE.findall(text[:100_000])) > 5


def strip_aozora(text: str) -> str:
    """Text without readings in ruby, editors' notes, the legend at the head and the source statement at the end."""
    lines = text.split("\n")
    rules = [at for at, line in enumerate(lines[:80]) if _RULE.fullmatch(line)]
    if len(rules) >= 2:
        lines = [*lines[: rules[0]], *lines[rules[1] + 1 :]]
    end = next((at for at in range(len(lines) - 1, -1, -1) if _FOOTER.match(lines[at])), None)
    # 底本の親本 (the source's source) follows 底本; the first of the two closes the text.
    while (
        end is not None and end > len(lines) * 0.5 and any(_FOOTER.match(line) for line in lines[max(end - 5, 0) : end])
    ):
        end = next(at for at in range(max(end - 5, 0), end) if _FOOTER.match(lines[at]))
    if end is not None and end > len(lines) * 0.5:
        lines = lines[:end]
    return _NOTE.sub("", _RUBY.sub("", "\n".join(lines))).replace("｜", "")
