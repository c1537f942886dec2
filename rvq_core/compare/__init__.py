"""Checkpoints side by side: what differs on the same clips, how sure that is, and what cannot be compared."""

from __future__ import annotations

from rvq_core.compare.codes import Matching
from rvq_core.compare.comparison import Comparison
from rvq_core.compare.pair import match_pair, moments_of_pair
from rvq_core.compare.run import compare

__all__ = ["Comparison", "Matching", "compare", "match_pair", "moments_of_pair"]
