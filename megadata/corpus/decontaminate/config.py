"""Configuration of decontamination."""

from __future__ import annotations

from typing import Literal

from megadata.config import configclass
from megadata.corpus.dedup import normaliser
from megadata.documents.source import ReadOptions
from megadata.errors import ConfigError
from megadata.kernels import ngrams
from megadata.kernels.shingles import PUNCTUATION, SPACE
from megadata.runtime.shards import SHARD_BYTES
from megadata.runtime.units import UNIT_BYTES

_LEAST = {"words": 1, "shortest": 1, "margin": 0, "least_piece": 1, "most_pieces": 1}
_KIND = 24


@configclass
class DecontaminateConfig:
    """What counts as text of an evaluation set, and what becomes of documents that hold some."""

    mode: Literal["cut", "drop", "report"] = "cut"
    """`cut` takes out matches with their surroundings, `drop` removes whole documents, `report` writes no documents."""
    fields: tuple[str, ...] = ()
    """Fields of evaluation items whose text is looked for, as dotted paths; all when empty."""
    items: tuple[str, ...] = ()
    """Keys of lists inside evaluation records, each within the one before, whose elements are items; SQuAD's are known."""
    words: int = 13
    """Words of an n-gram: 13 as in GPT-3 (Brown et al. 2020, arXiv:2005.14165, appendix C) and Megatron-LM."""
    shortest: int = 8
    """Texts of fewer than `words` words, down to this many, are looked for as a whole; shorter ones are not."""
    margin: int = 200
    """Characters on each side of a match that are cut out with it, and from there on what belongs to the same sentence."""
    least_piece: int = 200
    """Pieces left by cuts that have fewer characters are dropped."""
    most_pieces: int = 10
    """Documents of which more pieces would be left are removed whole."""
    ends: str = ".!?。！？\n"
    """Characters that end a sentence, at which cuts begin and end."""
    common: int | None = None
    """N-grams in more documents than this are no match: common phrases, or text that leaked often. None: every n-gram counts."""
    most_items: int = 100
    """N-grams in more evaluation texts than this are a form of the set, and told of the first of these texts alone."""
    removed: Literal["text", "ids", "none"] = "text"
    """What is kept of removed documents, and of the originals of those that were cut."""
    form: Literal["jsonl.zst", "parquet"] = "jsonl.zst"
    """File format of the shards."""
    read: ReadOptions = ReadOptions()
    """How inputs are read."""
    evaluation: ReadOptions = ReadOptions()
    """How evaluation sets are read; their texts are those of `fields`."""
    unit_bytes: int = UNIT_BYTES
    """Bytes of input a unit of work holds."""
    shard_bytes: int = SHARD_BYTES
    """Decoded bytes a shard holds."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"decontaminate: {name} must be at least {least}, got {value}")
        for name in ("common", "most_items"):
            if (given := getattr(self, name)) is not None and given < 1:
                raise ConfigError(f"decontaminate: {name} must be at least 1, got {given}")
        longest = (ngrams.LONGEST - 1) // ngrams.WORD
        if self.words > longest:
            raise ConfigError(f"decontaminate: words must be at most {longest}, got {self.words}")
        if self.shortest > self.words:
            raise ConfigError(f"decontaminate: shortest must be at most words ({self.words}), got {self.shortest}")
        wrong = [one for one in self.ends if not _parts_words(one)]
        if wrong or not self.ends:
            raise ConfigError(
                f"decontaminate: ends must be punctuation or space that parts words, got {(wrong or [''])[0]!r}"
            )


def _parts_words(character: str) -> bool:
    """Whether cutting at a character never cuts a word, so that pieces hold no words that the document had not."""
    entries = normaliser.table()
    return ord(character) < entries.size and entries[ord(character)] >> _KIND in (SPACE, PUNCTUATION)
