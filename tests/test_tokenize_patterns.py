from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles_tokenize import PATTERN_NAMES, TEXTS, flat, ids_of, small_tokenizer
from tokenizers import pre_tokenizers

from megadata.errors import ConfigError
from megadata.tokenize.encode import PROBES
from megadata.tokenize.patterns import PATTERNS, byte_alphabet, pattern_of, pre_tokenizer


@pytest.mark.parametrize("name", PATTERN_NAMES)
def test_a_pattern_is_recognised_in_the_section_it_makes(name):
    assert pattern_of(pre_tokenizer(name)) == name


@pytest.mark.parametrize(
    "section",
    [
        None,
        {"type": "Whitespace"},
        {"type": "ByteLevel", "use_regex": False},
        {"type": "Sequence", "pretokenizers": []},
        {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PATTERNS["qwen"]}, "behavior": "Removed", "invert": False},
                {"type": "ByteLevel", "use_regex": False},
            ],
        },
    ],
)
def test_another_section_is_no_known_pattern(section):
    assert pattern_of(section) is None


def test_an_unknown_pattern_is_refused_with_those_there_are():
    expected = r"pattern 'cl100' is not known; expected gpt2, cl100k, o200k, qwen or llama3 \(the same as cl100k\)"
    with pytest.raises(ConfigError, match=expected):
        pre_tokenizer("cl100")
    assert pre_tokenizer("llama3") == pre_tokenizer("cl100k")


def test_the_byte_alphabet_is_that_of_tokenizers():
    assert sorted(byte_alphabet()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert byte_alphabet()[ord("a")] == "a"
    assert byte_alphabet()[ord(" ")] == "Ġ"


@pytest.mark.parametrize("name", PATTERN_NAMES)
@pytest.mark.parametrize("encoder", ["gigatoken", "tokenizers"])
@given(texts=st.lists(TEXTS, max_size=5))
def test_ids_equal_those_of_tokenizers_for_every_pattern(name, encoder, texts):
    tokenizer = small_tokenizer(name)
    ids, lengths = tokenizer.encode_batch(*flat(texts), encoder)
    assert np.split(ids, np.cumsum(lengths))[:-1] == [] or [
        part.tolist() for part in np.split(ids, np.cumsum(lengths))[:-1]
    ] == [ids_of(tokenizer, text) for text in texts]
    assert lengths.size == len(texts)


@pytest.mark.parametrize("name", PATTERN_NAMES)
def test_the_encoders_agree_on_the_probes(name):
    tokenizer = small_tokenizer(name)
    fast, fast_lengths = tokenizer.encode_batch(*flat(PROBES), "gigatoken")
    assert fast.tolist() == [number for probe in PROBES for number in ids_of(tokenizer, probe)]
    assert fast_lengths.tolist() == [len(ids_of(tokenizer, probe)) for probe in PROBES]
