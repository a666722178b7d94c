"""Removal of long strings that occur more than once in a corpus."""

from megadata.corpus.dedup.substrings.config import SubstringConfig
from megadata.corpus.dedup.substrings.run import dedup_substrings

__all__ = ["SubstringConfig", "dedup_substrings"]
