"""Checkpoints of body parts (upper body, hands, lower body) opened together: each part, and the whole body of them.

Names are imported when first used: who only looks for sets does not wait for what analyses them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvq_core.lazy import imported_on_use

if TYPE_CHECKING:
    from rvq_core.parts.analysis import analyze_parts as analyze_parts
    from rvq_core.parts.load import PartSet as PartSet
    from rvq_core.parts.load import checkpoint_files as checkpoint_files
    from rvq_core.parts.load import load_part_set as load_part_set
    from rvq_core.parts.load import parts_named as parts_named
    from rvq_core.parts.report import WHOLE as WHOLE
    from rvq_core.parts.report import PartsReport as PartsReport
    from rvq_core.parts.whole_body import WholeBody as WholeBody

_HOMES = {
    "WHOLE": "rvq_core.parts.report",
    "PartSet": "rvq_core.parts.load",
    "PartsReport": "rvq_core.parts.report",
    "WholeBody": "rvq_core.parts.whole_body",
    "analyze_parts": "rvq_core.parts.analysis",
    "checkpoint_files": "rvq_core.parts.load",
    "load_part_set": "rvq_core.parts.load",
    "parts_named": "rvq_core.parts.load",
}

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

__getattr__ = imported_on_use(__name__, _HOMES)
