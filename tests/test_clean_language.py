"""Language identification: what is written, what is kept, and that the model sees the same text wherever it runs."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from megadata.corpus import language
from megadata.corpus.language import Language, Languages, identify
from megadata.corpus.rules import load_rules
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError

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


def test_a_long_document_is_judged_by_its_beginning_middle_and_end() -> None:
    german = (TEXTS["de"] + "\n") * 200
    text = TEXTS["en"] * 3 + german
    assert identify(text.encode())[0] == "de"
    cut = ("é" * 5000).encode()
    assert language._sample(b"x" + cut).startswith("xéé")
    assert set(language._sample(b"a" * 5000 + b"b" * 5000 + b"c" * 5000)) == set("abc\n")


@pytest.mark.parametrize("text", ["", " \n", "12345 ...", "— !"])
def test_text_without_letters_has_no_language(text: str) -> None:
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


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"languages\.keep: unknown language 'eng'; did you mean"):
        load_rules("text", languages=["eng"])


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
