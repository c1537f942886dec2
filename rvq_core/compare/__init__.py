"""Checkpoints side by side: what differs on the same clips, how sure that is, and what cannot be compared.

Names are imported when first used: reading a comparison, or exporting one, need not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

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


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
