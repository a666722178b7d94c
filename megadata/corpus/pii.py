"""`pii`: mail and IP addresses, telephone, card and account numbers, and keys: masked, or a reason to drop."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from importlib.metadata import version
from typing import ClassVar, Literal

import numpy as np

from megadata.config import configclass
from megadata.corpus import pii_patterns as patterns
from megadata.corpus.step import COUNTED, Decision, Verdict
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError
from megadata.kernels import pii as kernels
from megadata.kernels.base import F64, I64

Kind = Literal["email", "ip", "phone", "card", "iban", "secret"]
KINDS: tuple[Kind, ...] = ("email", "ip", "phone", "card", "iban", "secret")
"""What is looked for."""

_REACH = 9000
"""Bytes behind a candidate that a span can cover: a private key is the longest."""

_NEXT_NUMBER = re.compile(rb"(?<=[ ./()-])[0-9+(]|[+(](?=[0-9])")

_SAME_LENGTH = ((b"\xc2\xa0", b"  "), *((b"\xe2\x80" + bytes([last]), b" - ") for last in range(0x90, 0x94)))
"""No-break spaces, hyphens and dashes between digits, and what stands for them so that places stay the same."""

Found = tuple[int, int, str]
"""(start, stop, kind) of a span, in bytes of its document."""


@configclass
class Pii:
    """Mask personal data, or drop documents that hold it."""

    kinds: tuple[Kind, ...] = KINDS
    """What to look for. `ip`: public addresses. `card`: with a right check digit. `secret`: keys and tokens of known form."""
    action: Literal["mask", "pseudonym"] = "mask"
    """`mask`: a fixed placeholder for each kind. `pseudonym`: one that is the same wherever the same value stands."""
    drop_above: int | None = None
    """Drop documents with more spans than this; null drops none."""
    regions: tuple[str, ...] = (
        "US", "GB", "DE", "FR", "ES", "IT", "PL", "BR", "IN", "RU", "AU", "NZ", "CH", "AT", "NL", "IE", "UA", "CN", "TW", "JP",
        "KR",
    )  # fmt: skip
    """Countries whose national telephone numbers are known after words such as `Tel.`; any number with a country code is."""
    placeholder: str = "<{kind}>"
    """What a masked span becomes; ``{kind}`` is its kind."""
    salt: str = ""
    """Keys the pseudonyms, so that values cannot be guessed from them."""

    name: ClassVar[str] = "pii"
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.drop_above is not None and self.drop_above < 0:
            raise ConfigError(f"drop_above: expected 0 or more, found {self.drop_above}")
        if not self.kinds:
            raise ConfigError(f"kinds: expected some of {', '.join(KINDS)}, found none")

    @property
    def libraries(self) -> tuple[str, ...]:
        """What decides which telephone numbers are valid."""
        return (f"phonenumbers {version('phonenumbers')}",) if "phone" in self.kinds else ()

    def judge_and_map(self, docs: DocBatch) -> tuple[Verdict, DocBatch]:
        """How many spans of each kind there are, whether they are too many, and the documents without them."""
        spans = self.find(docs)
        counts: dict[str, F64] = {kind: np.zeros(len(docs)) for kind in self.kinds}
        for d, found in spans.items():
            for _, _, kind in found:
                counts[kind][d] += 1
        total = np.sum(list(counts.values()), axis=0)
        none = np.zeros(len(docs), np.bool_)
        verdict: dict[str, Decision] = {kind: Decision(none, found, COUNTED) for kind, found in counts.items()}
        if self.drop_above is not None:
            limit = self.drop_above
            verdict["too_much"] = Decision(total > limit, total, f"> {limit}", limit=limit)
        return verdict, self._replaced(docs, spans)

    def judge(self, docs: DocBatch) -> Verdict:
        """How many spans of each kind there are, and whether they are too many."""
        return self.judge_and_map(docs)[0]

    def map(self, docs: DocBatch) -> DocBatch:
        """The documents with every span replaced."""
        return self.judge_and_map(docs)[1]

    def find(self, docs: DocBatch) -> dict[int, list[Found]]:
        """Document -> its spans, in order and apart from each other; documents without any are left out."""
        text, offsets = docs.text, docs.offsets
        found: dict[int, list[Found]] = {}
        for d, place, stop, kind in _candidates(docs):
            spans = found.setdefault(d, [])
            start, end = int(offsets[d]), int(offsets[d + 1])
            done = spans[-1][1] if spans else 0
            at = place - start
            low = max(at - 80, 0)
            window = text[start + low : min(end, place + _REACH)].tobytes()
            spans.extend(
                (a + low, b + low, name)
                for a, b, name in self._spans(window, at - low, stop - start - low, kind)
                if a + low >= done
            )
        return {d: spans for d, spans in found.items() if spans}

    def _spans(self, window: bytes, at: int, stop: int, kind: int) -> Iterator[Found]:
        """The spans behind one candidate; a number may hold several."""
        if kind != kernels.NUMBER:
            name, check = _CHECKS[kind]
            span = check(window, at) if name in self.kinds else None
            if span is not None:
                yield (*span, name)
            return
        for wide, plain in _SAME_LENGTH:
            window = window.replace(wide, plain)
        while at < stop:
            number = self._number(window, at, stop)
            if number is not None:
                yield number
                at = number[1] - 1
            following = _NEXT_NUMBER.search(window, at + 1, stop)
            if following is None:
                return
            at = following.end() - 1

    def _number(self, window: bytes, at: int, stop: int) -> Found | None:
        """What the number at `at` is, if it is any of ours."""
        if "ip" in self.kinds and (span := patterns.ipv4(window, at, stop)) is not None:
            return (*span, "ip")
        if "card" in self.kinds and (span := patterns.card(window, at, stop)) is not None:
            return (*span, "card")
        if "phone" in self.kinds and (span := patterns.phone(window, at, stop, self.regions)) is not None:
            return (*span, "phone")
        return None

    def _replaced(self, docs: DocBatch, spans: dict[int, list[Found]]) -> DocBatch:
        if not spans:
            return docs
        texts = list(docs.records.column("text"))
        changed = []
        for d, value in enumerate(texts):
            if d not in spans:
                changed.append(value.as_py())
                continue
            whole = value.as_py().encode()
            parts, done = [], 0
            for start, stop, kind in spans[d]:
                parts += [whole[done:start], self._instead(whole[start:stop], kind).encode()]
                done = stop
            changed.append(b"".join([*parts, whole[done:]]).decode())
        return docs.replace(text=changed)

    def _instead(self, value: bytes, kind: str) -> str:
        if self.action == "mask":
            return self.placeholder.format(kind=kind)
        plain = value.lower() if kind == "email" else bytes(b for b in value if chr(b).isalnum() or b in b".:+")
        digest = hashlib.blake2b(plain, key=self.salt.encode()[:64], digest_size=8, person=kind.encode()).digest()
        number = int.from_bytes(digest, "big")
        if kind == "email":
            return f"user-{digest.hex()[:10]}@example.com"
        if kind == "ip":
            return f"198.18.{number >> 8 & 255}.{number & 255}"  # for benchmarks of networks (RFC 2544), not public
        return f"<{kind}-{digest.hex()[:10]}>"


_CHECKS = {
    kernels.AT: ("email", patterns.email),
    kernels.COLON: ("ip", patterns.ipv6),
    kernels.ACCOUNT: ("iban", patterns.iban),
    kernels.SECRET: ("secret", patterns.secret),
}


def _candidates(docs: DocBatch) -> Iterator[tuple[int, int, int, int]]:
    """(document, first byte, byte behind, kind) of what is looked at more closely, in order."""
    prefixes = list(patterns.SECRETS)
    flat = np.frombuffer(b"".join(prefixes), np.uint8)
    borders = np.cumsum([0, *map(len, prefixes)], dtype=np.int64)
    room = docs.text.size // 64 + 16
    while True:
        columns: list[I64] = [np.empty(room, np.int64) for _ in range(4)]
        count = kernels.find_candidates(docs.text, docs.offsets, flat, borders, *columns)
        if count <= room:
            yield from zip(*(column[:count].tolist() for column in columns), strict=True)
            return
        room = count
