"""Checkpoints of body parts (upper body, hands, lower body) opened together: each part, and the whole body of them."""

from rvq_core.parts.analysis import analyze_parts
from rvq_core.parts.load import PartSet, checkpoint_files, load_part_set, parts_named
from rvq_core.parts.report import WHOLE, PartsReport
from rvq_core.parts.whole_body import WholeBody

__all__ = [
    "WHOLE",
    "PartSet",
    "PartsReport",
    "WholeBody",
    "analyze_parts",
    "checkpoint_files",
    "load_part_set",
    "parts_named",
]
