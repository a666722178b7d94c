from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from io import StringIO

import numpy as np
import orjson
import pytest
import tokenizers
from oracles_tokenize import PROSE, UNICODE, ids_of, reference_training, write_jsonl

from megadata.config import build
from megadata.errors import ConfigError, CorpusError
from megadata.runtime.progress import Reporter
from megadata.runtime.settings import RunSettings
from megadata.tokenize import bpe, count, train, wordpieces
from megadata.tokenize.load import from_content, load_tokenizer
from megadata.tokenize.specials import BERT_SPECIALS, DEFAULT_SPECIALS, GPT_SPECIALS
from megadata.tokenize.train import TokenizerConfig, train_tokenizer

TEXTS = [*PROSE[:30], *UNICODE]


def trained(folder, texts=TEXTS, name="tokenizer.json", settings=None, identify=None, **config):
    file = write_jsonl(folder / "corpus.jsonl", ({"text": text} for text in texts))
    run = settings or RunSettings(workers=1)
    return train_tokenizer([file], folder / name, build(TokenizerConfig, config, "test"), run, identify=identify)


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
    assert report.trainer == "megadata"
    assert report.vocabulary == 1200
    assert report.notes == ()
    assert report.documents == len(TEXTS)
    assert report.bytes == sum(len(text.encode()) for text in TEXTS)
    assert 2 < report.bytes_per_token < 5


@pytest.mark.parametrize("trainer", ["gigatoken", "tokenizers"])
def test_all_trainers_write_the_same_file(tmp_path, trainer):
    report = trained(tmp_path, vocab_size=1000)
    other = trained(tmp_path, vocab_size=1000, trainer=trainer, name="other.json")
    assert (report.trainer, other.trainer) == ("megadata", trainer)
    assert other.path.read_bytes() == report.path.read_bytes()
    assert (report.unused_in, other.unused_in) == ("corpus", "sample")


def test_gigatoken_does_not_train_on_more_than_the_memory_holds(tmp_path):
    tight = RunSettings(workers=1)
    object.__setattr__(tight, "memory", 50_000)
    report = trained(tmp_path, vocab_size=700, trainer="gigatoken", settings=tight)
    assert report.trainer == "megadata"
    assert "gigatoken would hold the corpus of" in report.notes[0]
    assert "merging" in report.notes[1]
    assert "--set min_count=2 leaves rare ones out" in report.notes[1]
    monkey = trained(tmp_path, vocab_size=700, name="roomy.json")
    assert report.path.read_bytes() == monkey.path.read_bytes()


def test_the_log_says_what_is_trained_and_by_what(tmp_path):
    said = StringIO()
    settings = RunSettings(workers=1, progress=Reporter(said))
    trained(tmp_path, vocab_size=700, settings=settings)
    lines = said.getvalue().splitlines()
    assert any(line.startswith("training a bpe tokenizer of 700 entries on ") for line in lines)
    assert any("different words, merged by megadata" in line for line in lines)
    assert any(line.startswith("count words: ") for line in lines)
    assert any(line.startswith("merge: 438 tokens in ") for line in lines)


def test_tokenizers_itself_loads_the_file(tmp_path):
    report = trained(tmp_path, vocab_size=600)
    library = tokenizers.Tokenizer.from_file(str(report.path))
    assert library.get_vocab_size() == 600
    assert library.encode("a<|endoftext|>").ids[-1] == library.token_to_id("<|endoftext|>") == 0


def test_a_folder_with_the_tokenizer_tells_transformers_what_it_needs(tmp_path):
    trained(tmp_path, vocab_size=600, special=["gpt", "<|user|>"])
    assert orjson.loads((tmp_path / "tokenizer_config.json").read_bytes()) == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "eos_token": "<|endoftext|>",
        "pad_token": "[PAD]",
    }
    assert load_tokenizer(tmp_path) == load_tokenizer(tmp_path / "tokenizer.json")


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_transformers_loads_the_folder(tmp_path, kind):
    transformers = pytest.importorskip("transformers")
    trained(tmp_path, vocab_size=700, kind=kind, special=["bert" if kind == "wordpiece" else "gpt"])
    loaded = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    ours = load_tokenizer(tmp_path)
    text = "The expression is evaluated, isn't it?"
    assert loaded(text, add_special_tokens=False)["input_ids"] == ours.encode(text).tolist()
    assert len(loaded) == 700
    assert (loaded.pad_token, loaded.eos_token) == ("[PAD]", "<|endoftext|>")
    if kind == "wordpiece":
        ids = loaded(text, "Yes.")["input_ids"]
        assert ids[0] == loaded.cls_token_id
        assert ids.count(loaded.sep_token_id) == 2
        assert set(loaded(text, "Yes.")["token_type_ids"]) == {0, 1}


@pytest.mark.parametrize(
    ("special", "expected"),
    [
        (["gpt"], GPT_SPECIALS),
        (["bert"], BERT_SPECIALS),
        (["none"], ()),
        (["<|user|>", "gpt"], ("<|user|>", *GPT_SPECIALS)),
        (["gpt", "bert"], ("<|endoftext|>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")),
    ],
)
def test_special_tokens_are_presets_or_chosen_and_get_the_first_ids(tmp_path, special, expected):
    tokenizer = load_tokenizer(trained(tmp_path, texts=["ab ab"], vocab_size=300, special=special).path)
    assert tuple(token["content"] for token in tokenizer.document["added_tokens"]) == expected
    assert [tokenizer.vocabulary[token] for token in expected] == list(range(len(expected)))


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_merges_that_differ_from_those_of_tokenizers_are_not_used(tmp_path, monkeypatch, kind):
    truth = trained(tmp_path, vocab_size=700, kind=kind, name="truth.json")
    of = bpe if kind == "bpe" else wordpieces
    right = of.train

    def wrong(*arguments):
        model = right(*arguments)
        return replace(model, vocabulary={**model.vocabulary, "wrong": len(model.vocabulary)})

    monkeypatch.setattr(of, "train", wrong)
    report = trained(tmp_path, vocab_size=700, kind=kind)
    assert report.path.read_bytes() == truth.path.read_bytes()
    assert report.trainer == "tokenizers"
    assert report.notes == (
        "the merges of megadata differ from those of `tokenizers` on a sample, so `tokenizers` trained",
    )


def test_a_corpus_larger_than_the_sample_is_compared_on_a_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "CHECK_BYTES", 20_000)
    compared = []
    reference = bpe.by_tokenizers
    monkeypatch.setattr(
        bpe,
        "by_tokenizers",
        lambda texts, shape: compared.append((sum(map(len, texts)), shape.size)) or reference(texts, shape),
    )
    report = trained(tmp_path, vocab_size=900)
    truth = from_content(reference_training(TEXTS, 900, "gpt2", DEFAULT_SPECIALS), "truth")
    assert load_tokenizer(report.path).document["model"] == truth.document["model"]
    assert report.trainer == "megadata"
    ((size, entries),) = compared
    assert 15_000 < size <= 20_000
    assert entries == 900


def test_a_vocabulary_larger_than_the_corpus_supports_is_smaller_and_says_so(tmp_path):
    report = trained(tmp_path, texts=["hello hello world", "world wide"], vocab_size=5000)
    assert report.vocabulary < 300
    assert load_tokenizer(report.path).document["model"]["merges"][-1] == ["Ġ", "wide"]
    assert report.notes == (
        f"nothing is left to merge: the corpus supports {report.vocabulary} entries, 5000 were asked for; "
        "give more text for more",
    )
    assert load_tokenizer(report.path).decode(load_tokenizer(report.path).encode("hello wörld")) == "hello wörld"


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_the_vocabulary_is_padded_to_a_multiple(tmp_path, kind):
    report = trained(tmp_path, vocab_size=700, kind=kind, pad_vocab_to=128)
    assert report.vocabulary == 768
    tokenizer = load_tokenizer(report.path)
    assert tokenizer.vocabulary["<|unused_0|>"] == 700
    assert ids_of(tokenizer, "a <|unused_0|>").count(700) == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_workers_memory_and_the_order_of_files_change_no_byte(tmp_path, monkeypatch, kind):
    files = [write_jsonl(tmp_path / f"{n}.jsonl", ({"text": t} for t in TEXTS[n::3])) for n in range(3)]
    config = TokenizerConfig(vocab_size=800, kind=kind)
    truth = train_tokenizer(files, tmp_path / "t.json", config, RunSettings(workers=1)).path.read_bytes()
    monkeypatch.setattr(train, "UNIT_BYTES", 1 << 16)
    found = [train_tokenizer(files[::-1], tmp_path / "u.json", config, RunSettings(workers=2))]
    monkeypatch.setattr(count, "LEAST_TABLE", 1)
    monkeypatch.setattr(train, "TABLE_SHARE", 1 << 12)
    found.append(train_tokenizer(files, tmp_path / "v.json", config, RunSettings(workers=1, memory=64 << 20)))
    assert [report.path.read_bytes() == truth for report in found] == [True, True]


@pytest.mark.timeout(120)
def test_the_seed_of_hashes_changes_no_byte(tmp_path):
    write_jsonl(tmp_path / "corpus.jsonl", ({"text": text} for text in TEXTS))
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "megadata", "train-tokenizer", "corpus.jsonl", "-o", f"{seed}.json"]
        options = ["--vocab-size", "600", "--kind", "wordpiece", "--workers", "1"]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([*command, *options], cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()


def test_rare_words_are_left_out_on_request(tmp_path):
    texts = ["ab ab ab cd"]
    assert ["c", "d"] in load_tokenizer(trained(tmp_path, texts=texts, vocab_size=900).path).document["model"]["merges"]
    merges = load_tokenizer(trained(tmp_path, texts=texts, vocab_size=900, min_count=2).path).document["model"][
        "merges"
    ]
    assert merges == [["a", "b"], ["Ġ", "ab"]]


def test_wordpiece_reads_like_bert(tmp_path):
    first = trained(tmp_path, vocab_size=900, kind="wordpiece")
    tokenizer = load_tokenizer(first.path)
    assert tokenizer.kind == "WordPiece"
    assert tokenizer.vocabulary_size == 900
    assert set(tokenizer.special) == {"eod", "pad", "unk", "cls", "sep", "mask"}
    words = tokenizer.library.encode("The Expression statements", add_special_tokens=False).tokens
    assert "".join(word.removeprefix("##") for word in words) == "theexpressionstatements"
    assert tokenizer.special["unk"] not in tokenizer.encode("the quick brown fox")
    both = tokenizers.Tokenizer.from_file(str(first.path)).encode("the", "fox").tokens
    assert both[0] == "[CLS]"
    assert both.count("[SEP]") == 2


def test_wordpiece_without_an_unknown_token_gets_one(tmp_path):
    report = trained(tmp_path, vocab_size=500, kind="wordpiece", special=("[PAD]",))
    assert load_tokenizer(report.path).special == {"pad": 1, "unk": 0}


def test_unused_entries_are_those_the_corpus_never_needs(tmp_path):
    report = trained(tmp_path, texts=["abab abab"], vocab_size=1000)
    tokenizer = load_tokenizer(report.path)
    used = set(tokenizer.encode("abab abab").tolist())
    assert report.unused == tokenizer.vocabulary_size - len(DEFAULT_SPECIALS) - len(used)


@pytest.mark.parametrize("name", ["tokenizer.json", "own.json"])
def test_nothing_is_left_behind_but_the_tokenizer(tmp_path, capfd, name):
    trained(tmp_path, vocab_size=600, name=name)
    config = ["tokenizer_config.json"] if name == "tokenizer.json" else []
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["corpus.jsonl", name, *config])
    assert capfd.readouterr() == ("", "")


def test_a_corpus_without_text_is_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"expected text to train a tokenizer on, found 0 documents without any"):
        trained(tmp_path, texts=["", ""])
    assert [p.name for p in tmp_path.iterdir()] == ["corpus.jsonl"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vocab_size": 200}, r"vocab_size must be at least 262 \(6 special tokens and the alphabet\), got 200"),
        ({"pattern": "gpt3"}, r"pattern 'gpt3' is not known; expected gpt2, cl100k, o200k, qwen or llama3"),
        ({"special": ["a", "a"]}, r"special tokens must be different and not empty, found 'a', 'a'"),
        ({"pad_vocab_to": 0}, r"pad_vocab_to must be at least 1, got 0"),
        ({"min_count": 0}, r"min_count must be at least 1, got 0"),
        ({"trainer": "gigatoken", "pattern": "qwen"}, r"trainer gigatoken trains BPE with the pattern gpt2 alone"),
        ({"trainer": "gigatoken", "min_count": 2}, r"trainer gigatoken does not know min_count"),
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
