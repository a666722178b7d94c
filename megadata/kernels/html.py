"""HTML as flat arrays: one pass over a page's bytes gives its block elements, its blocks of text, and the pieces of each block.

No tree of objects is built and nothing recurses: the open elements are a stack of at most `DEEPEST` entries, so that
time is linear in the page whatever its nesting. Which end tags are implied follows the HTML standard where it matters
for text (paragraphs, list items, table cells, headings); inline elements open nothing. Letters: B bytes of the page, N
nodes (elements that break text, in the order of their start tags), K blocks (runs of inline content between such
elements), R pieces of blocks, T slots of the table of tags.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from megadata.kernels.base import I32, I64, U8, U64, Bool, helper, kernel, reads, writes

DEEPEST = 512
"""Open elements at most; a deeper one takes the place of the innermost, as in browsers."""

# What a tag does: bits of the table of tags.
BREAKS = 1  # a node: text before and after it belongs to different blocks
VOID = 2  # never has content
RAW = 4  # its content is no markup and is skipped
DROPPED = 8  # its content is no text of the page
CLOSES_P = 16  # an open paragraph ends before it

# Tags with rules of their own; further tags are numbered from `FIRST_OTHER` by the table of tags.
(
    OTHER,
    A,
    BR,
    P,
    LI,
    UL,
    OL,
    DD,
    DT,
    TD,
    TH,
    TR,
    TBODY,
    TABLE,
    HEADING,
    PRE,
    TITLE,
    SCRIPT,
    MATH,
    IMG,
    CODE,
    HR,
    BODY,
    DL,
    SPAN,
) = range(25)
FIRST_OTHER = 32

# Columns of a node: its tag, its parent (-1: the page), the node after its last descendant, where class, id and role lie, its
# flags, the level of a heading, and the blocks inside it: [BLOCK_AT, BLOCK_END).
TAG, PARENT, AFTER, CLASS_AT, CLASS_END, ID_AT, ID_END, ROLE_AT, ROLE_END, FLAGS, LEVEL, BLOCK_AT, BLOCK_END = range(13)
NODE_COLUMNS = 13
# Flags of a node.
HIDDEN = 1  # by attribute or inline style
ARIA_HIDDEN = 2
BODY_TEXT = 4  # itemprop="articleBody"

# Columns of a block; characters and words are those that show: entities count once, spaces never.
(
    NODE,
    FIRST_PIECE,
    CHARACTERS,
    LINKED,
    WORDS,
    LINKS,
    CLAUSES,
    DIGITS,
    IDEOGRAPHS,
    CAPITALS,
    MARKS,
    LAST,
    BREAKS_IN,
    PICTURED,
) = range(14)
BLOCK_COLUMNS = 14

# Columns of a piece: its bytes and what it is.
AT, END, KIND = range(3)
TEXT, LINE_BREAK, TEX, MATHML, TEX_IMAGE, CODE_TEXT, PRE_TEXT = range(7)
PIECE_COLUMNS = 3

LT, GT, SLASH, BANG, QUESTION, EQUALS, QUOTE, APOSTROPHE, AMPERSAND, SEMICOLON, DASH, HASH = (
    60, 62, 47, 33, 63, 61, 34, 39, 38, 59, 45, 35,
)  # fmt: skip

integer: Any = np.int64
"""Makes a signed number of an unsigned one; `Any` because a kernel's whole numbers are plain `int` to the type checker."""

FNV = np.uint64(0xCBF29CE484222325)
PRIME = np.uint64(0x100000001B3)


def name_key(name: bytes) -> int:
    """Hash of a lower-case name, as the kernel computes it (FNV-1a)."""
    value = 0xCBF29CE484222325
    for byte in name:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


HREF, CLASS, ID, ROLE, STYLE, HIDDEN_KEY, ARIA, ITEMPROP, TYPE, ALT = (
    np.uint64(name_key(name))
    for name in (b"href", b"class", b"id", b"role", b"style", b"hidden", b"aria-hidden", b"itemprop", b"type", b"alt")
)
DISPLAY_NONE = np.frombuffer(b"display:none", np.uint8)
VISIBILITY = np.frombuffer(b"visibility:hidden", np.uint8)
TRUE = np.frombuffer(b"true", np.uint8)
ARTICLE_BODY = np.frombuffer(b"articlebody", np.uint8)
MATH_TEX = np.frombuffer(b"math/tex", np.uint8)
LATEX = np.frombuffer(b"latex", np.uint8)
MATH_WORD = np.frombuffer(b"math", np.uint8)
COMMENT_END = np.frombuffer(b"-->", np.uint8)
MATH_END = np.frombuffer(b"</math", np.uint8)


@helper
def is_space(byte: int) -> bool:
    """Whether a byte is one of HTML's white space."""
    return byte == 32 or (9 <= byte <= 13)


@helper
def lower(byte: int) -> int:
    """ASCII letters in lower case."""
    shifted: int = byte + 32 if 65 <= byte <= 90 else byte
    return shifted


@helper
def is_letter(byte: int) -> bool:
    """Whether a byte is an ASCII letter."""
    return 97 <= (byte | 32) <= 122


@helper
def find(page_B: U8, at: int, end: int, word: U8) -> int:
    """Where `word` (lower case) begins in [at, end), spaces in between and case apart; -1 where it does not."""
    for i in range(at, end - word.size + 1):
        if lower(page_B[i]) != word[0]:
            continue
        j, k = i, 0
        while j < end and k < word.size:
            byte = lower(page_B[j])
            if byte == word[k]:
                k += 1
            elif not is_space(byte):
                break
            j += 1
        if k == word.size:
            return i
    return -1


@helper
def raw_end(page_B: U8, at: int, name_at: int, name_end: int) -> int:
    """Where the end tag of an element with raw content begins; -1 where there is none."""
    size = name_end - name_at
    for i in range(at, page_B.size - size - 1):
        if page_B[i] == LT and page_B[i + 1] == SLASH:
            k = 0
            while k < size and lower(page_B[i + 2 + k]) == lower(page_B[name_at + k]):
                k += 1
            if k == size:
                return i
    return -1


@helper
def after_tag(page_B: U8, at: int) -> int:
    """The byte after the next ``>``, or the end of the page."""
    while at < page_B.size and page_B[at] != GT:
        at += 1
    return min(at + 1, page_B.size)


@helper
def lookup(key: np.uint64, keys_T: U64) -> int:
    """Slot of a tag in the table; -1 where it is not there."""
    slot: int = integer(key) & (keys_T.size - 1)
    while keys_T[slot] != 0:
        if keys_T[slot] == key:
            return slot
        slot = (slot + 1) % keys_T.size
    return -1


@helper
def begin_block(blocks: I32, at: int, node: int, piece: int, pictured: bool) -> None:
    """Start a block with counts of zero."""
    blocks[at, :] = 0
    blocks[at, NODE] = node
    blocks[at, FIRST_PIECE] = piece
    blocks[at, PICTURED] = pictured


@helper
def count(page_B: U8, at: int, end: int, row: I32, linked: bool) -> None:
    """Add the text in [at, end) to the counts of a block."""
    i = at
    word = False
    while i < end:
        byte = integer(page_B[i])
        if is_space(byte):
            word = False
            i += 1
            continue
        size = 1
        if byte == AMPERSAND:
            j = i + 1
            while j < min(end, i + 12) and page_B[j] != SEMICOLON and not is_space(page_B[j]):
                j += 1
            if j < end and page_B[j] == SEMICOLON:
                size = j + 1 - i
                if size == 6 and (
                    (page_B[i + 1] == 110 and page_B[i + 2] == 98)
                    or (page_B[i + 1] == HASH and page_B[i + 2] == 49 and page_B[i + 3] == 54)
                ):
                    word = False  # &nbsp; or &#160;
                    i += size
                    continue
            byte = 97
        elif byte >= 0x80:
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            second = integer(page_B[i + 1]) if i + 1 < end else 0
            third = integer(page_B[i + 2]) if i + 2 < end and size > 2 else 0
            if byte == 0xC2 and second == 0xA0:
                word = False
                i += 2
                continue
            if byte == 0xE3 and second == 0x80 and third == 0x80:
                word = False
                i += 3
                continue
            if (byte == 0xE3 and second == 0x80 and (third == 0x81 or third == 0x82)) or (
                byte == 0xEF and second == 0xBC and (third in (0x8C, 0x81, 0x9F, 0x9B, 0x9A, 0x8E))
            ):
                row[CLAUSES] += 1
                row[LAST] = 46 if third != 0x8C and third != 0x81 else 44
                row[CHARACTERS] += 1
                row[LINKED] += linked
                word = False
                i += 3
                continue
            if (byte == 0xD8 and (second == 0x8C or second == 0x9F)) or (
                byte == 0xE0 and second == 0xA5 and third == 0xA4
            ):
                row[CLAUSES] += 1
                row[LAST] = 46
            elif 0xE3 <= byte <= 0xE9 or (byte == 0xEA and second < 0xB0):
                row[IDEOGRAPHS] += 1
                row[LAST] = 97
            elif byte == 0xC2 and (second == 0xBB or second == 0xAB or second == 0xB7 or second == 0xA9):
                row[MARKS] += 1
                row[LAST] = 124
            elif byte == 0xE2 and second == 0x80 and (third == 0x9D or third == 0x99 or third == 0x9C):
                pass  # a closing quotation mark: what stands before it ends the sentence
            elif byte == 0xE2 and second == 0x80 and third == 0xA6:
                row[LAST] = 95
            else:
                row[LAST] = 97
            byte = 97
        elif byte == 44 or byte == 46 or byte == 59 or byte == 58 or byte == 33 or byte == 63:
            if i + 1 >= end or page_B[i + 1] < 48 or page_B[i + 1] > 57:
                row[CLAUSES] += 1
            row[LAST] = byte
        elif 48 <= byte <= 57:
            row[DIGITS] += 1
            row[LAST] = byte
        elif byte == 124 or byte == 62:
            row[MARKS] += 1
            row[LAST] = 124
        elif byte == 34 or byte == 39 or byte == 41 or byte == 93:
            pass
        else:
            if 65 <= byte <= 90:
                row[CAPITALS] += 1
            row[LAST] = byte
        row[CHARACTERS] += 1
        row[LINKED] += linked
        if not word:
            row[WORDS] += 1
            word = True
        i += size


@kernel(
    reads(types.uint8),
    reads(types.uint64),
    reads(types.int64),
    reads(types.int64),
    writes(types.int32, 2),
    writes(types.int32, 2),
    writes(types.int32, 2),
    writes(types.int64),
)
def scan_page(
    page_B: U8, keys_T: U64, tags_T: I64, does_T: I64, nodes: I32, blocks: I32, pieces: I32, counts: I64
) -> None:
    """Fill `nodes`, `blocks` and `pieces`; `counts` receives how many there are, and where the title's text begins and ends.

    One row more than there are ``<`` is enough of nodes, two of each of them and two more of blocks and pieces.
    """
    stack = np.zeros(DEEPEST + 1, np.int32)
    open_of = np.zeros(256, np.int64)  # open nodes of each tag
    unclosed = np.zeros(256, np.bool_)  # raw elements that were found to have no end tag
    dangling = False  # the same for comments
    depth = 0
    dropping = 0  # how deep the outermost dropped element lies, 0 for none
    link_at = -1  # depth at which the open link began, -1 for none
    codes = 0
    n_nodes, n_blocks, n_pieces = 0, 0, 0
    block_open = False
    breaks = 0  # line breaks since the last text
    pictured = False  # whether a picture came since the last block
    counts[3], counts[4] = 0, 0
    at, size = 0, page_B.size
    while at < size:
        # Text up to the next tag.
        text_at = at
        while at < size:
            if page_B[at] == LT and at + 1 < size:
                following = integer(page_B[at + 1])
                if is_letter(following) or following in (SLASH, BANG, QUESTION):
                    break
            at += 1
        if at > text_at and dropping == 0:
            in_pre = open_of[PRE] > 0
            shows = False
            for i in range(text_at, at):
                if not is_space(page_B[i]):
                    shows = True
                    break
            if shows or (block_open and (in_pre or at > text_at)):
                if shows and breaks >= 2 and not in_pre:
                    block_open = False
                if shows and not block_open:
                    begin_block(blocks, n_blocks, stack[depth - 1] if depth else -1, n_pieces, pictured)
                    n_blocks += 1
                    block_open, pictured = True, False
                if shows:
                    breaks = 0
                    count(page_B, text_at, at, blocks[n_blocks - 1], link_at >= 0)
                pieces[n_pieces, AT] = text_at
                pieces[n_pieces, END] = at
                pieces[n_pieces, KIND] = PRE_TEXT if in_pre else CODE_TEXT if codes > 0 else TEXT
                n_pieces += 1
        if at >= size:
            break
        following = integer(page_B[at + 1])
        if following in (BANG, QUESTION):
            if at + 3 < size and page_B[at + 2] == DASH and page_B[at + 3] == DASH and not dangling:
                end = -1
                if at + 4 < size and page_B[at + 4] == GT:
                    end = at + 5
                else:
                    for i in range(at + 4, size - 2):
                        if (
                            page_B[i] == DASH
                            and page_B[i + 1] == DASH
                            and (
                                page_B[i + 2] == GT or (page_B[i + 2] == BANG and i + 3 < size and page_B[i + 3] == GT)
                            )
                        ):
                            end = i + 3 if page_B[i + 2] == GT else i + 4
                            break
                if end < 0:
                    dangling = True
                else:
                    at = end
                    continue
            at = after_tag(page_B, at + 2)
            continue
        closing = following == SLASH
        name_at = at + 2 if closing else at + 1
        if closing and (name_at >= size or not is_letter(page_B[name_at])):
            at = after_tag(page_B, name_at)
            continue
        key = FNV
        i = name_at
        has_dash = False
        while i < size and not is_space(page_B[i]) and page_B[i] != GT and page_B[i] != SLASH:
            key = (key ^ np.uint64(lower(page_B[i]))) * PRIME
            has_dash = has_dash or page_B[i] == DASH
            i += 1
        name_end = i
        slot = lookup(key, keys_T)
        tag = integer(tags_T[slot]) if slot >= 0 else OTHER
        does = integer(does_T[slot]) if slot >= 0 else (BREAKS if has_dash else 0)
        # Attributes.
        class_at, class_end, id_at, id_end, role_at, role_end, flags = 0, 0, 0, 0, 0, 0, 0
        linking, tex, alt_at, alt_end, tex_image = False, False, 0, 0, False
        tag_at = at
        self_closed = False
        while i < size and page_B[i] != GT:
            byte = integer(page_B[i])
            if is_space(byte) or byte == SLASH:
                self_closed = byte == SLASH
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
                    while j < size and page_B[j] != quote:
                        j += 1
                    value_end = j
                    i = min(j + 1, size)
                else:
                    value_at = j
                    while j < size and not is_space(page_B[j]) and page_B[j] != GT:
                        j += 1
                    value_end = j
                    i = j
            self_closed = False
            if closing:
                continue
            if attribute == CLASS:
                class_at, class_end = value_at, value_end
                if tag == IMG and (
                    find(page_B, value_at, value_end, LATEX) >= 0 or find(page_B, value_at, value_end, MATH_WORD) >= 0
                ):
                    tex_image = True
            elif attribute == ID:
                id_at, id_end = value_at, value_end
            elif attribute == ROLE:
                role_at, role_end = value_at, value_end
            elif attribute == HREF:
                linking = tag == A
            elif attribute == STYLE:
                if (
                    find(page_B, value_at, value_end, DISPLAY_NONE) >= 0
                    or find(page_B, value_at, value_end, VISIBILITY) >= 0
                ):
                    flags |= HIDDEN
            elif attribute == HIDDEN_KEY:
                flags |= HIDDEN
            elif attribute == ARIA:
                if find(page_B, value_at, value_end, TRUE) >= 0:
                    flags |= ARIA_HIDDEN
            elif attribute == ITEMPROP:
                if find(page_B, value_at, value_end, ARTICLE_BODY) >= 0:
                    flags |= BODY_TEXT
            elif attribute == TYPE:
                tex = tag == SCRIPT and find(page_B, value_at, value_end, MATH_TEX) >= 0
            elif attribute == ALT:
                alt_at, alt_end = value_at, value_end
        at = min(i + 1, size)

        if closing:
            if tag == BR:
                breaks += 1
                continue
            if tag == A:
                link_at = -1
            elif tag == CODE:
                codes = max(0, codes - 1)
            if tag == BODY or open_of[tag] == 0 or (does & VOID):
                if tag == P or (slot < 0 and has_dash):
                    block_open = False
                continue
            # Close up to the matching element, but no table cell from inside a table in it.
            level = depth - 1
            while level >= 0:
                here = nodes[stack[level], TAG]
                if here == tag:
                    break
                if (here == TABLE and tag != TABLE) or (
                    (here in (TD, TH)) and tag != TABLE and tag != TR and tag != TBODY
                ):
                    level = -1
                    break
                level -= 1
            if level >= 0:
                inline = not (does & BREAKS)
                while depth > level:
                    depth -= 1
                    open_of[nodes[stack[depth], TAG]] -= 1
                    nodes[stack[depth], AFTER] = n_nodes
                    nodes[stack[depth], BLOCK_END] = n_blocks
                if dropping > depth:
                    dropping = 0
                if link_at > depth:
                    link_at = -1
                if not inline:
                    block_open = False
                    breaks = 0
            continue

        if does & RAW:
            end = -1 if unclosed[tag] else raw_end(page_B, at, name_at, name_end)
            if end < 0:
                unclosed[tag] = True
            else:
                if tag == TITLE and counts[4] == 0:
                    counts[3], counts[4] = at, end
                if tag == SCRIPT and tex and dropping == 0:
                    if not block_open:
                        begin_block(blocks, n_blocks, stack[depth - 1] if depth else -1, n_pieces, pictured)
                        n_blocks += 1
                        block_open, pictured = True, False
                    blocks[n_blocks - 1, CHARACTERS] += end - at
                    pieces[n_pieces, AT] = at
                    pieces[n_pieces, END] = end
                    pieces[n_pieces, KIND] = TEX
                    n_pieces += 1
                at = after_tag(page_B, end)
            continue
        if tag == MATH and not unclosed[MATH]:
            end = raw_end(page_B, at, name_at, name_end)
            if end < 0:
                unclosed[MATH] = True
            else:
                # Formulas show even where the markup hides them for the sake of a picture of them.
                if dropping == 0 or nodes[stack[dropping - 1], TAG] == SPAN:
                    if not block_open:
                        begin_block(blocks, n_blocks, stack[depth - 1] if depth else -1, n_pieces, pictured)
                        n_blocks += 1
                        block_open, pictured = True, False
                    blocks[n_blocks - 1, CHARACTERS] += 2
                    blocks[n_blocks - 1, WORDS] += 1
                    pieces[n_pieces, AT] = tag_at
                    pieces[n_pieces, END] = end
                    pieces[n_pieces, KIND] = MATHML
                    n_pieces += 1
                at = after_tag(page_B, end)
            continue
        if tag == IMG:
            pictured = True
            if (
                tex_image
                and alt_end > alt_at
                and dropping == 0
                and (n_pieces == 0 or pieces[n_pieces - 1, KIND] != MATHML)
            ):
                if not block_open:
                    begin_block(blocks, n_blocks, stack[depth - 1] if depth else -1, n_pieces, pictured)
                    n_blocks += 1
                    block_open, pictured = True, False
                blocks[n_blocks - 1, CHARACTERS] += 2
                blocks[n_blocks - 1, WORDS] += 1
                pieces[n_pieces, AT] = alt_at
                pieces[n_pieces, END] = alt_end
                pieces[n_pieces, KIND] = TEX_IMAGE
                n_pieces += 1
            continue
        if tag == BR:
            if block_open and dropping == 0:
                breaks += 1
                blocks[n_blocks - 1, BREAKS_IN] += 1
                pieces[n_pieces, AT] = at
                pieces[n_pieces, END] = at
                pieces[n_pieces, KIND] = LINE_BREAK
                n_pieces += 1
            continue
        if tag == A and linking:
            link_at = depth
            if block_open:
                blocks[n_blocks - 1, LINKS] += 1
        elif tag == A:
            link_at = -1
        if tag == CODE:
            codes += 1
        hides = flags & (HIDDEN | ARIA_HIDDEN) and not (does & BREAKS)
        if not (does & BREAKS):
            if (does & VOID) or tag == BODY:
                continue
            # Inline elements are followed only where they hide what is in them.
            if not hides and not ((does & DROPPED) or (dropping > 0 and open_of[tag] > 0)):
                continue
            if self_closed:
                continue
        else:
            block_open = False
            breaks = 0
            if does & VOID:
                continue
            # End tags that the standard implies.
            popped = depth
            if (does & CLOSES_P) and depth and nodes[stack[depth - 1], TAG] == P:
                popped = depth - 1
            if tag == HEADING and depth and nodes[stack[depth - 1], TAG] == HEADING:
                popped = depth - 1
            if tag in (LI, DD, DT):
                level = depth - 1
                while level >= 0:
                    here = nodes[stack[level], TAG]
                    if here == tag or (tag != LI and (here in (DD, DT))):
                        popped = level
                        break
                    if here in (UL, OL, DL, TD, TH, TABLE):
                        break
                    level -= 1
            elif tag in (TD, TH, TR, TBODY):
                if open_of[TABLE] == 0:
                    continue
                level = depth - 1
                while level >= 0:
                    here = nodes[stack[level], TAG]
                    if here == TABLE:
                        break
                    if (
                        ((here in (TD, TH)) and tag in (TD, TH))
                        or (here == TR and tag not in (TD, TH))
                        or (here == TBODY and tag == TBODY)
                    ):
                        popped = level
                    level -= 1
            while depth > popped:
                depth -= 1
                open_of[nodes[stack[depth], TAG]] -= 1
                nodes[stack[depth], AFTER] = n_nodes
                nodes[stack[depth], BLOCK_END] = n_blocks
            if dropping > depth:
                dropping = 0
            if link_at > depth:
                link_at = -1
        if depth == DEEPEST:
            depth -= 1
            open_of[nodes[stack[depth], TAG]] -= 1
            nodes[stack[depth], AFTER] = n_nodes
            nodes[stack[depth], BLOCK_END] = n_blocks
        nodes[n_nodes, TAG] = tag
        nodes[n_nodes, PARENT] = stack[depth - 1] if depth else -1
        nodes[n_nodes, AFTER] = -1
        nodes[n_nodes, BLOCK_AT] = n_blocks
        nodes[n_nodes, BLOCK_END] = n_blocks
        nodes[n_nodes, CLASS_AT] = class_at
        nodes[n_nodes, CLASS_END] = class_end
        nodes[n_nodes, ID_AT] = id_at
        nodes[n_nodes, ID_END] = id_end
        nodes[n_nodes, ROLE_AT] = role_at
        nodes[n_nodes, ROLE_END] = role_end
        nodes[n_nodes, FLAGS] = flags
        nodes[n_nodes, LEVEL] = integer(page_B[name_at + 1]) - 48 if tag == HEADING else 0
        stack[depth] = n_nodes
        open_of[tag] += 1
        n_nodes += 1
        depth += 1
        if dropping == 0 and ((does & DROPPED) or hides):
            dropping = depth
    while depth > 0:
        depth -= 1
        nodes[stack[depth], AFTER] = n_nodes
        nodes[stack[depth], BLOCK_END] = n_blocks
    counts[0], counts[1], counts[2] = n_nodes, n_blocks, n_pieces


@kernel(reads(types.int32, 2), reads(types.int64), writes(types.int64), writes(types.int64))
def inherit(nodes: I32, own_N: I64, near_N: I64, all_N: I64) -> None:
    """Bits of each node with those of its parent and grandparent in `near_N`, and with those of all it lies in in `all_N`."""
    for i in range(nodes.shape[0]):
        near = all_ = own_N[i]
        parent = nodes[i, PARENT]
        if parent >= 0:
            all_ |= all_N[parent]
            near |= own_N[parent]
            grand = nodes[parent, PARENT]
            if grand >= 0:
                near |= own_N[grand]
        near_N[i] = near
        all_N[i] = all_


@kernel(reads(types.int32, 2), reads(types.boolean), types.boolean, writes(types.int64))
def surround(nodes: I32, marked_N: Bool, outermost: bool, out_N: I64) -> None:
    """For each node the innermost, or the outermost, marked node among itself and those it lies in; -1 where there is none."""
    for i in range(nodes.shape[0]):
        parent = nodes[i, PARENT]
        above = out_N[parent] if parent >= 0 else -1
        out_N[i] = i if marked_N[i] and (above < 0 or not outermost) else above
