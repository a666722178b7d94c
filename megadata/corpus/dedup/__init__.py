"""Exact and near-duplicate removal, verified and explained."""

from megadata.corpus.dedup.config import DedupConfig, MinHashConfig
from megadata.corpus.dedup.evidence import explain
from megadata.corpus.dedup.find import find_duplicates
from megadata.corpus.dedup.run import DedupReport, dedup

__all__ = ["DedupConfig", "DedupReport", "MinHashConfig", "dedup", "explain", "find_duplicates"]
