"""Pages extracted several at a time: each has the text that it has alone, and what is wrong with one hits no other."""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources_support import page, paragraph, read, response_record, texts, warc_record
from test_sources_maintext import MARKUP, PROSE, article

from megadata.corpus.sources import pagebatches
from megadata.corpus.sources.evidence import evidence
from megadata.corpus.sources.extract import OURS, MainText, Unread, extractor
from megadata.corpus.sources.maintext import choose, main_blocks, main_blocks_of, score
from megadata.corpus.sources.page import join, scan
from megadata.corpus.sources.pagebatches import BATCH_BYTES, BATCH_PAGES, texts_of
from megadata.documents.source import Problems, ReadOptions
from megadata.errors import ConfigError

ARTICLES = [
    article("".join(f"<p>{line}</p>" for line in lines), language) for language, lines in PROSE.items() if lines
]
ODD = [
    "",
    "text and no element at all",
    "<h1>A heading</h1> words behind it, which lie in no element. " * 3,
    "<p hidden>" + " ".join(PROSE["en"]),
    "<ul>" + "<li><a href=x>One link</a>" * 30,
    "<p>Several words, and more of them, then a table.<table>" + "a long text in the table itself " * 9,
    "<h2>one</h2><h2>two</h2><h1>three</h1>",
    "<table><tr><td>" + "</td><td>".join(PROSE["en"]) + "</table>",
    '<div class="comments">' + "".join(f"<p>{line}</p>" for line in PROSE["en"]) + "</div>",
]
HTML = MARKUP | st.sampled_from(ARTICLES + ODD) | st.tuples(st.sampled_from(ARTICLES), MARKUP).map("".join)


def alone_and_together(pages: Sequence[bytes]) -> tuple[list[str | None], list[str | None]]:
    ours = MainText()
    return [ours.extract_utf8(page, None) for page in pages], ours.extract_many(pages)


@given(pages=st.lists(HTML, min_size=1, max_size=6))
def test_pages_have_the_same_blocks_together_as_alone(pages: list[str]) -> None:
    scanned = [scan(html) for html in pages]
    for one, mask in zip(scanned, main_blocks_of(scanned), strict=True):
        assert np.array_equal(main_blocks(one), mask)
    alone, together = alone_and_together([html.encode("utf-8", "replace") for html in pages])
    assert together == alone


@given(pages=st.lists(HTML.filter(lambda html: len(scan(html).blocks) > 0), min_size=2, max_size=5))
def test_evidence_is_the_same_to_the_last_bit_whatever_pages_come_with_a_page(pages: list[str]) -> None:
    scanned = [scan(html) for html in pages]
    joined = join(scanned)
    whole = evidence(joined)
    for one, mine in zip(scanned, joined.of_blocks(), strict=True):
        alone = evidence(join([one]))
        assert alone.near_K.tobytes() == whole.near_K[mine].tobytes()
        assert alone.inside_K.tobytes() == whole.inside_K[mine].tobytes()
        for name, column in alone.columns.items():
            assert np.asarray(column).tobytes() == np.asarray(whole.columns[name][mine]).tobytes(), name


@given(
    pages=st.lists(HTML.filter(lambda html: len(scan(html).blocks) > 0), min_size=2, max_size=5),
    seed=st.integers(0, 99),
)
def test_blocks_are_chosen_alike_whatever_their_points(pages: list[str], seed: int) -> None:
    scanned = [scan(html) for html in pages]
    joined = join(scanned)
    points = np.random.default_rng(seed).normal(0, 2, len(joined.blocks)).round(2)
    kept = choose(joined, evidence(joined), points)
    for one, mine in zip(scanned, joined.of_blocks(), strict=True):
        alone = join([one])
        assert np.array_equal(choose(alone, evidence(alone), points[mine]), kept[mine])


def test_points_have_two_decimals_so_that_no_tie_hangs_on_rounding() -> None:
    points = score(evidence(join([scan(html) for html in ARTICLES])))
    assert len(points) > 20
    assert np.array_equal(points, np.array([float(f"{value:.2f}") for value in points.tolist()]))


def test_real_pages_have_the_same_text_together_as_alone(real_data: Path) -> None:
    files = sorted(path for path in (real_data / "web").rglob("*.html*") if path.is_file())
    chosen = random.Random(0).sample(files, min(len(files), 240))
    pages = [gzip.decompress(f.read_bytes()) if f.suffix == ".gz" else f.read_bytes() for f in chosen]
    pages = [page.decode("utf-8", "replace").encode() for page in pages]
    whole = [alone_and_together(pages[at : at + 16]) for at in range(0, len(pages), 16)]
    assert list(chain.from_iterable(alone for alone, _ in whole)) == list(
        chain.from_iterable(together for _, together in whole)
    )
    assert sum(text is not None for alone, _ in whole for text in alone) > len(pages) / 2


class Batching:
    """An extractor that answers for several pages at once, and notes what it was given."""

    name = "batching"
    asked: list[int]
    fault: Callable[[bytes], None]

    def extract(self, html: str, url: str | None) -> str | None:
        return self.extract_utf8(html.encode(), url)

    def extract_utf8(self, page: bytes, url: str | None) -> str | None:
        type(self).fault(page)
        return "text of " + page.decode()

    def extract_many(self, pages: Sequence[bytes]) -> list[str | None]:
        type(self).asked.append(len(pages))
        return [self.extract_utf8(page, None) for page in pages]


@pytest.fixture
def batching(monkeypatch: pytest.MonkeyPatch) -> type[Batching]:
    monkeypatch.setitem(OURS, "batching", Batching)
    monkeypatch.setattr(Batching, "asked", [], raising=False)
    monkeypatch.setattr(Batching, "fault", staticmethod(lambda page: None), raising=False)
    extractor.cache_clear()
    return Batching


OPTIONS = ReadOptions(extractor="batching", page_seconds=0.2)


def unread(*names: str) -> list[tuple[int, str | Unread]]:
    return [(number, Unread(name.encode(), None, name)) for number, name in enumerate(names)]


def test_pages_and_texts_come_in_their_order_and_in_batches_of_bounded_size(batching: type[Batching]) -> None:
    found: list[tuple[int, str | Unread]] = unread(*(f"page {n}" for n in range(2 * BATCH_PAGES + 3)))
    found[4] = (4, "a text")
    found[7] = (7, Unread(b"x" * BATCH_BYTES, None, "large"))
    answers = list(texts_of(found, OPTIONS, Problems()))
    assert [key for key, _ in answers] == list(range(len(found)))
    assert answers[4][1] == "a text"
    assert {text for key, text in answers if key not in (4, 7)} == {f"text of page {n}" for n in range(35)} - {
        "text of page 4",
        "text of page 7",
    }
    assert batching.asked == [7, BATCH_PAGES, 2 * BATCH_PAGES + 3 - 8 - BATCH_PAGES]


def fails(page: bytes) -> None:
    if b"bad" in page:
        raise ValueError("a bug")


def loops(page: bytes) -> None:
    while b"bad" in page:
        pass


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("fault", "reason", "detail"),
    [
        (fails, "extractor_failed", "batching: ValueError: a bug"),
        (loops, "page_timeout", "batching took more than 0.2 s of processor time"),
    ],
)
def test_a_page_that_fails_among_others_is_set_aside_alone(
    batching: type[Batching], fault: Callable[[bytes], None], reason: str, detail: str
) -> None:
    batching.fault = staticmethod(fault)
    problems = Problems()
    answers = dict(texts_of(unread("a", "b", "bad", "c"), OPTIONS, problems))
    assert answers == {0: "text of a", 1: "text of b", 3: "text of c"}
    assert problems.counts == {reason: 1}
    assert [(item["where"], item["detail"], item["excerpt"]) for item in problems.items] == [("bad", detail, "bad")]


def test_an_extractor_that_answers_for_fewer_pages_than_it_was_given_is_asked_for_each(
    batching: type[Batching], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "extract_many", lambda self, pages: ["one answer"])
    assert dict(texts_of(unread("a", "b"), OPTIONS, Problems())) == {0: "text of a", 1: "text of b"}


def test_a_configuration_that_is_wrong_ends_the_run(batching: type[Batching]) -> None:
    def fault(page: bytes) -> None:
        raise ConfigError("a model is missing")

    batching.fault = staticmethod(fault)
    with pytest.raises(ConfigError, match="a model is missing"):
        list(texts_of(unread("a", "b"), OPTIONS, Problems()))


def test_an_archive_gives_the_same_documents_in_batches_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [page(paragraph(f"Number {n}") * (n % 4)) if n % 5 else "<script>no text</script>" for n in range(40)]
    records = [response_record(body.encode(), n) for n, body in enumerate(bodies)]
    records[3] = warc_record("conversion", b"A text of its own.\n", 3, Content_Type="text/plain")
    records[9] = warc_record("response", b"no HTTP", 9, Content_Type="application/http")
    records[11] = response_record(("<p>x" * 300_000).encode(), 11)  # too many blocks
    path = tmp_path / "a.warc"
    path.write_bytes(b"".join(records))
    whole = read(path, "warc")
    assert whole[1].counts == {"bad_http": 1, "no_text": 8, "page_too_large": 1}
    assert len(texts(whole[0])) == 40 - 10
    for pages in (1, 2, 7):
        monkeypatch.setattr(pagebatches, "BATCH_PAGES", pages)
        documents, problems = read(path, "warc")
        assert documents == whole[0]
        key = lambda item: re.sub(r"\D", "", item["where"])  # noqa: E731
        assert sorted(problems.items, key=key) == sorted(whole[1].items, key=key)
