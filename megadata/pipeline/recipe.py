"""Recipes: the YAML of a whole pipeline, from raw files to trained models.

::

    recipe: 1
    output: out                     # relative to the recipe
    sources:
      web: {input: [crawl/*.warc.gz], kind: web}
      books: {input: [books/], kind: books, languages: [en]}
    dedup: {threshold: 0.8, prefer: [books, web]}
    decontaminate: {against: [evals/]}
    tokenizer: {vocab_size: 8192}
    tokenize: {split: {train: 0.98, validation: 0.02}}
    blend: {weights: {web: 1, books: 2}}
    train:
      gpt: {config: gpt-mini, set: {trainer.steps: 500}}
      bert: {config: bert-mini}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from megadata.config import build, configclass, dump_yaml, load_yaml, override, to_dict
from megadata.errors import ConfigError

RECIPE_VERSION = 1

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Version -> function that turns a recipe of that version into the next."""


@configclass
class SourceConfig:
    """One named source of text."""

    input: tuple[str, ...]
    """Files, folders, globs, `@list` or URLs; relative paths are relative to the recipe, `$NAME` is read from the environment."""
    kind: Literal["auto", "web", "books", "wikipedia", "text"] = "auto"
    """What kind of text it is; decides the rules and how plain text is read."""
    rules: str | None = None
    """A shipped list, a rule-set, `none` or a YAML file; the kind decides when left out."""
    languages: tuple[str, ...] = ()
    """Keep documents in these languages only."""
    url_rules: tuple[str, ...] = ()
    """Lists of addresses whose documents are dropped; relative paths are relative to the recipe."""
    newest: bool = False
    """Of several crawls of one URL, keep the newest."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Changes to the rules: `quality.too_few_words: 20`."""
    removed: Literal["text", "ids", "none"] = "text"
    """What is kept of removed documents."""
    text_field: str = "text"
    """Field or column with the text."""
    id_field: str = "id"
    """Field or column with the document's id."""
    extractor: str = "blocks"
    """How HTML becomes text."""
    read: dict[str, Any] = Field(default_factory=dict)
    """More about reading, as `--set read.NAME=VALUE` has it: `kind: lines`."""


@configclass
class DedupSection:
    """Removal of duplicates within and between the sources."""

    threshold: float = 0.8
    """Jaccard similarity that makes a duplicate."""
    recall: float = 0.9
    """Share of the pairs at the threshold that must be found."""
    prefer: tuple[str, ...] = ()
    """Sources whose documents are kept first; those not named come last."""
    exact_only: bool = False
    """Remove only documents with the same normalised text."""


@configclass
class DecontaminateSection:
    """Removal of text that evaluation sets hold."""

    against: tuple[str, ...]
    """Evaluation sets, as inputs are named: files, folders, globs, `@list` or URLs, each also as `NAME=EVAL`."""
    fields: tuple[str, ...] = ()
    """Fields of evaluation items whose text is looked for; all when empty."""
    mode: Literal["cut", "drop"] = "cut"
    """`cut` takes out matches with their surroundings, `drop` removes whole documents."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Changes to the other settings: `common: 10`."""

    def __post_init__(self) -> None:
        if not self.against:
            raise ConfigError("decontaminate.against: expected evaluation sets, found none; name some, or leave it out")


@configclass
class TokenizerSection:
    """A tokenizer to train, or one to use."""

    path: str | None = None
    """A finished tokenizer to use; the other settings are then not read."""
    vocab_size: int = 32_768
    """Entries, special tokens included."""
    pattern: str = "gpt2"
    """How text is split before merging: gpt2, cl100k (llama3), o200k or qwen."""
    kind: Literal["bpe", "wordpiece"] = "bpe"
    """Byte-level BPE or WordPiece."""
    special: tuple[str, ...] = ("both",)
    """Special tokens in order of their ids; gpt, bert, both and none stand for the usual ones."""
    pad_vocab_to: int = 1
    """The vocabulary is padded to a multiple of this."""


@configclass
class TokenizeSection:
    """From documents to indexed datasets."""

    split: dict[str, float] = Field(default_factory=lambda: {"train": 0.98, "validation": 0.02})
    """Part of the documents in each split; needs `train` and `validation`."""
    seed: int = 0
    """Seed of the document shuffle."""

    def __post_init__(self) -> None:
        missing = {"train", "validation"} - set(self.split)
        if missing:
            raise ConfigError(f"tokenize.split: needs train and validation, found {', '.join(self.split) or 'nothing'}")


@configclass
class BlendSection:
    """How much of each source a model sees."""

    weights: dict[str, float] = Field(default_factory=dict)
    """Weight of each source; by tokens when left out."""
    weigh_by: Literal["explicit", "tokens", "documents", "equal"] | None = None
    """What a weight multiplies."""
    temperature: float = 1.0
    """Above 1 flattens the shares."""
    max_epochs: dict[str, float] = Field(default_factory=dict)
    """Most times a source may be seen."""
    seed: int = 0
    """Seed of the order of samples."""


@configclass
class TrainSection:
    """One training run."""

    config: str
    """A shipped configuration (`gpt-tiny`, `bert-tiny`, ...) or a YAML file."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Changes to it: `trainer.steps: 500`."""
    nproc: int = 1
    """Processes to train with."""


@configclass
class Recipe:
    """A whole pipeline."""

    sources: dict[str, SourceConfig]
    """Named sources; each is cleaned by itself and becomes an indexed dataset by itself."""
    output: str = "out"
    """Folder of all results, relative to the recipe."""
    dedup: DedupSection | None = Field(default_factory=DedupSection)
    """Null leaves duplicates in."""
    decontaminate: DecontaminateSection | None = None
    """Null looks for no evaluation sets."""
    tokenizer: TokenizerSection = Field(default_factory=TokenizerSection)
    """The tokenizer."""
    tokenize: TokenizeSection = Field(default_factory=TokenizeSection)
    """The indexed datasets."""
    blend: BlendSection = Field(default_factory=BlendSection)
    """The blend."""
    train: dict[str, TrainSection] = Field(default_factory=dict)
    """Named training runs over the blend."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ConfigError("sources: a recipe needs at least one source")
        for name in self.sources:
            if not name.replace("-", "").replace("_", "").isalnum():
                raise ConfigError(f"sources: {name!r}: expected letters, digits, - and _ in a source's name")
        for section, names in (
            ("dedup.prefer", self.dedup.prefer if self.dedup else ()),
            ("blend.weights", self.blend.weights),
            ("blend.max_epochs", self.blend.max_epochs),
        ):
            for name in names:
                if name not in self.sources:
                    raise ConfigError(f"{section}: {name!r} is no source; sources: {', '.join(self.sources)}")


def load_recipe(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe, bring it to the current version and apply `--set` changes.

    Raises
    ------
    ConfigError
        If the file is no recipe, of a newer version, or a key or value does not belong.
    """
    content = load_yaml(path)
    version = content.pop("recipe", None)
    if not isinstance(version, int):
        raise ConfigError(
            f"{path}: expected a recipe with `recipe: {RECIPE_VERSION}` at its top, found none; is it a recipe?"
        )
    if version > RECIPE_VERSION:
        raise ConfigError(
            f"{path}: recipe version {version}, this megadata reads up to {RECIPE_VERSION}; upgrade megadata"
        )
    for older in range(version, RECIPE_VERSION):
        content = MIGRATIONS[older](content)
    try:
        return build(Recipe, override(content, overrides), str(path))
    except ConfigError as error:
        raise error if str(error).startswith(str(path)) else ConfigError(f"{path}: {error}") from error


def recipe_text(recipe: Recipe) -> str:
    """A recipe as YAML, with its version, for `init` and for the record beside the results."""
    return dump_yaml({"recipe": RECIPE_VERSION, **_plain(to_dict(recipe))})


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
