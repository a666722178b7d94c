"""Decisions of the named rule-sets against small oracles written from the formulas they cite."""

from __future__ import annotations

import re

import oracles_text as oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megadata.corpus.characters import PUNCTUATION, TERMINAL
from megadata.corpus.rules import load_rules
from megadata.documents.batch import DocBatch

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "It is a truth universally acknowledged, that a man must be in want of a wife!",
    "- one item of the list",
    "• two",
    "And so on...",
    "Wait and see…",
    "# # # 12 345",
    "Über allen Gipfeln ist Ruh",
    "no end mark here with ten words to have in it",
    "f(x) { return 1; }",
    "Please enable JavaScript to have the page.",
    "lorem ipsum dolor sit amet.",
    "a b c d e f g.",
    "x",
]
DOCUMENTS = st.builds(
    lambda lines, breaks: "".join(line + breaks[i % len(breaks)] for i, line in enumerate(lines)),
    st.lists(st.sampled_from(SENTENCES), max_size=40),
    st.lists(st.sampled_from(["\n", "\n\n", " "]), min_size=1, max_size=3),
)

TOP = ((2, 0.2), (3, 0.18), (4, 0.16))
REPEATED = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))


def later(elements: list[str]) -> tuple[int, int]:
    seen: set[str] = set()
    count = size = 0
    for element in elements:
        if element in seen:
            count, size = count + 1, size + len(element)
        seen.add(element)
    return count, size


def gopher_datatrove(text: str) -> str | None:
    """GopherRepetitionFilter, then GopherQualityFilter, with words cut by our `unicode` rules."""
    if text:
        paragraphs = re.split(r"\n{2,}", text.strip())
        count, size = later(paragraphs)
        if count / len(paragraphs) > 0.3:
            return "repeated_paragraphs"
        if size / len(text) > 0.2:
            return "repeated_paragraph_characters"
        lines = re.split("\n+", text)
        count, size = later(lines)
        if count / len(lines) > 0.3:
            return "repeated_lines"
        if size / len(text) > 0.2:
            return "repeated_line_characters"
    words = oracles.unicode_words(text)
    for n, most in TOP:
        if words and oracles.top_ngram(words, n, 1, "first", True) / len(text) > most:
            return f"top_{n}gram"
    for n, most in REPEATED:
        if words and oracles.repeated_ngrams(words, n, "skipping")[0] / len(text) > most:
            return f"repeated_{n}grams"
    plain = [w for w in words if any(c not in PUNCTUATION and c not in TERMINAL for c in w)]
    if len(plain) < 50:
        return "too_few_words"
    if len(plain) > 100_000:
        return "too_many_words"
    mean = sum(map(len, plain)) / len(plain)
    if mean < 3 or mean > 10:
        return "short_words" if mean < 3 else "long_words"
    if text.count("#") / len(words) > 0.1:
        return "too_many_hashes"
    if (text.count("...") + text.count("…")) / len(words) > 0.1:
        return "too_many_ellipses"
    lines = text.splitlines()
    if sum(line.lstrip().startswith(("•", "-")) for line in lines) / len(lines) > 0.9:
        return "bulleted_lines"
    if sum(line.rstrip().endswith(("...", "…")) for line in lines) / len(lines) > 0.3:
        return "elliptic_lines"
    if sum(any(c.isalpha() for c in w) for w in words) / len(words) < 0.8:
        return "too_few_letters"
    if len({"the", "be", "to", "of", "and", "that", "have", "with"} & set(words)) < 2:
        return "too_few_stop_words"
    return None


def gopher_paper(text: str) -> str | None:
    """Appendix A.1.1 and table A1, read as the rule-set's `about` says."""
    words = text.split()
    lines = [line for line in text.split("\n") if line.strip()]
    if len(words) < 50:
        return "too_few_words"
    if len(words) > 100_000:
        return "too_many_words"
    mean = sum(map(len, words)) / len(words)
    if mean < 3 or mean > 10:
        return "short_words" if mean < 3 else "long_words"
    if text.count("#") / len(words) > 0.1:
        return "too_many_hashes"
    if (text.count("...") + text.count("…")) / len(words) > 0.1:
        return "too_many_ellipses"
    if sum(line.lstrip()[0] in "•‣▶◀◦■□▪▫–-*" for line in lines) / len(lines) > 0.9:
        return "bulleted_lines"
    if sum(line.rstrip().endswith(("...", "…")) for line in lines) / len(lines) > 0.3:
        return "elliptic_lines"
    if sum(any(c.isalpha() for c in w) for w in words) / len(words) < 0.8:
        return "too_few_letters"
    if sum(w in {"the", "be", "to", "of", "and", "that", "have", "with"} for w in words) < 2:
        return "too_few_stop_words"
    paragraphs = re.split(r"\n{2,}", text.strip())
    for elements, kind in ((lines, "line"), (paragraphs, "paragraph")):
        if later(elements)[0] / len(elements) > 0.3:
            return f"repeated_{kind}s"
    for elements, kind in ((lines, "line"), (paragraphs, "paragraph")):
        if later(elements)[1] / len(text) > 0.2:
            return f"repeated_{kind}_characters"
    characters = sum(map(len, words))
    for n, most in TOP:
        if oracles.top_ngram(words, n, 2, "first", False) / characters > most:
            return f"top_{n}gram"
    for n, most in REPEATED:
        if oracles.repeated_ngrams(words, n, "later")[0] / characters > most:
            return f"repeated_{n}grams"
    return None


def fineweb_datatrove(text: str) -> str | None:
    """FineWebQualityFilter, with words cut by our `unicode` rules."""
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return "no_lines"
    if sum(line.endswith(tuple(TERMINAL)) for line in lines) / len(lines) < 0.12:
        return "open_lines"
    if sum(len(line) <= 30 for line in lines) / len(lines) > 0.67:
        return "short_lines"
    if later(lines)[1] / len(text.replace("\n", "")) > 0.01:
        return "repeated_line_characters"
    if text.count("\n") / len(oracles.unicode_words(text)) > 0.3:
        return "newlines"
    return None


def fineweb_paper(text: str) -> str | None:
    """Section 3.6 of the paper."""
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return None
    if sum(line.endswith(tuple(TERMINAL)) for line in lines) / len(lines) <= 0.12:
        return "open_lines"
    if later(lines)[1] / len(text.replace("\n", "")) >= 0.1:
        return "repeated_line_characters"
    if sum(len(line) < 30 for line in lines) / len(lines) >= 0.67:
        return "short_lines"
    return None


def c4_jmlr(text: str) -> str | None:
    """Section 2.2 of the T5 paper; sentences as our oracle counts them."""
    lower = text.lower()
    hits = [
        (lower.find(p), reason) for p, reason in (("lorem ipsum", "lorem_ipsum"), ("{", "curly_bracket")) if p in lower
    ]
    if hits:
        first_line = min(lower[:at].count("\n") for at, _ in hits)
        return next(reason for at, reason in hits if lower[:at].count("\n") == first_line)
    kept = [line.strip() for line in text.splitlines()]
    kept = [line for line in kept if line.endswith(tuple('.?!"')) and len(line.split()) >= 3]
    kept = [line for line in kept if "javascript" not in line.lower()]
    return "too_few_sentences" if sum(map(oracles.sentences, kept)) < 5 else None


ORACLES = {
    "gopher@datatrove": gopher_datatrove,
    "gopher@paper": gopher_paper,
    "fineweb@datatrove": fineweb_datatrove,
    "fineweb@paper": fineweb_paper,
    "c4@jmlr": c4_jmlr,
}


def reasons(name: str, texts: list[str]) -> list[str | None]:
    outcome = load_rules(name).apply(DocBatch.of([str(i) for i in range(len(texts))], texts))
    removed = {i: r.partition(".")[2] for i, r in zip(outcome.removed.ids, outcome.reasons, strict=True)}
    return [removed.get(str(i)) for i in range(len(texts))]


@pytest.mark.parametrize("name", sorted(ORACLES))
@given(texts=st.lists(DOCUMENTS, min_size=1, max_size=4))
def test_decisions_match_the_formulas(name: str, texts: list[str]) -> None:
    assert reasons(name, texts) == [ORACLES[name](t) for t in texts]


VARIED = " ".join(f"The word{i} of that kind" for i in range(20))


@pytest.mark.parametrize("name", ["gopher@datatrove", "gopher@paper"])
@pytest.mark.parametrize(
    "text",
    [
        VARIED,
        f"{VARIED}\n{VARIED}",
        f"{VARIED}\n\n{VARIED}",
        VARIED.replace("of", "of#"),
        VARIED + " ..." * 30,
        "\n".join(f"- {w} the of" for w in VARIED.split()),
        "\n".join(f"{w} the of ..." for w in VARIED.split()),
        "12 " * 60 + VARIED,
        " ".join(f"wort{i} ganz anders" for i in range(30)),
        "a b c d " * 20,
        " ".join(f"{'x' * 12}{i}" for i in range(60)),
        "\n\n\n".join(VARIED.split()),
        "",
        "\n\n",
    ],
)
def test_gopher_on_documents_that_reach_each_rule(name: str, text: str) -> None:
    assert reasons(name, [text]) == [ORACLES[name](text)]


def test_the_two_finewebs_differ_tenfold_in_repeated_lines() -> None:
    lines = [f"Line number {i} is about as long as all the others." for i in range(20)]
    text = "\n".join([*lines, lines[0]])
    assert reasons("fineweb@datatrove", [text]) == ["repeated_line_characters"]
    assert reasons("fineweb@paper", [text]) == [None]
