"""Training an RVQ-VAE: settings, batches, losses, the loop, and what it records.

Names are imported when first used: drawing the history of a run need not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rvq_core.training.settings import TrainSettings as TrainSettings
    from rvq_core.training.snapshots import SnapshotWriter as SnapshotWriter
    from rvq_core.training.survival import code_survival as code_survival
    from rvq_core.training.survival import snapshot_trends as snapshot_trends
    from rvq_core.training.survival import survival_summary as survival_summary
    from rvq_core.training.trainer import train as train

_HOMES = {
    "SnapshotWriter": "rvq_core.training.snapshots",
    "TrainSettings": "rvq_core.training.settings",
    "code_survival": "rvq_core.training.survival",
    "snapshot_trends": "rvq_core.training.survival",
    "survival_summary": "rvq_core.training.survival",
    "train": "rvq_core.training.trainer",
}

__all__ = ["SnapshotWriter", "TrainSettings", "code_survival", "snapshot_trends", "survival_summary", "train"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
