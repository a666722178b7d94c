from __future__ import annotations

import base64
import pickle
import struct

import orjson
import pytest
import tokenizers
from oracles_tokenize import PROSE, UNICODE, small_tokenizer

from megadata.errors import TokenizerError
from megadata.tokenize.convert import RANK_FILES
from megadata.tokenize.load import from_content, load_tokenizer
from megadata.tokenize.tokenizer import Tokenizer, _begins_word

SAMPLE = "Hello world, don't stop! naïve 日本 <|endoftext|>\n\n  x"


def save_pair(folder, prefix=""):
    model = small_tokenizer().document["model"]
    (folder / f"{prefix}vocab.json").write_bytes(orjson.dumps(model["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (folder / f"{prefix}merges.txt").write_text("#version: 0.2\n" + merges + "\n", encoding="utf-8")
    return folder / f"{prefix}vocab.json"


def test_a_saved_tokenizer_is_the_same_and_names_its_own_digest(tmp_path):
    tokenizer = small_tokenizer()
    tokenizer.save(tmp_path / "tokenizer.json")
    again = load_tokenizer(tmp_path / "tokenizer.json")
    assert again == tokenizer
    assert again.sha256 == tokenizer.sha256
    assert again.special == {"eod": 0, "pad": 1, "unk": 2, "cls": 3, "sep": 4, "mask": 5}


def test_formatting_truncation_and_padding_do_not_change_the_digest(tmp_path):
    library = tokenizers.Tokenizer.from_buffer(small_tokenizer().content)
    library.enable_truncation(8)
    library.enable_padding(length=64)
    library.save(str(tmp_path / "pretty.json"), pretty=True)
    loaded = load_tokenizer(tmp_path / "pretty.json")
    assert loaded.sha256 == small_tokenizer().sha256
    assert loaded.encode(SAMPLE).size > 8


def test_merges_written_as_text_are_the_same_tokenizer():
    content = small_tokenizer().document
    model = {**content["model"], "merges": [" ".join(pair) for pair in content["model"]["merges"]]}
    assert from_content({**content, "model": model}, "old").sha256 == small_tokenizer().sha256


@pytest.mark.parametrize("prefix", ["", "gpt2-"])
def test_vocabulary_and_merges_make_a_tokenizer(tmp_path, prefix):
    path = save_pair(tmp_path, prefix)
    for given in (path, tmp_path, tmp_path / f"{prefix}merges.txt"):
        loaded = load_tokenizer(given)
        assert loaded.encode(SAMPLE).tolist() == small_tokenizer().encode(SAMPLE).tolist()
        assert loaded.special["mask"] == small_tokenizer().special["mask"]


def test_an_entry_that_merges_make_is_not_special(tmp_path):
    entries = [*"<s>", "s>", "<s>"]
    (tmp_path / "vocab.json").write_bytes(orjson.dumps({e: n for n, e in enumerate(entries)}))
    (tmp_path / "merges.txt").write_text("s >\n< s>\n")
    loaded = load_tokenizer(tmp_path)
    assert "bos" not in loaded.special
    assert not loaded.document["added_tokens"]


def test_a_vocabulary_without_merges_is_refused(tmp_path):
    path = save_pair(tmp_path)
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(TokenizerError, match=r"vocab.json: expected merges.txt beside it, found none"):
        load_tokenizer(path)


def test_merges_of_another_vocabulary_are_refused(tmp_path):
    path = save_pair(tmp_path)
    (tmp_path / "merges.txt").write_text("ab cd\n")
    with pytest.raises(TokenizerError, match=r"merges.txt: line 1: expected two tokens of vocab.json"):
        load_tokenizer(path)


def test_a_transformers_folder_names_its_special_tokens(tmp_path):
    small_tokenizer().save(tmp_path / "tokenizer.json")
    config = {"eos_token": {"content": "[SEP]"}, "pad_token": "<|endoftext|>", "model_max_length": 512}
    (tmp_path / "tokenizer_config.json").write_bytes(orjson.dumps(config))
    loaded = load_tokenizer(tmp_path)
    assert loaded.special["eod"] == small_tokenizer().vocabulary["[SEP]"]
    assert loaded.special["pad"] == small_tokenizer().vocabulary["<|endoftext|>"]


def test_a_rank_file_takes_pattern_and_special_tokens_from_its_size(tmp_path, monkeypatch):
    tokens = [bytes([b]) for b in range(256)] + [b"ab", b"abc", b"  "]
    lines = (base64.b64encode(token) + b" %d" % rank for rank, token in enumerate(tokens))
    (tmp_path / "x.tiktoken").write_bytes(b"\n".join(lines))
    monkeypatch.setitem(RANK_FILES, 259, ("cl100k", {"<|endoftext|>": 259}))
    loaded = load_tokenizer(tmp_path / "x.tiktoken")
    assert loaded.eod == 259
    assert loaded.encode("abc ab<|endoftext|>").tolist()[:4] == [257, 32, 256, ord("<")]
    assert loaded.decode(loaded.encode(SAMPLE)) == SAMPLE
    assert load_tokenizer(tmp_path) == loaded


def test_a_rank_file_of_unknown_size_is_refused(tmp_path):
    (tmp_path / "x.tiktoken").write_bytes(base64.b64encode(b"a") + b" 0\n")
    with pytest.raises(
        TokenizerError, match=r"one with 1 ranks is not a published encoding \(those have 50256, 100256,"
    ):
        load_tokenizer(tmp_path / "x.tiktoken")


def test_a_damaged_rank_file_names_the_line(tmp_path):
    (tmp_path / "x.tiktoken").write_bytes(base64.b64encode(b"a") + b" 0\n%%% 1\n")
    with pytest.raises(TokenizerError, match=r"line 2: expected a base64 token and its rank, found b'%%% 1'"):
        load_tokenizer(tmp_path / "x.tiktoken")


def test_a_word_list_is_a_wordpiece_tokenizer(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "wor", "##ld", ",", "[", "]", "mask"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    loaded = load_tokenizer(tmp_path / "vocab.txt")
    assert loaded.kind == "WordPiece"
    assert loaded.special == {"cls": 2, "sep": 3, "mask": 4, "pad": 0, "unk": 1}
    assert loaded.encode("Hello, WORLD [MASK]").tolist() == [5, 8, 6, 7, 9, 11, 10]
    assert loaded.word_start.tolist() == [True] * 7 + [False] + [True] * 4
    (tmp_path / "vocab.txt").write_text("\n".join([*words, "Paris"]) + "\n")
    assert load_tokenizer(tmp_path).encode("Hello").tolist() == [1]


def spm(pieces, kind, **normalizer):
    def field(number, value):
        if isinstance(value, int):
            return (
                bytes([number << 3]) + bytes([value])
                if number < 16
                else bytes([number << 3 & 0x7F | 0x80, number >> 4, value])
            )
        if isinstance(value, float):
            return bytes([number << 3 | 5]) + struct.pack("<f", value)
        return bytes([number << 3 | 2, len(value)]) + value

    out = b""
    for text, score, piece_kind in pieces:
        out += field(1, field(1, text.encode()) + field(2, float(score)) + field(3, piece_kind))
    trainer = field(3, kind) + (field(35, 1) if kind == 2 else b"")
    spec = field(4, normalizer.get("squeeze", 1))
    return out + field(2, trainer) + field(3, spec)


def test_a_unigram_sentencepiece_model_is_read(tmp_path):
    pieces = [
        ("<unk>", 0, 2),
        ("<s>", 0, 3),
        ("</s>", 0, 3),
        ("▁he", -1, 1),
        ("llo", -1, 1),
        ("▁", -2, 1),
        ("w", -3, 1),
    ]
    (tmp_path / "x.model").write_bytes(spm(pieces, 1))
    loaded = load_tokenizer(tmp_path / "x.model")
    assert loaded.kind == "Unigram"
    assert loaded.special == {"bos": 1, "eod": 2, "unk": 0}
    assert loaded.encode(" hello   w ").tolist() == [3, 4, 5, 6]
    assert loaded.decode([3, 4, 5, 6]) == "hello w"
    assert loaded.pieces[3] == b" he"


def test_special_pieces_of_a_unigram_model_are_text_where_they_are_written_out(tmp_path):
    pieces = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), ("▁", -1, 1), *((c, -2, 1) for c in "</s>unk")]
    (tmp_path / "x.model").write_bytes(spm(pieces, 1))
    loaded = load_tokenizer(tmp_path / "x.model")
    ids = loaded.encode("<s> </s> <unk> s")
    assert {0, 1, 2}.isdisjoint(ids.tolist())
    assert loaded.decode(ids) == "<s> </s> <unk> s"


def test_a_unigram_model_that_keeps_spaces_keeps_them(tmp_path):
    pieces = [("<unk>", 0, 2), ("▁", -2, 1), ("▁▁", -3, 1), ("a", -2, 1), ("▁a", -2.5, 1)]
    (tmp_path / "x.model").write_bytes(spm(pieces, 1, squeeze=0))
    assert load_tokenizer(tmp_path / "x.model").encode(" a  a").tolist() == [1, 4, 1, 4]


def test_a_bpe_sentencepiece_model_falls_back_to_bytes(tmp_path):
    pieces = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3)]
    pieces += [(f"<0x{b:02X}>", 0, 6) for b in range(256)]
    pieces += [("▁h", -1, 1), ("▁hi", -2, 1), ("▁", -3, 1), ("h", -4, 1), ("i", -5, 1), ("hi", -6, 1), ("ih", -0.5, 1)]
    (tmp_path / "x.model").write_bytes(spm(pieces, 2))
    loaded = load_tokenizer(tmp_path / "x.model")
    assert loaded.encode("hi é").tolist() == [260, 261, 3 + 0xC3, 3 + 0xA9]
    assert loaded.encode("hih").tolist() == [259, 265]
    assert loaded.decode([260, 261, 3 + 0xC3, 3 + 0xA9]) == "hi é"
    assert loaded.pieces[3 + 0xC3] == b"\xc3"


@pytest.mark.parametrize("content", [b"\x00\x01nonsense", b"\x0a\xff", b"", b"\x0a\x02\x0a"])
def test_a_damaged_sentencepiece_model_is_refused(tmp_path, content):
    (tmp_path / "x.model").write_bytes(content)
    with pytest.raises(TokenizerError, match=r"x\.model: expected a SentencePiece model"):
        load_tokenizer(tmp_path / "x.model")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", r"a\.json: expected JSON, found something else"),
        ("a.json", b"[]", r"a\.json: expected a JSON object, found list"),
        (
            "a.json",
            b'{"model": {}}',
            r"a\.json: expected the content of a tokenizer\.json, found something else \(KeyError",
        ),
        ("a.json", b'{"x": "y"}', r"a\.json: expected a tokenizer\.json or a vocabulary, found other JSON"),
        (
            "a.json",
            b'{"model": {"type": "BPE", "vocab": 7}}',
            r"a\.json: the tokenizer cannot be loaded by `tokenizers`",
        ),
        ("a.bin", b"12", r"a\.bin: expected tokenizer\.json, \.tiktoken, \.model,"),
        ("vocab.txt", b"a\nb\n", r"vocab\.txt: expected a WordPiece vocabulary with an \[UNK\] entry, found none"),
    ],
)
def test_what_is_no_tokenizer_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TokenizerError, match=message):
        load_tokenizer(tmp_path / name)


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(TokenizerError, match=r"nothing\.json: expected a tokenizer, found no such file"):
        load_tokenizer(tmp_path / "nothing.json")
    with pytest.raises(TokenizerError, match=r"expected a tokenizer in this folder .* found none"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_with_dropout_is_refused():
    content = small_tokenizer().document
    with pytest.raises(TokenizerError, match=r"x: the model has dropout 0\.1, so its ids are random"):
        from_content({**content, "model": {**content["model"], "dropout": 0.1}}, "x")


def test_a_tokenizer_travels_to_another_process():
    again = pickle.loads(pickle.dumps(small_tokenizer()))
    assert isinstance(again, Tokenizer)
    assert again == small_tokenizer()
    assert hash(again) == hash(small_tokenizer())


def test_pieces_put_together_are_the_text():
    tokenizer = small_tokenizer()
    for text in [*PROSE[:5], *UNICODE, SAMPLE]:
        assert b"".join(tokenizer.pieces[i] for i in tokenizer.encode(text)).decode() == text
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    ("piece", "begins"),
    [
        (" a", 1),
        ("a", 0),
        ("é", 0),
        ("日本", 1),
        ("ไทย", 1),
        ("7", 0),
        ("²", 0),
        ("'", 1),
        ("'s", 0),
        ("(", 1),
        ("\u0301", 0),
    ],
)
def test_what_begins_a_word(piece, begins):
    assert _begins_word(piece.encode()) == bool(begins)
    assert not _begins_word("日".encode()[1:])


def test_words_begin_where_white_space_signs_or_ideographs_stand():
    tokenizer = small_tokenizer()
    starts = {piece: bool(start) for piece, start in zip(tokenizer.pieces, tokenizer.word_start, strict=True)}
    assert starts[b" the"]
    assert starts[b"."]
    assert starts[b"\n"]
    assert starts[b"[MASK]"]
    assert not starts[b"ing"]
    assert not starts.get(b"'s", False)
    assert not starts[b"7"]
    assert not starts[b"\xa9"]
