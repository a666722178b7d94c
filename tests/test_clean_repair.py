"""`repair` equals ftfy.fix_text on every input, and the scan in front of it never passes over a line that ftfy would change."""

from __future__ import annotations

import itertools
import json
import unicodedata
from pathlib import Path

import ftfy
import oracles_text as oracles
import pytest
from ftfy.badness import BADNESS_RE
from hypothesis import given
from hypothesis import strategies as st

from megadata.corpus import repair
from megadata.corpus.characters import ASSIGNED, CODE_POINTS
from megadata.corpus.repair import Nfc, Repair, changeable_lines, pair_classes
from megadata.corpus.rules import load_rules
from megadata.documents.batch import DocBatch
from megadata.kernels import repair as kernels


def batch(texts: list[str]) -> DocBatch:
    return DocBatch.of([str(i) for i in range(len(texts))], texts)


ENCODINGS = ["latin-1", "sloppy-windows-1252", "sloppy-windows-1251", "sloppy-windows-1250", "macroman", "cp437"]
PIECES = st.one_of(
    oracles.TEXT,
    st.builds(
        lambda text, encoding: text.encode().decode(encoding, "replace"),
        st.text(st.sampled_from("éàüñ’“”…—€£漢Жя\xa0ß"), min_size=1, max_size=5),
        st.sampled_from(ENCODINGS),
    ),
    st.sampled_from(["&amp;", "&lt;", "&LT;", "&#8217;", "&#x2019", "&eacute;", "&EACUTE;", "&nope;", "& amp;",
                     "&" + "a" * 25 + ";", "<", "<br>", "\r\n", "\r", "\n", "\x1b[36m", "“curly”", "it’s", "e\u0301",
                     "\u1100\u1161", "क\u093c", "\u0315\u0300", "\u0315\u0316", "œ", "É“"]),
)  # fmt: skip
DOCUMENTS = st.lists(PIECES, max_size=12).map("".join)


@given(texts=st.lists(DOCUMENTS, min_size=1, max_size=4))
def test_repair_equals_ftfy(texts: list[str]) -> None:
    assert Repair().map(batch(texts)).texts == [ftfy.fix_text(t) for t in texts]


KEPT = st.text(st.sampled_from("“‘’”„ʼ，！？（）：２Ａａ　ｱﾞｶﾞﬁﬃĳŉǆ é\r\n\u2028&lt;ß€â"), max_size=20)


@given(
    texts=st.lists(st.one_of(DOCUMENTS, KEPT), min_size=1, max_size=4),
    quotes=st.booleans(),
    widths=st.booleans(),
    ligatures=st.booleans(),
)
def test_repair_equals_ftfy_with_its_options_off(texts: list[str], quotes: bool, widths: bool, ligatures: bool) -> None:
    asked = ftfy.TextFixerConfig(uncurl_quotes=quotes, fix_character_width=widths, fix_latin_ligatures=ligatures)
    repaired = Repair(quotes=quotes, widths=widths, ligatures=ligatures).map(batch(texts)).texts
    assert repaired == [ftfy.fix_text(t, asked) for t in texts]


@pytest.mark.parametrize("name", ["web", "books", "wikipedia", "text"])
def test_shipped_lists_keep_the_punctuation_of_a_language(name: str) -> None:
    text = "他说:“你好，世界！”（２０１９年）价格：１００元；…“It’s a ‘test’,” ﬁne schÃ¶n &amp; gut"
    step = next(step for _, step in load_rules(name).steps if isinstance(step, Repair))
    assert step.map(batch([text])).texts == [
        "他说:“你好，世界！”（２０１９年）价格：１００元；…“It’s a ‘test’,” fine schön & gut"
    ]


@given(text=st.text(st.sampled_from(sorted(pair_classes()[0])), max_size=12))
def test_repair_equals_ftfy_on_letters_of_mojibake(text: str) -> None:
    assert Repair().map(batch([text])).texts == [ftfy.fix_text(text)]


def unflagged(lines: list[str]) -> list[str]:
    """The lines that the scan does not send to ftfy for their characters."""
    docs = batch(["\n".join(lines)])
    start, _, how = changeable_lines(docs.text, docs.offsets)
    flagged = set(start[(how & kernels.CHANGES) != 0].tolist())
    places = itertools.accumulate((len(line.encode()) + 1 for line in lines), initial=0)
    return [line for line, place in zip(lines, places, strict=False) if place not in flagged]


def test_no_pair_of_characters_that_ftfy_calls_bad_is_passed_over() -> None:
    characters = [*sorted(pair_classes()[0]), "0", "漢", "😀", "\t"]
    for left in ("a", " "):
        lines = [f"{left}{a}{b}{right}" for a in characters for b in characters for right in ("", "z")]
        assert [line for line in unflagged(lines) if BADNESS_RE.search(line + "\n")] == []


def test_no_triple_of_classes_that_ftfy_calls_bad_is_passed_over() -> None:
    classes, _ = pair_classes()
    one_of_each = [*{kind: c for c, kind in sorted(classes.items())}.values(), "0", "漢"]
    lines = ["".join(triple) for triple in itertools.product(one_of_each, repeat=3)]
    assert [line for line in unflagged(lines) if BADNESS_RE.search(line + "\n")] == []


def test_most_pairs_of_letters_are_not_sent_to_ftfy() -> None:
    """The scan is worth something: ordinary text in several scripts is passed over whole."""
    lines = [
        "Une forêt où l’été",
        "Über die Brücke",
        "Зелёный чай",
        "Ωραία μέρα",
        "你好，世界",
        "مرحبا بالعالم",
        "हिन्दी भाषा",
    ]
    docs = batch(["\n".join(lines[1:4] + lines[5:])])
    assert changeable_lines(docs.text, docs.offsets)[0].size == 0


def test_every_code_point_is_repaired_as_ftfy_does() -> None:
    codes = [c for part in ASSIGNED for c in part] + list(range(0x32400, CODE_POINTS, 997))
    lines = [f"a{chr(c)}b" for c in codes if not 0xD800 <= c < 0xE000 and chr(c) not in "<\n"]
    lines += [f"{chr(c)}\u0301" for c in range(0x250)] + [f"e{chr(c)}" for c in range(0x300, 0x370)]
    text = "\n".join(lines)
    assert Repair().map(batch([text])).texts == [ftfy.fix_text(text)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "&amp;\n<\n&amp;\n",
        "<b> &amp;\n&amp;",
        "&lt;\n&amp;",
        "a\r\nb\rc",
        "\ufeffstart",
        "voilÃ le travail\n" * 3,
        "œ",
        "œ\n",
        "cœur œ.",
        "É“x É“ É”",
        "’\u0338'\u0338<\u0338",
        "\x85",
        "ｶﾞ",
        "a\u2028b",
        "a\u0315\u0316",
        "ש\u05c1\u05b8",
    ],
)
def test_edge_cases_equal_ftfy(text: str) -> None:
    assert Repair().map(batch([text, text])).texts == [ftfy.fix_text(text)] * 2


def test_lines_longer_than_ftfys_segments_equal_ftfy() -> None:
    """ftfy cuts a line after a million characters, and a "<" in a later piece leaves entities in the first to be replaced."""
    long = "x" * 999_998 + "&lt;" + "é" * 50_000 + "<&gt;"
    texts = [long, long.replace("&lt;", "Ã©"), "<\n" + long, long + "\n&amp;"]
    assert Repair().map(batch(texts)).texts == [ftfy.fix_text(t) for t in texts]


def test_another_version_of_ftfy_gets_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftfy, "__version__", "99.0")
    texts = ["plain\nlines", "&amp;\n<\n&amp;", "“é”"]
    docs = batch(texts)
    assert changeable_lines(docs.text, docs.offsets, repair._scan_everything())[0].size == 6
    assert Repair().map(docs).texts == [ftfy.fix_text(t) for t in texts]
    assert Repair().libraries[0] == "ftfy 99.0"


def test_the_scan_is_proven_for_the_installed_ftfy() -> None:
    assert ftfy.__version__ in repair.PROVEN


def test_text_that_stays_is_not_copied() -> None:
    docs = batch(["plain text\n", "Grüße, naïve café\n", "हिन्दी ज़"])
    assert Repair().map(docs) is docs


@given(texts=st.lists(DOCUMENTS, min_size=1, max_size=4), data=st.data())
def test_a_slice_of_a_batch_is_repaired_alike(texts: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(texts)))
    docs = batch(texts)
    parts = [docs.slice(0, at), docs.slice(at, len(texts))]
    assert [t for p in parts for t in Repair().map(p).texts] == Repair().map(docs).texts


@given(texts=st.lists(DOCUMENTS, min_size=1, max_size=4))
def test_nfc_equals_unicodedata(texts: list[str]) -> None:
    assert Nfc().map(batch(texts)).texts == [unicodedata.normalize("NFC", t) for t in texts]


def test_marks_out_of_order_are_brought_into_order() -> None:
    marks = ["\u0315", "\u0316", "\u0334", "\u05b0", "\u05c1", "\u064b", "\u0651", "\u094d", "\u0e38", "\u302a"]
    texts = ["a" + "".join(p) for p in itertools.permutations(marks, 2)]
    assert Nfc().map(batch(texts)).texts == [unicodedata.normalize("NFC", t) for t in texts]
    assert Repair().map(batch(texts)).texts == [ftfy.fix_text(t) for t in texts]


def test_every_code_point_that_normal_form_c_changes_is_found() -> None:
    codes = [c for part in ASSIGNED for c in part if not 0xD800 <= c < 0xE000]
    texts = [chr(c) for c in codes] + [f"e{chr(c)}\u0323" for c in codes[:0x3100]]
    assert Nfc().map(batch(texts)).texts == [unicodedata.normalize("NFC", t) for t in texts]


def test_cases_of_ftfys_own_tests_are_repaired_as_ftfy_does(real_data: Path) -> None:
    """Mojibake seen in the wild, made-up mojibake, and text that only looks like it, each whole and inside other text."""
    cases = [
        case
        for name in ("in-the-wild", "synthetic", "negative")
        for case in json.loads((real_data / "messy" / "ftfy" / f"{name}.json").read_text("utf-8"))
    ]
    texts = [case["original"] for case in cases]
    texts += [f"Before it.\n{text}\nBehind it." for text in texts] + ["\n".join(texts)]
    assert Repair().map(batch(texts)).texts == [ftfy.fix_text(text) for text in texts]
    passing = [case for case in cases if case["expect"] == "pass"]
    assert len(passing) > 100
    assert [Repair().map(batch([case["original"]])).texts[0] for case in passing] == [case["fixed"] for case in passing]


def test_real_broken_text_is_repaired_as_ftfy_does(real_data: Path) -> None:
    folder = real_data / "messy"
    files = [
        p
        for name in ("ftfy", "blns", "ungoliant-garbage", "utf8-tests", "tweeteval")
        for p in sorted((folder / name).rglob("*"))
    ]
    for path in files:
        if path.is_file():
            raw = path.read_bytes()[:100_000]
            texts = [raw.decode("utf-8", "replace"), raw.decode("cp1252", "replace")]
            assert Repair().map(batch(texts)).texts == [ftfy.fix_text(t) for t in texts], path
    assert files
