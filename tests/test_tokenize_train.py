from __future__ import annotations

import numpy as np
import pytest
import tokenizers
from oracles_tokenize import PROSE, UNICODE, ids_of, reference_training, write_jsonl

from megadata.config import build
from megadata.errors import ConfigError, CorpusError
from megadata.runtime.settings import RunSettings
from megadata.tokenize import train
from megadata.tokenize.load import from_content, load_tokenizer
from megadata.tokenize.specials import DEFAULT_SPECIALS
from megadata.tokenize.train import TokenizerConfig, train_tokenizer

TEXTS = [*PROSE, *UNICODE]


def trained(folder, texts=TEXTS, name="tokenizer.json", **config):
    file = write_jsonl(folder / "corpus.jsonl", ({"text": text} for text in texts))
    return train_tokenizer([file], folder / name, TokenizerConfig(**config), RunSettings(workers=1))


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", "qwen"])
def test_the_file_is_the_one_that_tokenizers_would_write(tmp_path, pattern):
    report = trained(tmp_path, vocab_size=1200, pattern=pattern)
    truth = from_content(reference_training(TEXTS, 1200, pattern, DEFAULT_SPECIALS), "truth")
    found = load_tokenizer(report.path)
    assert found.document["model"] == truth.document["model"]
    assert found.special == truth.special
    for text in TEXTS[-8:]:
        assert found.encode(text).tolist() == truth.encode(text).tolist()
        assert found.decode(found.encode(text)) == text
    assert report.trainer == ("gigatoken" if pattern == "gpt2" else "tokenizers")
    assert report.vocabulary == 1200
    assert report.notes == ()
    assert report.documents == len(TEXTS)
    assert report.bytes == sum(len(text.encode()) for text in TEXTS)
    assert 2 < report.bytes_per_token < 5


def test_tokenizers_itself_loads_the_file(tmp_path):
    report = trained(tmp_path, vocab_size=600)
    library = tokenizers.Tokenizer.from_file(str(report.path))
    assert library.get_vocab_size() == 600
    assert library.encode("a<|endoftext|>").ids[-1] == library.token_to_id("<|endoftext|>") == 0


def test_merges_that_differ_from_those_of_tokenizers_are_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "_gigatoken", lambda paths, config: [("a", "b")])
    report = trained(tmp_path, vocab_size=700)
    truth = from_content(reference_training(TEXTS, 700, "gpt2", DEFAULT_SPECIALS), "truth")
    assert load_tokenizer(report.path).document["model"] == truth.document["model"]
    assert report.trainer == "tokenizers"
    assert report.notes == (
        "gigatoken's merges differ from those of `tokenizers` on a sample, so `tokenizers` trained",
    )


def test_a_corpus_larger_than_the_sample_is_compared_on_a_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "CHECK_BYTES", 20_000)
    compared = []
    reference = train._reference
    monkeypatch.setattr(
        train, "_reference", lambda texts, config: compared.append(sum(map(len, texts))) or reference(texts, config)
    )
    report = trained(tmp_path, vocab_size=900)
    truth = from_content(reference_training(TEXTS, 900, "gpt2", DEFAULT_SPECIALS), "truth")
    assert load_tokenizer(report.path).document["model"] == truth.document["model"]
    assert report.trainer == "gigatoken"
    assert len(compared) == 1
    assert compared[0] <= 20_000


def test_a_vocabulary_larger_than_the_corpus_supports_is_smaller_and_says_so(tmp_path):
    report = trained(tmp_path, texts=["hello hello world", "world wide"], vocab_size=5000)
    assert report.vocabulary < 300
    assert report.trainer == "gigatoken"
    assert load_tokenizer(report.path).document["model"]["merges"][-1] == ["Ġ", "wide"]
    assert report.notes == (
        f"the corpus supports {report.vocabulary} entries, 5000 were asked for; give more text for more",
    )
    assert load_tokenizer(report.path).decode(load_tokenizer(report.path).encode("hello wörld")) == "hello wörld"


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_the_vocabulary_is_padded_to_a_multiple(tmp_path, kind):
    report = trained(tmp_path, vocab_size=700, kind=kind, pad_vocab_to=128)
    assert report.vocabulary == 768
    tokenizer = load_tokenizer(report.path)
    assert tokenizer.vocabulary["<|unused_0|>"] == 700
    assert ids_of(tokenizer, "a <|unused_0|>").count(700) == 0


def test_the_same_corpus_gives_the_same_bytes_with_any_number_of_workers(tmp_path):
    files = [write_jsonl(tmp_path / f"{n}.jsonl", ({"text": t} for t in TEXTS[n::3])) for n in range(3)]
    found = set()
    for workers in (1, 2):
        for kind in ("bpe", "wordpiece"):
            config = TokenizerConfig(vocab_size=800, kind=kind)
            report = train_tokenizer(files, tmp_path / "t.json", config, RunSettings(workers=workers))
            found.add(report.path.read_bytes())
    assert len(found) == 2


def test_wordpiece_is_the_same_every_time_and_reads_like_bert(tmp_path):
    first = trained(tmp_path, vocab_size=900, kind="wordpiece")
    again = trained(tmp_path, vocab_size=900, kind="wordpiece", name="again.json")
    assert first.path.read_bytes() == again.path.read_bytes()
    tokenizer = load_tokenizer(first.path)
    assert tokenizer.kind == "WordPiece"
    assert tokenizer.vocabulary_size == 900
    assert set(tokenizer.special) == {"eod", "pad", "unk", "cls", "sep", "mask"}
    words = tokenizer.library.encode("The Expression statements", add_special_tokens=False).tokens
    assert "".join(word.removeprefix("##") for word in words) == "theexpressionstatements"
    assert tokenizer.special["unk"] not in tokenizer.encode("the quick brown fox")


def test_wordpiece_without_an_unknown_token_gets_one(tmp_path):
    report = trained(tmp_path, vocab_size=500, kind="wordpiece", special=("[PAD]",))
    assert load_tokenizer(report.path).special == {"pad": 1, "unk": 0}


def test_unused_entries_are_those_the_text_never_needs(tmp_path):
    report = trained(tmp_path, texts=["abab abab"], vocab_size=1000)
    tokenizer = load_tokenizer(report.path)
    used = set(tokenizer.encode("abab abab").tolist())
    assert report.unused == tokenizer.vocabulary_size - len(DEFAULT_SPECIALS) - len(used)


def test_nothing_is_left_behind_but_the_tokenizer(tmp_path, capfd):
    trained(tmp_path, vocab_size=600)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus.jsonl", "tokenizer.json"]
    assert capfd.readouterr() == ("", "")


def test_a_corpus_without_text_is_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"expected text to train a tokenizer on, found 0 documents without any"):
        trained(tmp_path, texts=["", ""])
    assert not (tmp_path / "tokenizer.json").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vocab_size": 200}, r"vocab_size must be at least 262 \(6 special tokens and the alphabet\), got 200"),
        ({"pattern": "gpt3"}, r"pattern 'gpt3' is not known; did you mean \"gpt2\"\?"),
        ({"special": ["a", "a"]}, r"special tokens must be different and not empty, found 'a', 'a'"),
        ({"pad_vocab_to": 0}, r"pad_vocab_to must be at least 1, got 0"),
        ({"vocabulary": 1}, r"unknown key 'vocabulary'"),
    ],
)
def test_a_wrong_configuration_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        build(TokenizerConfig, values, "--set")


def test_real_books_give_the_merges_of_tokenizers(tmp_path, real_data):
    books = sorted((real_data / "books" / "100_polish_novels").rglob("*.txt"))[:3]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in books]
    report = trained(tmp_path, texts=texts, vocab_size=4000)
    truth = reference_training(texts, 4000, "gpt2", DEFAULT_SPECIALS)
    assert load_tokenizer(report.path).document["model"]["merges"] == truth["model"]["merges"]
    assert np.isfinite(report.bytes_per_token)
