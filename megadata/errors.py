"""Every exception megadata raises on purpose.

MegadataError
├── ConfigError            fix the recipe, the rules or the flag
├── CorpusError            fix the input file
│   └── IndexFormatError   an indexed dataset (.bin/.idx or a sidecar) is not what it should be
├── TokenizerError         a tokenizer cannot be read, or does not fit the data
├── OutputError            the place to write to: full, locked, or holding something else
├── WorkerError            a worker process died or raised
└── TrainingError          a run cannot start or go on

Every message says where, what was expected, what was found and what to do. The command line prints it as one line.
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "CorpusError",
    "IndexFormatError",
    "MegadataError",
    "OutputError",
    "TokenizerError",
    "TrainingError",
    "WorkerError",
]


class MegadataError(Exception):
    """Base of all errors that are the user's to fix."""


class ConfigError(MegadataError):
    """A recipe, a rule list, a configuration or a flag is wrong."""


class CorpusError(MegadataError):
    """An input file is missing, damaged or not of the kind it should be."""


class IndexFormatError(CorpusError):
    """An indexed dataset or one of its sidecars is damaged or of another version."""


class TokenizerError(MegadataError):
    """A tokenizer cannot be read or does not fit the data."""


class OutputError(MegadataError):
    """The output cannot be written: disk full, folder locked, or something else lies there."""


class WorkerError(MegadataError):
    """Units of work could not be finished because their workers died or raised."""


class TrainingError(MegadataError):
    """A training run cannot start or cannot go on."""
