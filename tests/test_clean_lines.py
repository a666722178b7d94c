"""Lines and paragraphs: kernels against plain Python, and C4's rules against datatrove's loop."""

from __future__ import annotations

import numpy as np
import oracles_text as oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megadata.corpus.lines import LineRules, Phrase
from megadata.corpus.quantities import Cuts, Measured
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError
from megadata.kernels import lines as kernels
from megadata.kernels.counts import COUNTS

BATCHES = st.lists(st.one_of(oracles.LINES, oracles.LONG), min_size=1, max_size=3)


def batch(texts: list[str]) -> DocBatch:
    return DocBatch.of([str(i) for i in range(len(texts))], texts)


@given(
    texts=BATCHES,
    cutting=st.sampled_from(["newline", "visible", "runs", "splitlines"]),
    short=st.integers(0, 12),
    edges=st.sampled_from(["mixed", "as_is", "stripped"]),
    endings=st.sampled_from([("...", "…"), ("…",), ("e.", "same line", "…")]),
)
def test_line_counts_match_the_oracle(
    texts: list[str], cutting: str, short: int, edges: str, endings: tuple[str, ...]
) -> None:
    cuts = Cuts(lines=cutting, short_line=short, bullets="•-*", end_marks=".!?。", line_edges=edges, ellipses=endings)
    expected = [oracles.count_lines(t, cutting, short, "•-*", ".!?。", edges, endings) for t in texts]
    assert Measured(batch(texts), cuts).lines.tolist() == expected


@given(
    texts=st.lists(st.text("ab \n", max_size=30), min_size=1, max_size=3), cutting=st.sampled_from(["blank", "pairs"])
)
def test_paragraph_counts_match_the_oracle(texts: list[str], cutting: str) -> None:
    measured = Measured(batch(texts), Cuts(paragraphs=cutting))
    oracle = {"blank": "paragraphs", "pairs": "pairs"}[cutting]
    columns = [kernels.LINES, kernels.LATER, kernels.LATER_CHARACTERS, kernels.REPEATED, kernels.REPEATED_CHARACTERS]
    for row, text in zip(measured.paragraphs.tolist(), texts, strict=True):
        expected = oracles.count_lines(text, oracle, 0, "", "")
        assert [row[c] for c in columns] == [expected[c] for c in columns]


def test_repeats_are_counted_when_the_table_has_to_grow() -> None:
    lines = [str(i) for i in range(5000)] * 2
    row = Measured(batch(["x", "\n".join(lines), "x"]), Cuts()).lines[1]
    assert (row[kernels.LINES], row[kernels.LATER], row[kernels.REPEATED]) == (10_000, 5_000, 10_000)


def test_blank_lines_are_repeats_only_where_the_cut_keeps_them() -> None:
    text = "a\n\n\n\nb"
    later = {c: Measured(batch([text]), Cuts(lines=c)).lines[0, kernels.LATER] for c in ("newline", "visible", "runs")}
    assert later == {"newline": 2, "visible": 0, "runs": 0}


LINE_TEXT = st.lists(
    st.one_of(
        oracles.TEXT,
        st.sampled_from(["One two three.", "Some JavaScript code.", "Lorem Ipsum dolor sit.", "f { x }.", "Say o\u212a to it.",
                         "Uses cooKies now.",
                         "See [12] here [edit].", "[citation needed] Why not?", "[1][²]] a b c.", "Wait for it...",
                         "x" * 50 + " a b.", 'Yes. "', "No! ) ” It is. '", "Long " * 20 + "[3] lorem ipsum.",
                         "\u3000" * 25 + "Стоп。Да." * 9, "é. " * 30 + "Mask to"]),
        oracles.LONG,
    ),
    max_size=8,
).map("\n".join)  # fmt: skip


@given(
    texts=st.lists(LINE_TEXT, min_size=1, max_size=3),
    ends=st.sampled_from(["", '.?!"', ".?!\"'。"]),
    ellipsis_ends=st.booleans(),
    min_words=st.integers(0, 4),
    longest=st.sampled_from([None, 5, 40]),
    citations=st.booleans(),
    page=st.sampled_from(["page", "kept_lines"]),
    counted=st.sampled_from(["first", "after_citations"]),
)
def test_kept_lines_match_the_oracle(
    texts: list[str],
    ends: str,
    ellipsis_ends: bool,
    min_words: int,
    longest: int | None,
    citations: bool,
    page: str,
    counted: str,
) -> None:
    rules = LineRules(
        end_marks=ends,
        ellipsis_ends=ellipsis_ends,
        min_words=min_words,
        max_word_length=longest,
        drop_citations=citations,
        count_words=counted,
        page_phrases_in=page,
        min_sentences=2,
        phrases=(
            Phrase(reason="lorem", any_of=("lorem ipsum",), drops="page"),
            Phrase(reason="script", any_of=("javascript", "kie", "ok to")),
            Phrase(reason="bracket", any_of=("{",), drops="page"),
        ),
    )
    phrases = [("lorem ipsum", True), ("javascript", False), ("kie", False), ("ok to", False), ("{", True)]
    wanted = [
        oracles.keep_lines(
            t,
            ends,
            ellipsis_ends,
            min_words,
            longest or 0,
            citations,
            page == "page",
            phrases,
            counted == "after_citations",
        )
        for t in texts
    ]
    docs = batch(texts)
    verdict, mapped = rules.judge_and_map(docs)
    assert mapped.texts == [text for text, _ in wanted]
    assert verdict["lorem"].mask.tolist() == [counts[2] == 1 for _, counts in wanted]
    assert verdict["bracket"].mask.tolist() == [counts[2] == 5 for _, counts in wanted]
    assert verdict["too_few_sentences"].values.tolist() == [counts[1] for _, counts in wanted]
    assert rules._run(docs)[2].tolist() == [counts for _, counts in wanted]


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("One. Two! Three?", 3),
        ("He said: “Stop.” Then left", 2),
        ("3.5 is one sentence", 1),
        ("Wait... what?", 2),
        ("第一句。第二句！", 2),
        ("(Really?) Yes.", 2),
        ("He said so. ”", 1),
        ("Stop.” ” Go", 2),
        ("One. ) Two. '", 2),
        ("", 0),
    ],
)
def test_sentences_are_counted_by_their_ends(line: str, count: int) -> None:
    values = LineRules(min_sentences=1).judge(batch([line]))["too_few_sentences"].values
    assert values.tolist() == [count]
    assert oracles.sentences(line) == count


@given(texts=st.lists(st.one_of(oracles.LINES, st.text("a.!? \n\"')。漢กิ ่1", max_size=30)), max_size=3))
def test_sentence_ends_match_the_oracle(texts: list[str]) -> None:
    assert Measured(batch(texts), Cuts()).sentence_ends.tolist() == [oracles.sentence_ends(t) for t in texts]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three", 2),
        ("He said: “Stop.” Then\nhe left (at 3.5 m.).", 2),
        ("hard breaks\nin the middle of\nlines. And on", 1),
        ("第一句。第二句！第三", 2),
        ("กินข้าว แล้วนอน", 2),
        ("Home | News | 12.5 | About", 0),
        ("", 0),
    ],
)
def test_ends_of_sentences_are_counted_wherever_they_stand(text: str, count: int) -> None:
    assert Measured(batch([text]), Cuts()).sentence_ends.tolist() == [count]
    assert oracles.sentence_ends(text) == count


@given(texts=BATCHES)
def test_line_rules_are_idempotent(texts: list[str]) -> None:
    rules = LineRules(end_marks=".?!", min_words=2, max_word_length=20)
    once = rules.map(batch(texts))
    assert rules.map(once).texts == once.texts


def test_phrases_in_upper_case_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"phrases\.x: expected phrases in lower case, found 'Lorem'"):
        Phrase(reason="x", any_of=("Lorem",))


def test_an_empty_batch_has_no_decisions() -> None:
    verdict = LineRules(min_sentences=3).judge(DocBatch.empty())
    assert verdict["too_few_sentences"].mask.shape == (0,)
    assert Measured(DocBatch.empty(), Cuts()).lines.shape == (0, kernels.COUNTS)
    assert np.array_equal(Measured(DocBatch.empty(), Cuts()).words.shape, (0, COUNTS))
