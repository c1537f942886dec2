"""Checkpoints side by side: what differs on the same clips, how sure that is, and what cannot be compared.

Names are imported when first used: reading a comparison, or exporting one, need not wait for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvq_core.lazy import imported_on_use

if TYPE_CHECKING:
    from rvq_core.compare.codes import Matching as Matching
    from rvq_core.compare.comparison import Comparison as Comparison
    from rvq_core.compare.pair import match_pair as match_pair
    from rvq_core.compare.run import compare as compare

_HOMES = {
    "Comparison": "rvq_core.compare.comparison",
    "Matching": "rvq_core.compare.codes",
    "compare": "rvq_core.compare.run",
    "match_pair": "rvq_core.compare.pair",
}

__all__ = ["Comparison", "Matching", "compare", "match_pair"]

__getattr__ = imported_on_use(__name__, _HOMES)
