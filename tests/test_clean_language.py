"""Language identification: what is written, what is kept, and that the model sees the same text wherever it runs."""

from __future__ import annotations

import functools
import re
import unicodedata
from pathlib import Path

import numpy as np
import oracles_text as oracles
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from megadata.corpus import language
from megadata.corpus.language import Language, Languages, identify
from megadata.corpus.rules import load_rules
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError
from megadata.kernels import language as kernels

TEXTS = {
    "en": "The old man walked slowly down to the harbour and looked at the boats which had come in during the night.",
    "de": "Der alte Mann ging langsam zum Hafen hinunter und sah die Boote an, die in der Nacht gekommen waren.",
    "fr": "Le vieil homme descendit lentement vers le port et regarda les bateaux arrivés pendant la nuit.",
    "es": "El viejo bajó despacio hacia el puerto y miró los barcos que habían llegado durante la noche.",
    "pt": "O velho desceu devagar até ao porto e olhou para os barcos que tinham chegado durante a noite.",
    "ru": "Старик медленно спустился к гавани и посмотрел на лодки, которые пришли ночью.",
    "zh": "老人慢慢地走到港口，看着夜里驶来的船只，心里想着年轻时候的事情。",
    "ja": "老人はゆっくりと港へ下りて行き、夜のうちに着いた船を眺めていました。",
    "ar": "نزل الرجل العجوز ببطء إلى الميناء ونظر إلى القوارب التي وصلت في الليل.",
    "hi": "बूढ़ा आदमी धीरे-धीरे बंदरगाह तक गया और रात में आई नावों को देखने लगा।",
}


def batch(texts: list[str]) -> DocBatch:
    return DocBatch.of([str(i) for i in range(len(texts))], texts, metadata=['{"path":"x"}'] * len(texts))


@pytest.mark.parametrize("code", sorted(TEXTS))
def test_a_sentence_of_each_language_is_recognised(code: str) -> None:
    label, score = identify(TEXTS[code].encode())
    assert label == code
    assert score > 0.5


@functools.cache
def reference() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def sample(text: str) -> str:
    """What is asked about: texts of up to three samples whole, else their beginning, middle and end."""
    size, data = language.SAMPLE_BYTES, text.encode()
    if len(data) <= 3 * size:
        return text
    middle = (len(data) - size) // 2
    return "\n".join(
        piece.decode(errors="ignore") for piece in (data[:size], data[middle : middle + size], data[-size:])
    )


def flat(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    data = [text.encode() for text in texts]
    return np.frombuffer(b"".join(data), np.uint8), np.cumsum([0, *map(len, data)], dtype=np.int64)


def check_against_py3langid(texts: list[str]) -> None:
    """Equal labels and, but for the rounding of its 32-bit sums, equal scores; none without letters or known n-grams."""
    for text, (label, score) in zip(texts, language.identify_all(*flat(texts)), strict=True):
        asked = sample(text)
        ranks = reference().rank(asked)
        if not any(map(str.isalpha, asked)) or not reference()._raw_score(reference()._encode(asked)).any():
            assert (label, score) == ("und", 0.0)
            continue
        assert abs(score - ranks[0][1]) < 0.001
        assert label == ranks[0][0] or abs(dict(ranks)[label] - ranks[0][1]) < 1e-4


WORDS = st.sampled_from(
    [word for text in TEXTS.values() for word in text.split()] + ["İI", "STRASSE", "e\u0301", "ｱ", "한국어", "\n", "12"]
)
LONG = st.builds(
    lambda words, times: " ".join(words) * times, st.lists(WORDS, min_size=1, max_size=30), st.integers(1, 60)
)


@given(st.lists(st.one_of(oracles.TEXT, LONG, LONG.map(str.upper)), min_size=1, max_size=12))
def test_labels_and_scores_are_those_of_py3langid(texts: list[str]) -> None:
    check_against_py3langid(texts)


@given(st.lists(LONG, max_size=20), st.integers(1, 3000))
def test_documents_read_together_do_not_change_the_answer(texts: list[str], together: int) -> None:
    whole = language.identify_all(*flat(texts))
    assert whole == [language.identify(text.encode()) for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "_TOGETHER", together)
        assert language.identify_all(*flat(texts)) == whole


@given(st.lists(st.text(st.sampled_from("aAé語😀 \n"), max_size=40), max_size=6), st.integers(1, 12))
@example(["AAAA"], 1)
@example(["AAAAA語A😀"], 4)
def test_samples_are_whole_characters_of_beginning_middle_and_end(texts: list[str], size: int) -> None:
    text, offsets = flat(texts)
    room = language.room_for_samples(np.diff(offsets), size)
    out, borders, how = np.empty(room, np.uint8), np.empty_like(offsets), np.empty(len(texts), np.uint8)
    kernels.take_samples(text, offsets, size, out, borders, how)
    assert borders[-1] <= room
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "SAMPLE_BYTES", size)
        expected = [sample(t) for t in texts]
    assert [out[borders[d] : borders[d + 1]].tobytes().decode() for d in range(len(texts))] == expected
    lower = [kernels.LOWER * any("a" <= c <= "z" for c in t) for t in expected]
    combining = [kernels.COMBINING * any(c >= "\u0300" for c in t) for t in expected]
    assert how.tolist() == [a + b for a, b in zip(lower, combining, strict=True)]


def test_text_below_the_combining_marks_is_in_normal_form() -> None:
    """So only samples with characters from there on are brought into it."""
    assert chr(0x300).encode()[0] == kernels.FIRST_COMBINING
    assert all(unicodedata.is_normalized("NFC", chr(a) + chr(b)) for a in range(0x300) for b in range(0, 0x300, 7))


def test_a_long_document_is_judged_by_its_beginning_middle_and_end() -> None:
    german = (TEXTS["de"] + "\n") * 200
    text = TEXTS["en"] * 3 + german
    assert identify(text.encode())[0] == "de"


@pytest.mark.parametrize("text", ["", " \n", "12345 ...", "— !", "A"])
def test_text_without_letters_or_known_ngrams_has_no_language(text: str) -> None:
    assert identify(text.encode()) == ("und", 0.0)


def test_the_language_and_its_score_go_into_the_metadata() -> None:
    docs = Language().map(batch([TEXTS["en"], TEXTS["ru"]]))
    found = [orjson.loads(m or "") for m in docs.column("metadata")]
    assert [m["language"] for m in found] == ["en", "ru"]
    assert all(m["path"] == "x" and 0.5 < m["language_score"] <= 1 for m in found)


def test_documents_in_other_languages_are_dropped() -> None:
    texts = [TEXTS["en"], TEXTS["de"], "123"]
    for docs in (batch(texts), Language().map(batch(texts))):
        verdict = Languages(keep=("en",)).judge(docs)
        assert verdict["other_language"].mask.tolist() == [False, True, True]
        assert verdict["unsure"].mask.tolist() == [False, False, True]
    assert Languages(keep=()).judge(batch(texts))["other_language"].mask.tolist() == [False] * 3


def test_asking_for_languages_adds_the_steps_behind_the_first_maps() -> None:
    rules = load_rules("text", languages=["en", "de"])
    assert [label for label, _ in rules.steps][:6] == [
        "repair",
        "controls",
        "whitespace",
        "language",
        "languages",
        "quality",
    ]
    outcome = rules.apply(batch([TEXTS["en"], TEXTS["fr"]]))
    assert outcome.reasons == ["languages.other_language"]
    assert orjson.loads(outcome.kept.column("metadata")[0] or "")["language"] == "en"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("eng", "unknown language 'eng'; its code here is 'en'"),
        ("zho-Hans", "unknown language 'zho-Hans'; its code here is 'zh'"),
        ("nb", "unknown language 'nb'; its code here is 'no'"),
        ("dee", "unknown language 'dee'; did you mean \"de\"?"),
        ("english", "unknown language 'english'; "),
    ],
)
def test_an_unknown_language_is_refused(code: str, message: str) -> None:
    with pytest.raises(ConfigError, match="^--languages: languages: " + re.escape(message)):
        load_rules("text", languages=[code])


def test_other_codes_are_not_the_models_own_and_stand_for_codes_that_are() -> None:
    assert not set(language._OTHER_CODES) & set(language.known_languages())
    assert set(language._OTHER_CODES.values()) <= set(language.known_languages())


def test_a_model_of_another_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are read as whole multiples of 1/512, which is a property of one version's model."""

    class Other:
        nb_ptc, tk_row, tk_output = np.array([[0.3]], np.float16), [0], [0]

    monkeypatch.setattr(LanguageIdentifier, "from_model_file", lambda *_: Other())
    with pytest.raises(ConfigError, match=r"py3langid .* its model has another form than that of version 0\.4"):
        language._model.__wrapped__()


def test_sentences_of_ten_languages_are_told_apart(real_data: Path) -> None:
    codes = {"en": "eng_Latn", "es": "spa_Latn", "fr": "fra_Latn", "de": "deu_Latn", "zh": "zho_Hans", "ar": "arb_Arab",
             "ru": "rus_Cyrl", "ja": "jpn_Jpan", "hi": "hin_Deva", "pt": "por_Latn"}  # fmt: skip
    folder = real_data / "messy" / "flores200_dev"
    tried = 0
    for code, name in codes.items():
        path = folder / f"{name}.dev"
        if not path.exists():
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        paragraphs = [" ".join(lines[i : i + 3]) for i in range(0, 300, 3)]
        right = sum(identify(p.encode())[0] == code for p in paragraphs)
        assert right / len(paragraphs) >= 0.98, (code, right)
        tried += 1
    assert tried >= 5
