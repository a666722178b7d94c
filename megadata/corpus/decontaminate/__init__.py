"""Text of evaluation sets found in training documents: cut out, removed or reported."""

from megadata.corpus.decontaminate.config import DecontaminateConfig
from megadata.corpus.decontaminate.run import DecontaminateReport, SetReport, decontaminate

__all__ = ["DecontaminateConfig", "DecontaminateReport", "SetReport", "decontaminate"]
