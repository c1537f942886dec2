"""Training an RVQ-VAE: settings, batches, losses, the loop, and what it records."""

from rvq_core.training.settings import TrainSettings
from rvq_core.training.trainer import train

__all__ = ["TrainSettings", "train"]
