"""Small quantizers, and what they do by hand in numpy, for tests of the quantizer."""

import math

import numpy as np
import torch
from torch import Tensor

from rvq_core.quantizer import ResidualVQ

Q, K, C = 3, 8, 4


def build(num_quantizers: int = Q, **options: object) -> ResidualVQ:
    """A small quantizer in training mode, without random dropout unless asked for."""
    settings = {"nb_code": K, "code_dim": C, "quantize_dropout_prob": 0.0} | options
    return ResidualVQ(num_quantizers, **settings)


def trained(num_quantizers: int = Q, steps: int = 3, **options: object) -> ResidualVQ:
    """The same after some steps, still in training mode."""
    quantizer = build(num_quantizers, **options)
    for _ in range(steps):
        quantizer(latents())
    return quantizer


def latents(batch: int = 5, frames: int = 7, dim: int = C) -> Tensor:
    return torch.randn(batch, dim, frames)


def as_tokens(x: Tensor) -> np.ndarray:
    """[B, C, T] -> float64 [B T, C]."""
    return np.stack([x.detach().double().numpy()[b, :, t] for b in range(x.shape[0]) for t in range(x.shape[2])])


def nearest(tokens: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    return ((tokens[:, None] - codebook[None]) ** 2).sum(-1).argmin(1)


def perplexity_of(indices: np.ndarray, codes: int = K) -> float:
    share = np.bincount(indices, minlength=codes) / len(indices)
    return math.exp(-(share * np.log(share + 1e-7)).sum())


def quantized_by_hand(x: Tensor, codebooks: Tensor) -> tuple[np.ndarray, list[np.ndarray], list[float]]:
    """Indices [N, q] of tokens, the residuals that entered each layer and, last, what is left; loss of each layer."""
    residuals, indices, losses = [as_tokens(x)], [], []
    for codebook in codebooks.double().numpy():
        indices.append(nearest(residuals[-1], codebook))
        residuals.append(residuals[-1] - codebook[indices[-1]])
        losses.append(2 * float((residuals[-1] ** 2).mean()))
    return np.stack(indices, axis=1), residuals, losses


def snapshot(quantizer: ResidualVQ) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in quantizer.state_dict().items()}


def assert_same_state(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []
