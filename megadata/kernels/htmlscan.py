"""HTML as flat arrays: one pass over a page's bytes gives its block elements, its blocks of text, and the pieces of each block.

No tree of objects is built and nothing recurses: the open elements are a stack of at most `DEEPEST` entries, so that
time is linear in the page whatever its nesting. Which end tags are implied follows the HTML standard where it matters
for text (paragraphs, list items, table cells, headings); inline elements open nothing. Letters: B bytes of the page, T slots of
the table of tags; columns are those of `megadata.kernels.html`.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I32, I64, U8, U64, helper, kernel, reads, writes
from megadata.kernels.html import (
    AFTER,
    ARIA_HIDDEN,
    AT,
    BLOCK_AT,
    BLOCK_END,
    BODY,
    BR,
    BREAKS,
    BREAKS_IN,
    CHARACTERS,
    CLASS_AT,
    CLOSES_P,
    CODE,
    CODE_TEXT,
    DD,
    DEEPEST,
    DL,
    DROPPED,
    DT,
    END,
    FIRST_PIECE,
    FLAGS,
    HEADING,
    HIDDEN,
    IMG,
    KIND,
    LEVEL,
    LI,
    LINE_BREAK,
    LINKS,
    LOWERED,
    MATH,
    MATHML,
    NUMBER,
    OL,
    OTHER,
    PARENT,
    PRE,
    PRE_TEXT,
    RAISED,
    RAW,
    SCRIPT,
    SPAN,
    SUB,
    SUP,
    TABLE,
    TAG,
    TBODY,
    TD,
    TEX,
    TEX_IMAGE,
    TEXT,
    TH,
    TITLE,
    TR,
    UL,
    VOID,
    WORDS,
    A,
    P,
)  # fmt: skip
from megadata.kernels.htmlattributes import (
    ALT_AT,
    ALT_END,
    FOUND,
    LINKING,
    SELF_CLOSED,
    TEX_NAMED,
    TEX_TYPED,
    read_attributes,
)  # fmt: skip
from megadata.kernels.htmlbytes import (
    BANG,
    DASH,
    FNV,
    GT,
    LT,
    PRIME,
    QUESTION,
    SLASH,
    after_tag,
    begin_block,
    begins,
    count,
    integer,
    is_letter,
    is_space,
    lookup,
    lower,
    raw_end,
    seek,
)  # fmt: skip

MATHJAX = np.frombuffer(b"mjx-", np.uint8)


@helper
def add_piece(pieces: I32, n: int, at: int, end: int, kind: int) -> int:
    """Write a piece; how many there are now."""
    pieces[n, AT] = at
    pieces[n, END] = end
    pieces[n, KIND] = kind
    return n + 1


@helper
def close(nodes: I32, stack: I32, open_of: I64, depth: int, to: int, n_nodes: int, n_blocks: int) -> int:
    """Close open elements until only `to` are open; returns `to`."""
    while depth > to:
        depth -= 1
        node = stack[depth]
        open_of[nodes[node, TAG]] -= 1
        nodes[node, AFTER] = n_nodes
        nodes[node, BLOCK_END] = n_blocks
    return to


@kernel(
    reads(np.uint8),
    reads(np.uint64),
    reads(np.int64),
    reads(np.int64),
    writes(np.int32, 2),
    writes(np.int32, 2),
    writes(np.int32, 2),
    writes(np.int64),
)
def scan_page(
    page_B: U8, keys_T: U64, tags_T: I64, does_T: I64, nodes: I32, blocks: I32, pieces: I32, counts: I64
) -> int:
    """Fill `nodes`, `blocks` and `pieces`; `counts` receives how many there are, and where the title's text begins and ends.

    Returns the byte at which one of the arrays had no room left, else the size of the page. One row more than there are ``<`` is
    enough of nodes, two of each of them and two more of blocks and pieces.
    """
    stack = np.zeros(DEEPEST + 1, np.int32)
    found = np.zeros(FOUND, np.int64)  # attributes of the tag
    open_of = np.zeros(256, np.int64)  # open nodes of each tag
    unclosed = np.zeros(256, np.bool_)  # raw elements that were found to have no end tag
    dangling = False  # the same for comments
    depth = 0
    dropping = 0  # how deep the outermost dropped element lies, 0 for none
    link_at = -1  # depth at which the open link began, -1 for none
    codes = 0
    script = TEXT  # RAISED or LOWERED inside <sup> and <sub>
    n_nodes, n_blocks, n_pieces = 0, 0, 0
    block_open = False
    breaks = 0  # line breaks since the last text
    pictured = False  # whether a picture came since the last block
    counts[3], counts[4] = 0, 0
    at, size = 0, page_B.size
    while at < size:
        if n_nodes + 1 > nodes.shape[0] or n_blocks + 2 > blocks.shape[0] or n_pieces + 2 > pieces.shape[0]:
            break
        # Text up to the next tag.
        text_at = at
        at = seek(page_B, at, LT)
        while at + 1 < size:
            following = integer(page_B[at + 1])
            if is_letter(following) or following in (SLASH, BANG, QUESTION):
                break
            at = seek(page_B, at + 1, LT)
        if at + 1 >= size:
            at = size
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
                kind = TEXT
                if in_pre:
                    kind = PRE_TEXT
                elif codes > 0:
                    kind = CODE_TEXT
                elif script != TEXT and link_at < 0:  # links are marks of notes
                    kind = script
                n_pieces = add_piece(pieces, n_pieces, text_at, at, kind)
        if at >= size:
            break
        following = integer(page_B[at + 1])
        if following in (BANG, QUESTION):
            if at + 3 < size and page_B[at + 2] == DASH and page_B[at + 3] == DASH and not dangling:
                end = -1
                if at + 4 < size and page_B[at + 4] == GT:
                    end = at + 5
                else:
                    i = seek(page_B, at + 4, DASH)
                    while i + 2 < size:
                        if page_B[i + 1] == DASH and (
                            page_B[i + 2] == GT or (page_B[i + 2] == BANG and i + 3 < size and page_B[i + 3] == GT)
                        ):
                            end = i + 3 if page_B[i + 2] == GT else i + 4
                            break
                        i = seek(page_B, i + 1, DASH)
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
        has_dash = False  # an element that the page defines itself; those of MathJax lie inside a line
        while i < size and not is_space(page_B[i]) and page_B[i] != GT and page_B[i] != SLASH:
            key = (key ^ np.uint64(lower(page_B[i]))) * PRIME
            has_dash = has_dash or page_B[i] == DASH
            i += 1
        name_end = i
        has_dash = has_dash and not begins(page_B, name_at, name_end, MATHJAX)
        slot = lookup(key, keys_T)
        tag = integer(tags_T[slot]) if slot >= 0 else OTHER
        does = integer(does_T[slot]) if slot >= 0 else (BREAKS if has_dash else 0)
        tag_at = at
        i = read_attributes(page_B, i, tag, closing, found)
        at = min(i + 1, size)

        if closing:
            if tag == BR:
                breaks += 1
                continue
            if tag == A:
                link_at = -1
            elif tag == CODE:
                codes = max(0, codes - 1)
            elif tag in (SUP, SUB):
                script = TEXT
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
                depth = close(nodes, stack, open_of, depth, level, n_nodes, n_blocks)
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
                if tag == SCRIPT and found[TEX_TYPED] and dropping == 0:
                    if not block_open:
                        begin_block(blocks, n_blocks, stack[depth - 1] if depth else -1, n_pieces, pictured)
                        n_blocks += 1
                        block_open, pictured = True, False
                    blocks[n_blocks - 1, CHARACTERS] += end - at
                    if n_pieces > blocks[n_blocks - 1, FIRST_PIECE] and pieces[n_pieces - 1, KIND] == MATHML:
                        n_pieces -= 1  # the same formula, for readers of screens
                    n_pieces = add_piece(pieces, n_pieces, at, end, TEX)
                at = after_tag(page_B, end)
            continue
        if tag == MATH and not unclosed[MATH]:
            end = raw_end(page_B, at, name_at, name_end)
            if end < 0:
                unclosed[MATH] = True
            else:
                # Formulas show even where the markup hides them for the sake of a picture of them.
                if dropping == 0 or nodes[stack[dropping - 1], TAG] in (SPAN, OTHER):
                    if not block_open:
                        begin_block(blocks, n_blocks, stack[depth - 1] if depth else -1, n_pieces, pictured)
                        n_blocks += 1
                        block_open, pictured = True, False
                    blocks[n_blocks - 1, CHARACTERS] += 2
                    blocks[n_blocks - 1, WORDS] += 1
                    n_pieces = add_piece(pieces, n_pieces, tag_at, end, MATHML)
                at = after_tag(page_B, end)
            continue
        if tag == IMG:
            pictured = True
            if (
                found[TEX_NAMED]
                and found[ALT_END] > found[ALT_AT]
                and dropping == 0
                and (n_pieces == 0 or pieces[n_pieces - 1, KIND] != MATHML)
            ):
                if not block_open:
                    begin_block(blocks, n_blocks, stack[depth - 1] if depth else -1, n_pieces, pictured)
                    n_blocks += 1
                    block_open, pictured = True, False
                blocks[n_blocks - 1, CHARACTERS] += 2
                blocks[n_blocks - 1, WORDS] += 1
                n_pieces = add_piece(pieces, n_pieces, found[ALT_AT], found[ALT_END], TEX_IMAGE)
            continue
        if tag == BR:
            if block_open and dropping == 0:
                breaks += 1
                blocks[n_blocks - 1, BREAKS_IN] += 1
                n_pieces = add_piece(pieces, n_pieces, at, at, LINE_BREAK)
            continue
        if tag == A and found[LINKING]:
            link_at = depth
            if block_open:
                blocks[n_blocks - 1, LINKS] += 1
        elif tag == A:
            link_at = -1
        if tag == CODE:
            codes += 1
        elif tag in (SUP, SUB):
            script = RAISED if tag == SUP else LOWERED
        elif does & BREAKS:
            script = TEXT
        hides = found[FLAGS] & (HIDDEN | ARIA_HIDDEN) and not (does & BREAKS)
        if not (does & BREAKS):
            if (does & VOID) or tag == BODY:
                continue
            # Inline elements are followed only where they hide what is in them.
            if not hides and not ((does & DROPPED) or (dropping > 0 and open_of[tag] > 0)):
                continue
            if found[SELF_CLOSED]:
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
            depth = close(nodes, stack, open_of, depth, popped, n_nodes, n_blocks)
            if dropping > depth:
                dropping = 0
            if link_at > depth:
                link_at = -1
        if depth == DEEPEST:
            depth = close(nodes, stack, open_of, depth, depth - 1, n_nodes, n_blocks)
        nodes[n_nodes, TAG] = tag
        nodes[n_nodes, PARENT] = stack[depth - 1] if depth else -1
        nodes[n_nodes, AFTER] = -1
        nodes[n_nodes, BLOCK_AT] = n_blocks
        nodes[n_nodes, BLOCK_END] = n_blocks
        for column in range(CLASS_AT, NUMBER + 1):
            nodes[n_nodes, column] = found[column]
        nodes[n_nodes, LEVEL] = integer(page_B[name_at + 1]) - 48 if tag == HEADING else 0
        stack[depth] = n_nodes
        open_of[tag] += 1
        n_nodes += 1
        depth += 1
        if dropping == 0 and ((does & DROPPED) or hides):
            dropping = depth
    depth = close(nodes, stack, open_of, depth, 0, n_nodes, n_blocks)
    counts[0], counts[1], counts[2] = n_nodes, n_blocks, n_pieces
    return at
