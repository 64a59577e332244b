"""Duplicates: exact, near (MinHash-LSH with verified Jaccard), clusters, and evaluation data found in documents."""

from kodata.dedup.config import DedupConfig
from kodata.dedup.shingles import jaccard
from kodata.dedup.verb import dedup

__all__ = ["DedupConfig", "dedup", "jaccard"]
