"""Loading a tokenizer from whatever form it was published in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from megadata.errors import TokenizerError
from megadata.tokenize.convert import from_ranks, from_vocabulary_and_merges, from_word_list, is_rank_file
from megadata.tokenize.sentencepiece import from_sentencepiece
from megadata.tokenize.specials import roles
from megadata.tokenize.tokenizer import Tokenizer, canonical

_MERGES_OF = {"vocab.json": ("merges.txt", "vocab.bpe"), "encoder.json": ("vocab.bpe", "merges.txt")}
_FOLDER = (
    "tokenizer.json",
    "vocab.json",
    "encoder.json",
    "vocab.txt",
    "tokenizer.model",
    "sentencepiece.model",
    "spiece.model",
)


def load_tokenizer(path: Path | str, *, check: bool = True) -> Tokenizer:
    """Read a tokenizer.

    `path` is a ``tokenizer.json``, a rank file (``.tiktoken``), a SentencePiece ``.model``, a ``vocab.json`` or
    ``encoder.json`` with its merges beside it, a WordPiece ``vocab.txt``, or a folder that holds one of these (a
    `transformers` model folder, whose ``tokenizer_config.json`` then names the special tokens). Without `check`, what only
    `tokenizers` can tell of a damaged one is left to the first use of `Tokenizer.library`.

    Raises
    ------
    TokenizerError
        When there is no such file, it is of no known kind, or it is damaged.
    """
    path = Path(path)
    if path.is_dir():
        return _load_folder(path, check)
    if not path.is_file():
        raise TokenizerError(
            f"{path}: expected a tokenizer, found no such file; train one with `megadata train-tokenizer`"
        )
    return _make(_content(path), path, {}, check)


def from_content(
    content: Mapping[str, Any], where: str, config: Mapping[str, Any] | None = None, check: bool = True
) -> Tokenizer:
    """The tokenizer that the parsed content of a tokenizer.json describes; `where` names it in messages."""
    try:
        kept = canonical(content)
        special = {token["content"]: int(token["id"]) for token in kept["added_tokens"] if token.get("special")}
        entries = kept["model"]["vocab"]
        if isinstance(entries, dict):  # tokens that the configuration names need not be among the added ones
            named = {name for value in (config or {}).values() for name in _names(value)}
            special.update({name: int(entries[name]) for name in named if name in entries})
        dropout = kept["model"].get("dropout")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TokenizerError(
            f"{where}: expected the content of a tokenizer.json, found something else ({type(error).__name__}: {error}); "
            "check the file"
        ) from error
    if dropout:
        raise TokenizerError(
            f"{where}: the model has dropout {dropout}, so its ids are random; set model.dropout to null in the file"
        )
    made = Tokenizer(orjson.dumps(kept, option=orjson.OPT_SORT_KEYS), roles(special, config))
    try:
        _ = made.library if check else None
    except TokenizerError as error:
        raise TokenizerError(f"{where}: {error}") from error
    return made


def _names(value: Any) -> list[str]:
    """The token a field of tokenizer_config.json names, written as text or as an object."""
    named = value.get("content") if isinstance(value, Mapping) else value
    return [named] if isinstance(named, str) else []


def _make(content: dict[str, Any], path: Path, config: dict[str, Any], check: bool) -> Tokenizer:
    return from_content(content, str(path), config, check)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise TokenizerError(f"{path}: expected JSON, found something else ({error}); fetch the file again") from error
    if not isinstance(content, dict):
        raise TokenizerError(f"{path}: expected a JSON object, found {type(content).__name__}; is this a tokenizer?")
    return content


def _content(path: Path, lowercase: bool | None = None) -> dict[str, Any]:
    """The content of a tokenizer.json, whatever form the file has."""
    if path.suffix == ".json":
        content = _json(path)
        return content if isinstance(content.get("model"), dict) else _vocabulary(path, content)
    if path.suffix in (".bpe", ".txt") and not path.name.endswith("vocab.txt"):
        partner = _beside(
            path, {v: (k,) for k, vs in _MERGES_OF.items() for v in vs} | {"merges.txt": tuple(_MERGES_OF)}
        )
        return from_vocabulary_and_merges(_json(partner), path, partner)
    with path.open("rb") as file:
        head = file.read(4096)
    readers: list[tuple[bool, Callable[[Path], dict[str, Any]]]] = [
        (is_rank_file(head), from_ranks),
        (path.suffix == ".model", from_sentencepiece),
        (path.suffix == ".txt", lambda p: from_word_list(p, lowercase)),
    ]
    for matches, reader in readers:
        if matches:
            return reader(path)
    raise TokenizerError(
        f"{path}: expected tokenizer.json, .tiktoken, .model, vocab.json with merges.txt, or vocab.txt, found none of these; "
        "save the tokenizer as tokenizer.json"
    )


def _vocabulary(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    if not all(isinstance(number, int) for number in content.values()):
        raise TokenizerError(
            f"{path}: expected a tokenizer.json or a vocabulary, found other JSON; is this the right file?"
        )
    merges = _beside(path, _MERGES_OF)
    return from_vocabulary_and_merges(content, merges, path)


def _beside(path: Path, partners: Mapping[str, tuple[str, ...]]) -> Path:
    """The other file of a pair; a common prefix (``gpt2-vocab.json``, ``gpt2-merges.txt``) is kept."""
    for ending, others in partners.items():
        if path.name.endswith(ending):
            prefix = path.name.removesuffix(ending)
            for other in others:
                if (found := path.with_name(prefix + other)).is_file():
                    return found
            raise TokenizerError(
                f"{path}: expected {prefix}{others[0]} beside it, found none; put both files in one folder"
            )
    raise TokenizerError(
        f"{path}: expected a name that ends in {' or '.join(partners)}; rename it or use a tokenizer.json"
    )


def _load_folder(folder: Path, check: bool) -> Tokenizer:
    config = _json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    lowercase = config.get("do_lower_case")
    ranked = sorted(folder.glob("*.tiktoken"))
    named = [folder / name for name in _FOLDER if (folder / name).is_file()]
    alone = sorted([*folder.glob("*tokenizer.json"), *folder.glob("*vocab.json")])
    for path in [*named, *ranked[:1], *alone[:1]]:
        return _make(_content(path, lowercase if isinstance(lowercase, bool) else None), path, config, check)
    raise TokenizerError(
        f"{folder}: expected a tokenizer in this folder ({', '.join(_FOLDER)}), found none; check the path"
    )
