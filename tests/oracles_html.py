"""Plain Python of what the kernels read in pages of HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping


def name_bits(value: bytes, words: Mapping[str, int]) -> int:
    """Bits of the words in a class, id or role."""
    if re.search(rb"twitter-tweet|twitter-video|instagram-media|fb-post", value):
        return 0
    inner = re.compile("|".join(sorted((word for word in words if len(word) >= 6), key=len, reverse=True)) or r"(?!)")
    found = 0
    for part in re.findall(rb"[A-Z]?[a-z]+|[A-Z]+", value.replace(b"\r\n", b"\n")[:200]):
        word = part.decode("ascii").lower()
        if word in words:
            found |= words[word]
        elif len(word) > 6:
            for one in inner.findall(word):
                found |= words[one]
    return found
