"""Broken lines of books: verse keeps its lines and prose is joined, in seeded books and in real ones."""

from __future__ import annotations

import random
import re
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from megadata.corpus.sources.gutenberg import strip_frame
from megadata.corpus.sources.rewrap import rewrap

VERSE = {
    "blake-poems": 0.985,
    "whitman-leaves": 0.985,
    "milton-paradise": 0.985,
    "shakespeare-macbeth": 0.985,
    "shakespeare-caesar": 0.985,
    "shakespeare-hamlet": 0.94,  # whole scenes of it are prose
}
"""Share of lines that must stand."""
NOVELS = ("austen-emma", "austen-persuasion", "chesterton-brown", "chesterton-ball", "melville-moby_dick")


def lines_that_stand(source: str, of: str | None = None) -> float:
    """Share of the lines of a text, or of a part of it, that are lines when it was rewrapped."""
    lines = Counter(" ".join(line.split()) for line in (of or source).split("\n") if line.strip())
    stand = Counter(" ".join(line.split()) for line in rewrap(source).split("\n"))
    return (lines & stand).total() / lines.total()


def paragraphs_joined(source: str) -> float:
    """Share of a text's paragraphs of three lines or more that are one line when it was rewrapped."""
    whole = {" ".join(line.split()) for line in rewrap(source).split("\n")}
    paragraphs = [block for block in re.split(r"\n[ \t]*\n", source) if block.strip("\n").count("\n") > 1]
    joined = [" ".join(one.split()) in whole for one in paragraphs if not re.search(r"[-_=]", one)]
    assert len(joined) > 5
    return sum(joined) / len(joined)


WORDS = "rose dawn of the silent water and a heart that never slept among old hills in winter".split()  # noqa: SIM905
NAMES = "the captain said nothing of that kind had been heard by Anne or her brother in those days".split()  # noqa: SIM905


def verse(seed: int, stanzas: int, words: tuple[int, int]) -> str:
    """Stanzas whose lines have so many words and begin with capitals."""
    choose = random.Random(seed)

    def line() -> str:
        return " ".join(choose.choices(WORDS, k=choose.randint(*words))).capitalize() + choose.choice(",;.")

    return "\n\n".join("\n".join(line() for _ in range(choose.randint(4, 9))) for _ in range(stanzas))


def prose(seed: int, paragraphs: int, width: int) -> str:
    """Paragraphs wrapped to a width."""
    choose = random.Random(seed)
    made = (" ".join(choose.choices(NAMES, k=choose.randint(60, 160))).capitalize() + "." for _ in range(paragraphs))
    return "\n\n".join(textwrap.fill(one, width) for one in made)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("words", [(6, 9), (7, 8), (9, 14)])
def test_verse_keeps_its_lines_and_prose_beside_it_is_joined(seed: int, words: tuple[int, int]) -> None:
    poems, preface = verse(seed, 40, words), prose(seed, 8, 72)
    assert lines_that_stand(poems) == 1.0
    assert lines_that_stand(f"{preface}\n\n{poems}", of=poems) == 1.0
    assert rewrap(f"{preface}\n\n{poems}").startswith(" ".join(preface.partition("\n\n")[0].split()))
    poem, novel = verse(seed, 1, words), prose(seed, 40, 72)
    assert lines_that_stand(f"{novel}\n\n{poem}\n\n{novel}", of=poem) == 1.0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("width", [40, 60, 72])
def test_prose_is_joined_whatever_it_was_wrapped_at(seed: int, width: int) -> None:
    assert paragraphs_joined(prose(seed, 30, width)) == 1.0
    assert paragraphs_joined(prose(seed, 15, max(width, 50)) + "\n\n" + prose(seed + 9, 15, 72)) == 1.0


def test_lines_broken_at_phrases_and_new_lines_for_sentences_are_joined() -> None:
    verses = "In the beginning there was the word that was.\nAnd the\n"
    verses += "word was with all of the people who lived\nthere and stayed.\n"
    assert rewrap(verses * 10).count("\n") == 0
    phrases = "She is pretty, I think; very pretty, when one comes\n"
    phrases += "to look at her.  It is not the fashion to say,\nbut I confess it."
    assert "comes to look" in rewrap(f"{prose(1, 20, 72)}\n\n{phrases}")


def test_chinese_with_an_empty_line_after_every_line_is_joined() -> None:
    line = "而顯出麻木的神情據解說則綁著的是替俄國做了軍事上的偵探正要被日軍"
    lines = [*[line] * 12, f"{line[:9]}。", *[line] * 12, "“完了。”"]
    text = "\n\n".join(f"    {one}" for one in lines)
    assert rewrap(text) == f"{line * 12}{line[:9]}。\n\n{line * 12}“完了。”"


def test_real_verse_keeps_its_lines_and_real_novels_are_joined(real_data: Path) -> None:
    folder = real_data / "books/nltk/gutenberg"
    stand = {name: lines_that_stand((folder / f"{name}.txt").read_text("latin-1")) for name in VERSE}
    assert all(share >= VERSE[name] for name, share in stand.items()), stand
    joined = {name: paragraphs_joined((folder / f"{name}.txt").read_text("latin-1")) for name in NOVELS}
    assert all(share >= 0.95 for share in joined.values()), joined
    blake = rewrap((folder / "blake-poems.txt").read_text("latin-1"))
    assert re.search(r"And we are put on earth a little space,\n *That we may learn to bear the beams of love", blake)
    lu_xun = rewrap(strip_frame((real_data / "books/gutenberg_orig/27166/27166-0.txt").read_text("utf-8")))
    assert "來顯示微生物的形狀的，因此有時講義的一段落已完，而時間還沒有到，教師便映些" in lu_xun
    finnish = rewrap((real_data / "books/nltk/genesis/finnish.txt").read_text("latin-1"))
    assert "Maa oli autio ja tyhjä, pimeys peitti syvyydet, ja Jumalan henki liikkui vetten yllä." in finnish
