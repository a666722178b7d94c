"""The attributes of one tag: where those lie that say what an element is, and whether it hides what is in it."""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U8, helper
from megadata.kernels.html import (
    ARIA_HIDDEN,
    BODY_TEXT,
    CLASS_AT,
    CLASS_END,
    FLAGS,
    HIDDEN,
    ID_AT,
    ID_END,
    IMG,
    LI,
    MOST_NUMBER,
    NODE_COLUMNS,
    NUMBER,
    OL,
    ROLE_AT,
    ROLE_END,
    SCRIPT,
    A,
    name_key,
)  # fmt: skip
from megadata.kernels.htmlbytes import (
    APOSTROPHE,
    EQUALS,
    FNV,
    GT,
    PRIME,
    QUOTE,
    SLASH,
    find,
    integer,
    is_space,
    lower,
    seek,
)

# What is found, beside the columns of a node: where a picture's text lies, and whether the element is a link with an address, a
# script of TeX, a picture of a formula, or closed by its own tag.
ALT_AT, ALT_END, LINKING, TEX_TYPED, TEX_NAMED, SELF_CLOSED = range(NODE_COLUMNS, NODE_COLUMNS + 6)
FOUND = NODE_COLUMNS + 6

HREF, CLASS, ID, ROLE, STYLE, HIDDEN_KEY, ARIA, ITEMPROP, TYPE, ALT, START, VALUE = (
    np.uint64(name_key(name))
    for name in (
        b"href",
        b"class",
        b"id",
        b"role",
        b"style",
        b"hidden",
        b"aria-hidden",
        b"itemprop",
        b"type",
        b"alt",
        b"start",
        b"value",
    )
)
DISPLAY_NONE = np.frombuffer(b"display:none", np.uint8)
VISIBILITY = np.frombuffer(b"visibility:hidden", np.uint8)
TRUE = np.frombuffer(b"true", np.uint8)
ARTICLE_BODY = np.frombuffer(b"articlebody", np.uint8)
MATH_TEX = np.frombuffer(b"math/tex", np.uint8)
LATEX = np.frombuffer(b"latex", np.uint8)
MATH_WORD = np.frombuffer(b"math", np.uint8)


@helper
def read_attributes(page_B: U8, i: int, tag: int, closing: bool, found: I64) -> int:
    """Fill `found` from the attributes at `i`; where the tag's ``>`` is."""
    size = page_B.size
    for column in range(FOUND):
        found[column] = 0
    while i < size and page_B[i] != GT:
        byte = integer(page_B[i])
        if is_space(byte) or byte == SLASH:
            found[SELF_CLOSED] = byte == SLASH
            i += 1
            continue
        attribute = FNV
        first = i
        while (
            i < size
            and not is_space(page_B[i])
            and page_B[i] != GT
            and page_B[i] != SLASH
            and (page_B[i] != EQUALS or i == first)
        ):
            attribute = (attribute ^ np.uint64(lower(page_B[i]))) * PRIME
            i += 1
        j = i
        while j < size and is_space(page_B[j]):
            j += 1
        value_at, value_end = i, i
        if j < size and page_B[j] == EQUALS:
            j += 1
            while j < size and is_space(page_B[j]):
                j += 1
            if j < size and (page_B[j] == QUOTE or page_B[j] == APOSTROPHE):
                quote = page_B[j]
                j += 1
                value_at = j
                j = seek(page_B, j, integer(quote))
                value_end = j
                i = min(j + 1, size)
            else:
                value_at = j
                while j < size and not is_space(page_B[j]) and page_B[j] != GT:
                    j += 1
                value_end = j
                i = j
        found[SELF_CLOSED] = 0
        if closing:
            continue
        if attribute == CLASS:
            found[CLASS_AT], found[CLASS_END] = value_at, value_end
            if tag == IMG and (
                find(page_B, value_at, value_end, LATEX) >= 0 or find(page_B, value_at, value_end, MATH_WORD) >= 0
            ):
                found[TEX_NAMED] = 1
        elif attribute == ID:
            found[ID_AT], found[ID_END] = value_at, value_end
        elif attribute == ROLE:
            found[ROLE_AT], found[ROLE_END] = value_at, value_end
        elif attribute == HREF:
            found[LINKING] = tag == A
        elif attribute == STYLE:
            if (
                find(page_B, value_at, value_end, DISPLAY_NONE) >= 0
                or find(page_B, value_at, value_end, VISIBILITY) >= 0
            ):
                found[FLAGS] |= HIDDEN
        elif attribute == HIDDEN_KEY:
            found[FLAGS] |= HIDDEN
        elif attribute == ARIA:
            if find(page_B, value_at, value_end, TRUE) >= 0:
                found[FLAGS] |= ARIA_HIDDEN
        elif attribute == ITEMPROP:
            if find(page_B, value_at, value_end, ARTICLE_BODY) >= 0:
                found[FLAGS] |= BODY_TEXT
        elif attribute == TYPE:
            found[TEX_TYPED] = tag == SCRIPT and find(page_B, value_at, value_end, MATH_TEX) >= 0
        elif attribute == ALT:
            found[ALT_AT], found[ALT_END] = value_at, value_end
        elif (attribute == START and tag == OL) or (attribute == VALUE and tag == LI):
            number = 0 if value_end > value_at else -1
            for k in range(value_at, value_end):
                digit = integer(page_B[k]) - 48
                number = number * 10 + digit if 0 <= digit <= 9 and 0 <= number < MOST_NUMBER else -1
            found[NUMBER] = number + 1
    return i
