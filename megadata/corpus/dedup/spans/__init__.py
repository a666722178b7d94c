"""Removal of lines, paragraphs and sentences that repeat across a corpus."""

from megadata.corpus.dedup.spans.config import SpanConfig
from megadata.corpus.dedup.spans.report import SpanReport
from megadata.corpus.dedup.spans.run import dedup_spans

__all__ = ["SpanConfig", "SpanReport", "dedup_spans"]
