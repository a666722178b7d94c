"""How good a tokenizer is at the text it was trained for: bytes a token, tokens a word, words it splits, by language.

A *word* is a run of letters, marks and digits; of scripts written without spaces every character is one. For WordPiece it is what
BERT's pre-tokenizer cuts, and begins with a letter or digit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from megadata.kernels import pretokens as kernels
from megadata.kernels.base import I64, U8, Bool
from megadata.tokenize.classes import classes
from megadata.tokenize.count import Excerpt
from megadata.tokenize.encode import choose_encoder
from megadata.tokenize.tokenizer import NO_SPACES, Tokenizer

MOST_LANGUAGES = 12
"""Rows of the table; the languages with the least text share the last one."""
UNKNOWN = "unknown"
_TOGETHER = 1 << 19
"""Bytes of text that are measured at a time."""

Identify = Callable[[U8, I64], list[tuple[str, float]]]
"""Languages of documents, as `megadata.corpus.language.identify_all` gives them."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured on the text of one language, or on all of it."""

    language: str
    bytes: int
    tokens: int
    words: int
    split: int
    """Words of several tokens."""
    word_tokens: int
    """Tokens of all words."""
    unknown: int
    """Tokens that stand for what the vocabulary cannot write (WordPiece)."""

    @property
    def bytes_per_token(self) -> float:
        """Bytes a token."""
        return self.bytes / max(self.tokens, 1)

    @property
    def fertility(self) -> float:
        """Tokens a word."""
        return self.word_tokens / max(self.words, 1)

    @property
    def split_share(self) -> float:
        """Part of the words that are split."""
        return self.split / max(self.words, 1)

    @property
    def ratios(self) -> dict[str, float]:
        """The above, rounded, by name."""
        names = ("bytes_per_token", "fertility", "split_share")
        return {name: round(getattr(self, name), 4) for name in names}


def measure(
    tokenizer: Tokenizer, sample: Sequence[Excerpt], identify: Identify | None = None
) -> tuple[list[Quality], Bool]:
    """The quality on a sample, of all of it and of each language, most text first; and which entries the sample uses.

    Languages are those that the metadata names; `identify` names the others.
    """
    encoder = choose_encoder(tokenizer).name
    used = np.zeros(tokenizer.vocabulary_size, np.bool_)
    columns = [np.zeros((6, 0), np.int64)]
    languages: list[str] = []
    for part in _parts(sample):
        text = np.frombuffer(b"".join(one.text for one in part), np.uint8)
        offsets = np.cumsum([0, *(len(one.text) for one in part)], dtype=np.int64)
        columns.append(_count(tokenizer, encoder, text, offsets, used))
        languages += _languages(part, text, offsets, identify)
    counts = np.concatenate(columns, axis=1)
    rows = [Quality("all", *map(int, counts.sum(axis=1)))]
    for language, members in _groups(languages, counts[0]).items():
        rows.append(Quality(language, *map(int, counts[:, members].sum(axis=1))))
    return rows, used


def _parts(sample: Sequence[Excerpt]) -> Iterator[Sequence[Excerpt]]:
    """Documents that are measured together."""
    first = size = 0
    for last, one in enumerate(sample, 1):
        size += len(one.text)
        if size >= _TOGETHER or last == len(sample):
            yield sample[first:last]
            first, size = last, 0


def _count(tokenizer: Tokenizer, encoder: str, text: U8, offsets: I64, used: Bool) -> I64:
    """int64[6, D]: of each document what `Quality` counts; entries that occur are marked in `used`."""
    encoded, lengths = tokenizer.encode_batch(text, offsets, encoder)
    ids = encoded.astype(np.int64)
    used[ids] = True
    words = _wordpiece if tokenizer.kind == "WordPiece" else _byte_level
    document, tokens = words(tokenizer, text, offsets, ids, lengths)
    unknown = np.repeat(np.arange(lengths.size), lengths)[ids == tokenizer.special.get("unk", -1)]
    return np.stack(
        [
            np.diff(offsets),
            lengths,
            _per_document(document, lengths.size),
            _per_document(document[tokens > 1], lengths.size),
            np.bincount(document, tokens, lengths.size).astype(np.int64),
            _per_document(unknown, lengths.size),
        ]
    )


def _per_document(documents: I64, count: int) -> I64:
    return np.bincount(documents, minlength=count).astype(np.int64)


def _languages(sample: Sequence[Excerpt], text: U8, offsets: I64, identify: Identify | None) -> list[str]:
    named = [one.language for one in sample]
    if identify is None or all(named):
        return [name or UNKNOWN for name in named]
    return [name or found for name, (found, _) in zip(named, identify(text, offsets), strict=True)]


def _groups(languages: list[str], sizes: I64) -> dict[str, list[int]]:
    """Documents of each language, those with the most text first; the rest together."""
    size: Counter[str] = Counter()
    for language, bytes_ in zip(languages, sizes.tolist(), strict=True):
        size[language] += bytes_
    order = sorted(size, key=lambda name: (-size[name], name))
    rest = order[MOST_LANGUAGES:]
    other = f"{len(rest)} others"
    found: dict[str, list[int]] = {name: [] for name in (*order[:MOST_LANGUAGES], *([other] if rest else []))}
    for d, language in enumerate(languages):
        found[language if language in found else other].append(d)
    return found


def _byte_level(tokenizer: Tokenizer, text: U8, offsets: I64, ids: I64, lengths: I64) -> tuple[I64, I64]:
    """Of each word its document and its number of tokens: one, and one more for each border of tokens inside."""
    sizes = _piece_sizes(tokenizer)
    borders = np.zeros(text.size + 1, np.int64)
    borders[np.cumsum(sizes[ids])] = 1
    before = np.cumsum(borders)
    starts, stops = word_bounds(text, offsets)
    return np.searchsorted(offsets, starts, side="right") - 1, 1 + before[stops - 1] - before[starts]


@lru_cache(maxsize=1)
def _piece_sizes(tokenizer: Tokenizer) -> I64:
    return np.array([len(piece) for piece in tokenizer.pieces], np.int64)


@lru_cache(maxsize=1)
def _word_pieces(tokenizer: Tokenizer) -> Bool:
    """Entries that begin with a letter or a digit, behind a mark of the inside of words."""
    found = np.array([piece[:4].decode("utf-8", "ignore")[:1].isalnum() for piece in tokenizer.pieces])
    found[list(tokenizer.special.values())] = False
    return found


def word_bounds(text: U8, offsets: I64) -> tuple[I64, I64]:
    """Where the words of documents begin and end, in bytes."""
    codes = np.frombuffer(text.tobytes().decode().encode("utf-32-le"), np.uint32)
    place = np.flatnonzero((text & 0xC0) != 0x80)
    found = classes()[codes]
    inside = (found & (kernels.LETTER | kernels.NUMBER | kernels.UPPER | kernels.LOWER)) != 0
    mark = inside & ((found & (kernels.LETTER | kernels.NUMBER)) == 0)
    alone = np.zeros(codes.size, np.bool_)
    for low, high in NO_SPACES:
        alone |= (codes >= low) & (codes <= high)
    first = np.ones(codes.size, np.bool_)  # whether a word begins here, if the character is in one
    first[1:] = ~inside[:-1] | ((alone[1:] | alone[:-1]) & ~mark[1:])
    first[np.isin(place, offsets)] = True
    starts = np.flatnonzero(inside & first)
    ends = np.ones(codes.size + 1, np.bool_)  # whether a word that is under way ends before this character
    ends[: codes.size] = ~inside | first
    all_ends = np.flatnonzero(ends)
    stops = all_ends[np.searchsorted(all_ends, starts, side="right")]
    bounds = np.append(place, text.size)
    return bounds[starts], bounds[stops]


def _wordpiece(tokenizer: Tokenizer, text: U8, offsets: I64, ids: I64, lengths: I64) -> tuple[I64, I64]:
    """Of each word its document and its number of tokens: one that begins a word, and those inside it that follow."""
    begins = tokenizer.word_start
    starts = np.flatnonzero(begins[ids])
    tokens = np.diff(np.append(starts, ids.size))
    kept = _word_pieces(tokenizer)[ids[starts]]
    return np.repeat(np.arange(lengths.size), lengths)[starts[kept]], tokens[kept]
