"""Raised and lowered letters in plain text: characters of their own where there are such (``10⁶``), else ``x^k`` and ``x_k``."""

from __future__ import annotations

import re

_SUPERSCRIPTS = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_SUBSCRIPTS = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
_RAISED = re.compile(r"[0-9+\-−=()n]+")
_LOWERED = re.compile(r"[0-9+\-−=()]+")
_ORDINAL = re.compile(
    r"(?:st|nd|rd|th|e|er|ers|re|res|nde?|[èe]me|me|mes|lle|lles|mlle|o|os|a|as|d|de|ra|ro|do|da|to|ta|vo|va|mo|ma|no|na|r|tm|sm|"
    r"c|h|m|s|min|й|я|е|го|ма|та|ти|ми)\.?",
    re.IGNORECASE,
)
"""Raised letters that belong to a word: ``19th``, ``1er``, ``12h30m``."""
_WORD = re.compile(r"[^\W_]{1,12}[′*†‡]?|[∗*†‡′]")
_SUM = re.compile(r"[\w+\-−*/=.,()∞ ′]{2,24}")


def scripted(inside: str, raised: bool, before: str) -> str:
    """A raised or lowered text as it is written behind the character `before`; as it stands where it is no script of that."""
    if (_RAISED if raised else _LOWERED).fullmatch(inside):
        return inside.translate(_SUPERSCRIPTS if raised else _SUBSCRIPTS)
    if not (before.isalnum() or before in ")]'|>") or (raised and _ORDINAL.fullmatch(inside)):
        return inside
    sign = "^" if raised else "_"
    if _WORD.fullmatch(inside):
        return sign + inside
    return f"{sign}({inside})" if _SUM.fullmatch(inside) else inside
