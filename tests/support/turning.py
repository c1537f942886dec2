"""A checkpoint and a clip that are made at once: random weights, random rotations."""

from pathlib import Path

import numpy as np
import torch

from rvq_core.autoencoder import RVQVAE, RVQVAEConfig
from rvq_core.clips import Clip
from rvq_core.clips.smplx import canonical_skeleton
from rvq_core.loading import Checkpoint, Normalizer


def checkpoint(dim: int, quantizers: int = 3, representation: str | None = None) -> Checkpoint:
    """A whole model of a few kilobytes."""
    config = RVQVAEConfig(input_dim=dim, width=8, code_dim=4, nb_code=16, num_quantizers=quantizers, depth=1)
    model = RVQVAE(config).eval()
    for number, layer in enumerate(model.quantizer.ema_layers()):
        layer.codebook.copy_(torch.randn(16, 4) * 0.3 / 2**number)
        layer.init.fill_(True)
    normalizer = Normalizer(torch.randn(dim) * 0.1, torch.rand(dim) + 0.5)
    return Checkpoint(
        Path("x"), "x", "rvq-lens", "0" * 64, model.quantizer, config, model, normalizer, representation, 30.0
    )


def turning(frames: int, translation: bool = True) -> Clip:
    """Random rotations, and a walk along x."""
    features = np.random.default_rng(0).normal(size=(frames, 330)).astype(np.float32)
    path = np.zeros((frames, 3), np.float32)
    path[:, 0] = np.arange(frames) / 30
    skeleton = canonical_skeleton()
    return Clip("walk", 30.0, features, "smplx_rot6d", skeleton, translation=path if translation else None)
