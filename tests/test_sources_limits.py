"""Limits of reading: the time a page may take, and what the options of reading refuse."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import ClassVar

import pytest
from sources_support import page, paragraph, read, response_record

from megadata.corpus.sources import timelimit
from megadata.corpus.sources.extract import OURS, extractor
from megadata.corpus.sources.timelimit import TimeLimit, within
from megadata.documents.source import ReadOptions, read_options
from megadata.errors import ConfigError


class Endless:
    """An extractor that never comes back from pages about loops, and swallows what it can."""

    name: ClassVar[str] = "endless"

    def extract(self, html: str, url: str | None) -> str | None:
        while "loop" in html:
            try:
                for _ in range(1000):
                    pass
            except Exception:
                pass
        return "text of " + html[:5]


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OURS, "endless", Endless)
    extractor.cache_clear()


@pytest.mark.timeout(30)
@pytest.mark.usefixtures("endless")
def test_a_page_that_takes_too_long_is_set_aside_and_the_next_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(response_record(page("a loop").encode(), 1) + response_record(page(paragraph("x")).encode(), 2))
    handler = signal.getsignal(signal.SIGVTALRM)
    documents, problems = read(path, "warc", extractor="endless", page_seconds=0.05)
    assert [d["url"] for d in documents] == ["http://example.org/2"]
    assert problems.counts == {"page_timeout": 1}
    assert problems.items[0]["detail"] == "endless took more than 0.05 s of processor time"
    assert signal.getsignal(signal.SIGVTALRM) is handler
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


@pytest.mark.timeout(30)
def test_a_bare_except_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timelimit, "_AGAIN_SECONDS", 0.02)
    told = 0

    def stubborn() -> None:
        nonlocal told
        while told < 2:
            try:
                while True:
                    pass
            except BaseException:
                told += 1
        while True:
            pass

    with pytest.raises(TimeLimit):
        within(0.02, stubborn)
    assert told == 2


def test_what_a_call_gives_or_raises_comes_through_the_limit() -> None:
    assert within(5.0, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        within(5.0, lambda: 1 // 0)


def test_outside_the_main_thread_there_is_no_limit_and_one_warning() -> None:
    timelimit._warn.cache_clear()
    found: list[int] = []

    def work() -> None:
        with pytest.warns(RuntimeWarning, match="time limits need the main thread"):
            found.append(within(1e-9, lambda: 7))
        found.append(within(1e-9, lambda: 8))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [7, 8]


def test_limits_are_options_of_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    deep = "<div>" * 50 + "<p></p>" * 20_000
    path.write_bytes(
        response_record(page(deep).encode(), 1)
        + response_record(page("<p>one</p>" * 3000).encode(), 2)
        + response_record(page(paragraph("x")).encode(), 3)
    )
    options, rest = read_options({}, ["read.max_page_depth=40", "quality.words=plain"])
    assert rest == ("quality.words=plain",)
    documents, problems = read(path, "warc", extractor="resiliparse", max_page_depth=options.max_page_depth)
    assert problems.counts == {"page_too_deep": 1}
    documents, problems = read(path, "warc", max_page_characters=20_000)
    assert problems.counts == {"page_too_large": 2}
    assert [d["url"][-1] for d in documents] == ["3"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("page_seconds", 0), ("page_seconds", float("nan")), ("max_page_depth", 0), ("max_page_characters", -1)],
)
def test_impossible_limits_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"read\.{name} must be"):
        ReadOptions(**{name: value})
