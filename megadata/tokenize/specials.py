"""Special tokens: which tokens mean what, whatever their author called them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

EOD = "<|endoftext|>"

KNOWN: dict[str, tuple[str, ...]] = {
    "bos": ("<|begin_of_text|>", "<s>", "<bos>", "[BOS]", "<|startoftext|>"),
    "eod": (EOD, "<|end_of_text|>", "</s>", "<eos>", "[EOS]", "<eod>"),
    "cls": ("[CLS]", "<cls>"),
    "sep": ("[SEP]", "<sep>"),
    "mask": ("[MASK]", "<mask>", "<|mask|>"),
    "pad": ("[PAD]", "<pad>", "<|padding|>", "<|pad|>", "<|finetune_right_pad_id|>"),
    "unk": ("[UNK]", "<unk>"),
    "fim_prefix": ("<|fim_prefix|>", "<fim_prefix>", "<fim-prefix>", "<PRE>", "<|prefix|>"),
    "fim_middle": ("<|fim_middle|>", "<fim_middle>", "<fim-middle>", "<MID>", "<|middle|>"),
    "fim_suffix": ("<|fim_suffix|>", "<fim_suffix>", "<fim-suffix>", "<SUF>", "<|suffix|>"),
}
"""Role -> the tokens that play it, the usual one first."""

GPT_SPECIALS = (EOD, "[PAD]")
BERT_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", EOD)
DEFAULT_SPECIALS = (EOD, "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""What a new tokenizer holds unless told otherwise: enough for GPT and BERT alike."""

PRESETS: dict[str, tuple[str, ...]] = {"gpt": GPT_SPECIALS, "bert": BERT_SPECIALS, "both": DEFAULT_SPECIALS, "none": ()}
"""Names that stand for several special tokens."""

_CONFIG_KEYS = {
    "bos": "bos_token",
    "eod": "eos_token",
    "cls": "cls_token",
    "sep": "sep_token",
    "mask": "mask_token",
    "pad": "pad_token",
    "unk": "unk_token",
}


def added_token(token: str, number: int) -> dict[str, Any]:
    """An entry of a tokenizer.json's ``added_tokens`` for a special token."""
    return {
        "id": number,
        "content": token,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def expand(special: Iterable[str]) -> tuple[str, ...]:
    """Special tokens, with presets (gpt, bert, both, none) written out; a token that comes again is named once."""
    written = [token for name in special for token in PRESETS.get(name, (name,))]
    return tuple(dict.fromkeys(written))


def transformers_config(tokens: Mapping[str, str], wordpiece: bool) -> dict[str, Any]:
    """The ``tokenizer_config.json`` by which `transformers` loads a folder with a tokenizer.json; `tokens`: role -> token."""
    inputs = ["input_ids", *(["token_type_ids"] if wordpiece else []), "attention_mask"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_input_names": inputs,
        **{_CONFIG_KEYS[role]: token for role, token in sorted(tokens.items())},
    }


def known_special(token: str) -> bool:
    """Whether a vocabulary entry is one of the well-known special tokens."""
    return any(token in tokens for tokens in KNOWN.values())


def roles(ids: Mapping[str, int], config: Mapping[str, Any] | None = None) -> dict[str, int]:
    """Role -> id, from a ``tokenizer_config.json`` where there is one, else by the tokens' usual names.

    `ids` maps the tokenizer's special tokens to their ids.
    """
    found: dict[str, int] = {}
    for role, names in KNOWN.items():
        named = (config or {}).get(_CONFIG_KEYS.get(role, ""))
        token = named.get("content") if isinstance(named, Mapping) else named
        candidates = ([token] if isinstance(token, str) else []) + list(names)
        chosen = next((ids[c] for c in candidates if c in ids), None)
        if chosen is not None:
            found[role] = chosen
    return found
