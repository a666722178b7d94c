"""Text that came out of pages, of PDFs and scans: what belongs to the paper goes, and paragraphs go on."""

from __future__ import annotations

import itertools
import random
import textwrap
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources_support import read, texts

from megadata.corpus.sources import pages as paged
from megadata.corpus.sources.pages import is_paged, unpage

SENTENCES = (
    "The harbour of the small town lay quiet in the morning, and the boats had not come back from the fishing grounds. "
    "Nobody on the long pier spoke of the night before, though all of them had heard the guns out at sea. "
)


def lines(text: str, width: int = 70) -> str:
    return textwrap.fill(text, width, break_on_hyphens=False)


def book(pages: list[str], head: str = "THE HARBOUR", foot: str = "{n}") -> str:
    """Pages with a head and a foot, numbered from 11."""
    return "\f".join(f"{head.format(n=n)}\n\n{page}\n\n{foot.format(n=n)}\n" for n, page in enumerate(pages, 11))


def paragraphs(count: int) -> list[str]:
    """One for each page; no two have a line in common."""
    words = SENTENCES.lower().replace(",", "").replace(".", "").split()
    chosen = random.Random(5)
    return [f"Part {n} of the story {' '.join(chosen.choices(words, k=60))}." for n in "abcdefghijklm"[:count]]


@pytest.mark.parametrize(
    ("head", "foot"),
    [
        ("THE HARBOUR", "{n}"),
        ("{n}", "Published for nobody, 2nd edition"),
        ("THE HARBOUR    {n}", ""),
        ("A Manual\n\n{n} / 233", ""),
        ("BASH(1)\n\nGeneral Commands Manual\n\nBASH(1)", "GNU Bash 5.2\n\n2022\n\n{n}"),
        ("", "- {n} -"),
        ("", "Page {n} of 99"),
        ("", "Seite {n}"),
    ],
)
def test_running_heads_feet_and_page_numbers_are_removed(head: str, foot: str) -> None:
    wanted = paragraphs(8)
    assert unpage(book([lines(p) for p in wanted], head, foot)) == "\n\n".join(wanted)


def test_heads_that_alternate_between_left_and_right_pages_are_removed() -> None:
    wanted = paragraphs(9)
    text = "\f".join(
        f"{f'{n} ANNA BELL' if n % 2 else f'THE HARBOUR {n}'}\n{lines(p)}\n" for n, p in enumerate(wanted, 41)
    )
    assert unpage(text) == "\n\n".join(wanted)


def test_the_head_of_a_chapter_of_one_page_is_removed_with_its_page_number() -> None:
    wanted = paragraphs(8)
    names = ["One", "One", "Two", "Three", "Three", "Four", "Five", "Five"]
    text = "\f".join(
        f"Chapter {name}\n\n{n}\n\n{lines(p)}\n" for n, (name, p) in enumerate(zip(names, wanted, strict=True), 5)
    )
    assert unpage(text) == "\n\n".join(wanted)


def test_numbers_that_count_no_pages_stay() -> None:
    wanted = [f"{n * n + 5}\n\n{p}" for n, p in enumerate(paragraphs(6))]
    assert unpage("\f".join(f"{p.partition(chr(10))[0]}\n\n{lines(p.partition(chr(10))[2])}" for p in wanted)) == (
        "\n\n".join(wanted)
    )


def test_a_sentence_goes_on_over_the_page_and_past_its_notes() -> None:
    pages = paragraphs(5)
    pages[1] = pages[1].removesuffix(".") + " and it was not"
    pages[2] = "long before the boats returned. " + pages[2]
    text = book([lines(p) for p in pages])
    whole = unpage(text)
    assert "and it was not long before the boats returned. Part c of" in whole
    noted = text.replace("and it was not\n", "and it was not\n\n1\n\nSee the map.\n")
    assert unpage(noted) == whole.replace("\n\nPart d of", "\n\n1\n\nSee the map.\n\nPart d of")


@pytest.mark.parametrize(
    ("broken", "joined"),
    [
        ("the well-\nknown harbour", "the well-known harbour"),  # written so elsewhere
        ("the fisher-\nman of that", "the fisherman of that"),  # all lower case
        ("a port-\nmore one", "a port-more one"),  # both are words here, and the whole is none
        ("Para-\ngraphs of it", "Paragraphs of it"),  # the word stands elsewhere
        ("a Debian-\nspecific one", "a Debian-specific one"),
        ("der Hafen-\nund Fischer", "der Hafen- und Fischer"),
        ("in Schleswig-\nHolstein", "in Schleswig-Holstein"),
        ("it is fini\xad\nshed now", "it is finished now"),
    ],
)
def test_hyphens_at_line_ends_go_where_the_document_writes_the_word_without(broken: str, joined: str) -> None:
    page = f"{lines(SENTENCES)}\n{'x' * 50} {broken} {'y' * 40}\n{lines(SENTENCES)}"
    text = "\f".join([page, "A well-known port. The paragraphs end.", "More.", "End of it."])
    assert joined in unpage(text)


def test_ligatures_become_letters_and_contents_with_leaders_are_dropped() -> None:
    contents = "\n".join(f"{n}.{n} The e\ufb03cient \ufb02ow . . . . . . . . . . . {n * 7}" for n in range(1, 9))
    text = unpage(
        "\f".join([f"Contents\n\n{contents}\n", *(lines(p) for p in paragraphs(3)), "An o\ufb00er \ufb01nally."])
    )
    assert ". . . ." not in text
    assert text.startswith("Contents\n\nPart a")
    assert text.endswith("An offer finally.")


def test_lists_headings_and_code_keep_their_lines() -> None:
    page = (
        f"{lines(SENTENCES)}\n2.1 A heading\n{lines(SENTENCES)}\n• one thing that is listed\n• another thing\n"
        "for (;;) {\n    step(1);\n}\n(a) first case\n(b) second case"
    )
    text = unpage("\f".join([page, *map(lines, paragraphs(4))]))
    for line in (
        "2.1 A heading",
        "• one thing that is listed",
        "• another thing",
        "for (;;) {",
        "}",
        "(b) second case",
    ):
        assert f"\n{line}" in text


def test_two_columns_side_by_side_are_read_one_after_the_other() -> None:
    left, right = (lines(f"{name} column. {SENTENCES * 4}", 36).split("\n") for name in ("Left", "Right"))
    page = "\n".join(f"{a:<42}{b}" for a, b in zip(left, right, strict=False))
    text = unpage("\f".join([page, *map(lines, paragraphs(4))]))
    assert text.index("Left column. The harbour of the small town lay quiet") < text.index("Right column. The harbour")
    assert (
        "Left column. The harbour of the small town lay quiet in the morning, and the boats had not come back" in text
    )


def test_a_file_with_a_form_feed_before_each_chapter_has_no_pages() -> None:
    assert not is_paged("\f".join(["word " * 9000] * 5))
    assert not is_paged("one\ftwo\f")
    assert is_paged("\f".join(["word " * 300] * 5))


@pytest.mark.parametrize("kind", ["txt", "gutenberg"])
def test_files_of_pages_are_read_as_running_text(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "report.txt"
    wanted = paragraphs(6)
    path.write_text(book([lines(p) for p in wanted]))
    documents, problems = read(path, kind)
    assert texts(documents) == ["\n\n".join(wanted)]
    assert not problems.counts


@given(st.lists(st.integers(1, 400), min_size=4, max_size=9))
def test_no_word_of_pages_without_heads_is_lost(sizes: list[int]) -> None:
    spell = ("".join("bcdfghjk"[int(digit)] for digit in f"{n:o}") for n in itertools.count(512))
    pages = [" ".join(itertools.islice(spell, size)) for size in sizes]
    assert unpage("\f".join(map(lines, pages))).split() == " ".join(pages).split()


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=400), st.integers(0, 5))
def test_any_text_goes_through(text: str, feeds: int) -> None:
    unpage("\f".join([text] * feeds))
    unpage(text.replace("a", "\f"))


@given(st.lists(st.text("ab     ", min_size=31, max_size=70), min_size=10, max_size=14))
def test_the_gutter_is_where_most_lines_have_a_gap(drawn: list[str]) -> None:
    counted = Counter[int]()
    for line in drawn:
        for gap in paged._GUTTER.finditer(line):
            counted.update(range(gap.start(1), gap.end(1)))
    expected = max(((many, at) for at, many in counted.items()), default=None)
    assert paged._gutter(drawn) == expected


def test_wide_blanks_take_no_memory_for_every_place_in_them() -> None:
    page_lines = ["left" + " " * 100_000 + f"right {n}" for n in range(40)]
    tracemalloc.start()
    try:
        unpage("\f".join(["\n".join(page_lines)] * 2))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60_000_000, f"{peak} bytes for a text of 8 million"
