"""`controls` and `whitespace`: maps that delete or replace single characters."""

from __future__ import annotations

import functools
from typing import ClassVar

import numpy as np

from megadata.config import configclass
from megadata.corpus.characters import action_table
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError
from megadata.kernels.base import U8
from megadata.kernels.text import replace_characters

CONTROLS = "".join(
    map(chr, (*range(9), *range(0x0E, 0x20), *range(0x7F, 0x85), *range(0x86, 0xA0), *range(0x206A, 0x2070), 0xFEFF,
              *range(0xFFF9, 0xFFFD), 0xFFFE, 0xFFFF))
)  # fmt: skip
"""Characters without any use in text: C0 and C1 controls but white space, deprecated format characters, byte order marks,
interlinear annotation, U+FFFC and the two non-characters."""

NEWLINES = "\r\x0b\x0c\x85\u2028\u2029"
SPACES = "\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u202f\u205f\u3000"
"""Spaces of other widths. U+200B to U+200F stay: scripts need them."""


@functools.cache
def _controls() -> U8:
    return action_table(delete=CONTROLS)


@functools.cache
def _whitespace(spaces: bool) -> U8:
    return action_table(space=SPACES if spaces else "", newline=NEWLINES)


def _replace(docs: DocBatch, actions: U8, trim: bool, newlines: int, strip: bool) -> DocBatch:
    text, offsets = docs.text, docs.offsets
    out = np.empty(int(offsets[-1] - offsets[0]), np.uint8)
    out_offsets = np.empty_like(offsets)
    replace_characters(text, offsets, actions, trim, newlines, strip, out, out_offsets)
    if out_offsets[-1] == out.size and np.array_equal(out, text[offsets[0] : offsets[-1]]):
        return docs
    return docs.with_flat_text(out[: out_offsets[-1]], out_offsets)


@configclass
class Controls:
    """Delete control characters, byte order marks and other characters that no text needs."""

    name: ClassVar[str] = "controls"
    version: ClassVar[int] = 1
    libraries: ClassVar[tuple[str, ...]] = ()

    def map(self, docs: DocBatch) -> DocBatch:
        """The documents without the characters of `CONTROLS`."""
        return _replace(docs, _controls(), False, 0, False)


@configclass
class Whitespace:
    r"""Make all line breaks "\n" and all spaces U+0020, and cut blanks that mean nothing."""

    spaces: bool = True
    """Replace spaces of other widths, such as the no-break space."""
    trim: bool = True
    """Drop blanks at the ends of lines."""
    newlines: int = 2
    """Most newlines in a row; 0 for any number."""
    strip: bool = True
    """Drop blanks and newlines at both ends of the document."""

    def __post_init__(self) -> None:
        if self.newlines < 0:
            raise ConfigError(f"newlines: expected 0 (any number) or more, found {self.newlines}")

    name: ClassVar[str] = "whitespace"
    version: ClassVar[int] = 1
    libraries: ClassVar[tuple[str, ...]] = ()

    def map(self, docs: DocBatch) -> DocBatch:
        """The documents with their white space in order."""
        return _replace(docs, _whitespace(self.spaces), self.trim, self.newlines, self.strip)
