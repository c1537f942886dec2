"""Training an RVQ-VAE: settings, batches, losses, the loop, and what it records.

Names are imported when first used: drawing the history of a run need not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rvq_core.training.settings import TrainSettings as TrainSettings
    from rvq_core.training.trainer import train as train

_HOMES = {"TrainSettings": "rvq_core.training.settings", "train": "rvq_core.training.trainer"}

__all__ = ["TrainSettings", "train"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
