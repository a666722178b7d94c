"""Exact and near-duplicate removal, verified and explained."""

from megadata.corpus.dedup.config import DedupConfig, MinHashConfig
from megadata.corpus.dedup.dryrun import Prediction, predict
from megadata.corpus.dedup.evidence import explain
from megadata.corpus.dedup.find import find_duplicates
from megadata.corpus.dedup.report import DedupReport
from megadata.corpus.dedup.run import dedup
from megadata.corpus.dedup.selftest import SelfTest, self_test

__all__ = [
    "DedupConfig",
    "DedupReport",
    "MinHashConfig",
    "Prediction",
    "SelfTest",
    "dedup",
    "explain",
    "find_duplicates",
    "predict",
    "self_test",
]
