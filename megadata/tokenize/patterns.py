"""Split patterns of byte-level BPE tokenizers, by name: where text is cut before any merge happens.

Written exactly as they stand in published ``tokenizer.json`` files, because encoders recognise a pattern by its text.
"""

from __future__ import annotations

from typing import Any

from megadata.errors import ConfigError

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_TAIL = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"
_LOWER = r"\p{Ll}\p{Lm}\p{Lo}\p{M}"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""GPT-2, r50k, p50k. `tokenizers` knows it as its built-in ``ByteLevel`` pre-tokenizer."""

CL100K = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _TAIL
"""GPT-4, Llama 3: digits in threes, line ends kept with punctuation."""

QWEN = CL100K.replace(r"\p{N}{1,3}", r"\p{N}")
"""Qwen 2 and 2.5: as cl100k, each digit alone."""

O200K = "|".join(
    [
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+{_CONTRACTIONS}?",
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*{_CONTRACTIONS}?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        _TAIL,
    ]
)
"""GPT-4o: cuts inside camelCase, contractions stay with their word."""

PATTERNS: dict[str, str] = {"gpt2": GPT2, "cl100k": CL100K, "o200k": O200K, "qwen": QWEN}

OTHER_NAMES = {"llama3": "cl100k", "llama-3": "cl100k"}
"""Names under which patterns are also known."""


def known_pattern(name: str) -> str:
    """The name of a pattern, by any name it has.

    Raises
    ------
    ConfigError
        When there is no such pattern.
    """
    found = OTHER_NAMES.get(name, name)
    if found not in PATTERNS:
        raise ConfigError(
            f"pattern {name!r} is not known; expected {', '.join(PATTERNS)} or llama3 (the same as cl100k)"
        )
    return found


_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}


def pre_tokenizer(pattern: str) -> dict[str, Any]:
    """The ``pre_tokenizer`` section of a tokenizer.json for a pattern's name."""
    pattern = known_pattern(pattern)
    if pattern == "gpt2":
        return {**_BYTE_LEVEL, "use_regex": True}
    split = {"type": "Split", "pattern": {"Regex": PATTERNS[pattern]}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, {**_BYTE_LEVEL, "use_regex": False}]}


def pattern_of(section: Any) -> str | None:
    """Name of the pattern that a tokenizer.json's ``pre_tokenizer`` section applies, or None when it is another one."""
    if not isinstance(section, dict):
        return None
    if section.get("type") == "ByteLevel":
        return "gpt2" if section.get("use_regex", True) else None
    steps = section.get("pretokenizers", [])
    if section.get("type") != "Sequence" or len(steps) != 2 or steps[1].get("type") != "ByteLevel":
        return None
    split, byte_level = steps
    plain = split.get("type") == "Split" and split.get("behavior") == "Isolated" and not split.get("invert")
    if not plain or byte_level.get("use_regex", True):
        return None
    found = split.get("pattern", {}).get("Regex")
    return next((name for name, text in PATTERNS.items() if text == found), None)


def byte_alphabet() -> list[str]:
    """The character that stands for each of the 256 bytes in a byte-level vocabulary (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {byte: chr(byte) for byte in printable}
    others = [byte for byte in range(256) if byte not in table]
    table.update({byte: chr(256 + n) for n, byte in enumerate(others)})
    return [table[byte] for byte in range(256)]
