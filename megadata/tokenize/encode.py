"""Encoding many documents: `gigatoken` where it gives the ids that `tokenizers` gives, else `tokenizers`.

`tokenizers` defines the ids. Before a run, and on a sample of every unit, the fast encoder's ids are compared with it; when they
differ anywhere the whole run uses `tokenizers`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from megadata.tokenize.patterns import pattern_of
from megadata.tokenize.tokenizer import Tokenizer

PIECE_BYTES = 1 << 20
"""`tokenizers` gets longer documents in pieces of about this size, where that cannot change an id."""
_BATCH_BYTES = 4 << 20
_MIN_SAMPLE = 512
_SAMPLE_SHARE = 2000
_MAX_SAMPLES = 16

Ids = tuple[NDArray[np.uint32], NDArray[np.int64]]

PROBES: tuple[str, ...] = (
    "",
    " ",
    "\n\n",
    "x\n  ",
    "x\r\n\t",
    "a  b   c\td\u00a0e\u2003f\u0085g\u2028h\u3000i",
    "I'll don't WE'VE they'd 'tis ''s it'ſ",
    "3 14 159 2653 58979 ½ ² Ⅷ ٣ 1,000.50",
    "camelCase HTTPResponse snake_case //comment\n// more\n\n    indented()",
    "naïve cafe\u0301 e\u0301\u0323 A\u030a \u0301K ﬁ ǅ Åß",
    "日本語のテキスト。中文字符！ ไทย العربية עברית हिन्दी Русский",
    "👨‍👩‍👧‍👦 🇩🇪 \u200b\ufeff \x00\x1c\x1f \u0378",
    "<|endoftext|> hello <|endoftext|>\n[SEP][MASK] [CLS]",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" + "=" * 70 + " " * 70 + ".",
)
"""Short texts on which encoders have been seen to differ."""


_YOUNG = (
    "\u07fd\u0897-\u089f\u08ca-\u08d3\u09fe\u0c3c\u0d3b\u0d3c\u0eba\u1715\u1abf-\u1aeb\u1df6-\u1dfa\ua82c"
    "\U000105d2\U000105da\U00010d24-\U00010d27\U00010d69-\U00010d6d\U00010eab-\U00010eac\U00010efa-\U00010eff"
    "\U00010f46-\U00010f50\U00010f82-\U00010f85\U00011070\U0001133b\U00011380-\U000113d0\U0001145e\U00011839-\U0001183a"
    "\U00011930-\U00011943\U000119e0\U00011a34\U00011a47\U00011a99\U00011d42-\U00011d45\U00011d97\U00011f41-\U00011f42"
    "\U0001611e-\U0001612f\U00016d63-\U00016d6a\U00016ff0-\U00016ff1\U0001e08f\U0001e130-\U0001e136\U0001e2ae"
    "\U0001e2ec-\U0001e2ef\U0001e4ec-\U0001e4ef\U0001e5ee-\U0001e5ef\U0001e6e3-\U0001e6f5"
)
"""Combining characters younger than the Unicode tables by which `tokenizers` normalizes; gigatoken's are newer."""
_YOUNG_LEAD = 0xDF
"""The first byte, in UTF-8, of the lowest of them."""


class Encoder(Protocol):
    """What turns UTF-8 bytes of documents into ids; see `Tokenizer.encode_batch`."""

    def encode(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Ids:
        """Ids of all documents, and how many each has."""
        ...


class _Gigatoken:
    """The fast encoder; where it would normalize by newer Unicode tables than `tokenizers`, documents go to `tokenizers`."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        import gigatoken

        content = dict(tokenizer.document)
        content["added_tokens"] = _matched(tokenizer)
        self._backend = gigatoken.Tokenizer.from_json(orjson.dumps(content)).backend
        self._tokenizer = tokenizer
        self._young = re.compile(f"[{_YOUNG}]") if content["normalizer"] else None

    def encode(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Ids:
        """Document by document: a call costs a microsecond, a batch the awkward array that it is returned in."""
        data, borders, one = text.data, offsets.tolist(), self._backend.encode
        found = [one(bytes(data[start:stop])) for start, stop in pairwise(borders)]
        lengths = np.fromiter(map(len, found), np.int64, len(found))
        ids = np.concatenate([np.zeros(0, np.uint32), *found])
        young = self._with_young_characters(text, offsets)
        return self._exactly(text, offsets, ids, lengths, young) if young else (ids, lengths)

    def _with_young_characters(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> list[int]:
        own = text[offsets[0] : offsets[-1]]
        if self._young is None or not (own >= _YOUNG_LEAD).any() or not self._young.search(own.tobytes().decode()):
            return []
        borders = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
        return [d for d, (a, b) in enumerate(borders) if self._young.search(text[a:b].tobytes().decode())]

    def _exactly(
        self,
        text: NDArray[np.uint8],
        offsets: NDArray[np.int64],
        ids: NDArray[np.uint32],
        lengths: NDArray[np.int64],
        documents: list[int],
    ) -> Ids:
        """The ids with those of some documents exchanged for what `tokenizers` gives."""
        parts = np.split(ids, np.cumsum(lengths)[:-1])
        for d in documents:
            parts[d], _ = backend(self._tokenizer, "tokenizers").encode(text, offsets[d : d + 2])
        return np.concatenate(parts), np.array([part.size for part in parts], np.int64)


class _Tokenizers:
    def __init__(self, tokenizer: Tokenizer) -> None:
        self._library = tokenizer.library
        self._may_cut = may_cut(tokenizer)

    def _pieces(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Iterator[tuple[int, str]]:
        for number in range(offsets.size - 1):
            document = text[offsets[number] : offsets[number + 1]].tobytes()
            start = 0
            for stop in cuts(document, PIECE_BYTES) if self._may_cut else []:
                yield number, document[start:stop].decode()
                start = stop
            yield number, document[start:].decode()

    def encode(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Ids:
        lengths = np.zeros(offsets.size - 1, np.int64)
        found: list[NDArray[np.uint32]] = []
        batch: list[tuple[int, str]] = []
        held = 0

        def flush() -> None:
            encoded = self._library.encode_batch_fast([t for _, t in batch], add_special_tokens=False)
            for (number, _), one in zip(batch, encoded, strict=True):
                found.append(np.array(one.ids, np.uint32))
                lengths[number] += found[-1].size
            batch.clear()

        for number, piece in self._pieces(text, offsets):
            batch.append((number, piece))
            held += len(piece)
            if held >= _BATCH_BYTES:
                flush()
                held = 0
        flush()
        return np.concatenate([np.zeros(0, np.uint32), *found]), lengths


@lru_cache(maxsize=4)
def backend(tokenizer: Tokenizer, name: str) -> Encoder:
    """The encoder of that name for a tokenizer, loaded once a process."""
    return _Gigatoken(tokenizer) if name == "gigatoken" else _Tokenizers(tokenizer)


def _matched(tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """The added tokens that are looked for in text."""
    added = tokenizer.document["added_tokens"]
    return [token for token in added if tokenizer.parses_special or not token["special"]]


def may_cut(tokenizer: Tokenizer) -> bool:
    """Whether cutting text before a space that follows a character other than white space can never change an id.

    Proven for the known split patterns and for BERT's, as long as no added token reaches over such a place.
    """
    content = tokenizer.document
    split = content["pre_tokenizer"] or {}
    known = pattern_of(split) is not None or split.get("type") == "BertPreTokenizer"
    normalizer = (content["normalizer"] or {"type": "NFC"})["type"]
    plain = all(
        not token["lstrip"]
        and not token["rstrip"]
        and (token["content"].isspace() or not re.search(r"\s", token["content"]))
        for token in _matched(tokenizer)
    )
    return known and plain and normalizer in ("NFC", "BertNormalizer")


def cuts(document: bytes, size: int) -> list[int]:
    """Byte positions, about `size` apart, of a space that follows a character other than white space.

    Where there is none for a long way (text without spaces) the piece is as long as it must be.
    """
    found: list[int] = []
    at = 0
    while len(document) - at > size:
        at = document.find(b" ", at + size)
        while at != -1 and document[max(0, at - 4) : at].decode("utf-8", "ignore")[-1:].isspace():
            at = document.find(b" ", at + 1)
        if at == -1:
            break
        found.append(at)
    return found


@dataclass(frozen=True, slots=True)
class Choice:
    """Which encoder a run uses, and why not the fast one."""

    name: str
    reason: str = ""


def choose_encoder(tokenizer: Tokenizer, sample: Sequence[str] = ()) -> Choice:
    """The fast encoder where it can load the tokenizer and agrees on built-in probes and on `sample`; else `tokenizers`."""
    if tokenizer.kind != "BPE":
        return Choice("tokenizers", f"gigatoken encodes BPE, this is {tokenizer.kind}")
    try:
        backend(tokenizer, "gigatoken")
    except ImportError:
        return Choice("tokenizers", "gigatoken is not installed")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a Rust panic is not an Exception
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return Choice("tokenizers", f"gigatoken cannot load this tokenizer ({first[:120]})")
    texts = [t.encode() for t in (*PROBES, *sample)]
    text = np.frombuffer(b"".join(texts), np.uint8)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(t) for t in texts])])
    different = first_difference(tokenizer, text, offsets)
    return Choice("gigatoken") if different is None else Choice("tokenizers", f"gigatoken's ids differ on {different}")


def first_difference(tokenizer: Tokenizer, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> str | None:
    """An excerpt of the first document on which the two encoders differ, or None."""
    fast, fast_lengths = backend(tokenizer, "gigatoken").encode(text, offsets)
    true, lengths = backend(tokenizer, "tokenizers").encode(text, offsets)
    if np.array_equal(fast_lengths, lengths) and np.array_equal(fast, true):
        return None
    ours, theirs = np.split(fast, np.cumsum(fast_lengths)), np.split(true, np.cumsum(lengths))
    worst = next(n for n in range(lengths.size) if not np.array_equal(ours[n], theirs[n]))
    return repr(text[offsets[worst] : offsets[worst + 1]].tobytes()[:80].decode("utf-8", "ignore"))


def sample_of(text: NDArray[np.uint8], offsets: NDArray[np.int64], order: NDArray[np.int64]) -> list[bytes]:
    """At most half a thousandth of the text (or 512 bytes): excerpts, at character borders, of documents in the order given."""
    left = max(int(offsets[-1] - offsets[0]) // _SAMPLE_SHARE, _MIN_SAMPLE)
    found = []
    for document in order[:_MAX_SAMPLES]:
        start, stop = int(offsets[document]), int(offsets[document + 1])
        excerpt = text[start : min(stop, start + left)].tobytes().decode("utf-8", "ignore").encode()
        found.append(excerpt)
        left -= len(excerpt)
        if left <= 0:
            break
    return found
