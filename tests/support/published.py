"""Tiny checkpoints as the public projects write them, and an independent reading of what they must compute.

The states below are made key by key with random weights; ``encode``, ``decode`` and ``quantize`` follow the
public description with functional calls and numpy alone, so that nothing of the product is used to check the product.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


def convolution(state: State, key: str, out: int, into: int, kernel: int) -> None:
    state[f"{key}.weight"] = torch.randn(out, into, kernel) / (into * kernel) ** 0.5
    state[f"{key}.bias"] = 0.1 * torch.randn(out)


def stack(state: State, key: str, width: int, depth: int) -> None:
    for block in range(depth):
        convolution(state, f"{key}.model.{block}.conv1", width, width, 3)
        convolution(state, f"{key}.model.{block}.conv2", width, width, 1)


def family_state(dim: int = 12, width: int = 8, code_dim: int = 6, down_t: int = 2, depth: int = 3) -> State:
    """Encoder and decoder of the convolutional family, without a quantizer."""
    state: State = {}
    convolution(state, "encoder.model.0", width, dim, 3)
    for level in range(down_t):
        convolution(state, f"encoder.model.{2 + level}.0", width, width, 4)
        stack(state, f"encoder.model.{2 + level}.1", width, depth)
    convolution(state, f"encoder.model.{2 + down_t}", code_dim, width, 3)
    convolution(state, "decoder.model.0", width, code_dim, 3)
    for level in range(down_t):
        stack(state, f"decoder.model.{2 + level}.0", width, depth)
        convolution(state, f"decoder.model.{2 + level}.2", width, width, 3)
    convolution(state, f"decoder.model.{2 + down_t}", width, width, 3)
    convolution(state, f"decoder.model.{4 + down_t}", dim, width, 3)
    return state


def codebooks(layers: int = 3, codes: int = 10, dim: int = 6) -> list[Tensor]:
    return [torch.randn(codes, dim) * 0.6**q for q in range(layers)]


def with_layers(state: State, books: Sequence[Tensor]) -> State:
    """The state with codebooks as MoMask and its relatives name them."""
    return state | {f"quantizer.layers.{q}.codebook": book for q, book in enumerate(books)}


def conv1d(state: State, key: str, x: Tensor, stride: int = 1, padding: int = 1, dilation: int = 1) -> Tensor:
    return F.conv1d(x, state[f"{key}.weight"].float(), state[f"{key}.bias"].float(), stride, padding, dilation)


def residual_stack(state: State, key: str, x: Tensor, depth: int, growth: int, act=F.relu) -> Tensor:
    for block in range(depth):
        dilation = growth ** (depth - 1 - block)
        inner = conv1d(state, f"{key}.model.{block}.conv1", act(x), padding=dilation, dilation=dilation)
        x = x + conv1d(state, f"{key}.model.{block}.conv2", act(inner), padding=0)
    return x


def encode(state: State, x: Tensor, down_t: int = 2, depth: int = 3, growth: int = 3, act=F.relu) -> Tensor:
    """[B, T, D] -> [B, C, T']."""
    x = F.relu(conv1d(state, "encoder.model.0", x.transpose(1, 2)))
    for level in range(down_t):
        x = conv1d(state, f"encoder.model.{2 + level}.0", x, stride=2)
        x = residual_stack(state, f"encoder.model.{2 + level}.1", x, depth, growth, act)
    return conv1d(state, f"encoder.model.{2 + down_t}", x)


def decode(state: State, z: Tensor, down_t: int = 2, depth: int = 3, growth: int = 3, act=F.relu) -> Tensor:
    """[B, C, T'] -> [B, T, D]."""
    x = F.relu(conv1d(state, "decoder.model.0", z))
    for level in range(down_t):
        x = residual_stack(state, f"decoder.model.{2 + level}.0", x, depth, growth, act)
        x = conv1d(state, f"decoder.model.{2 + level}.2", x.repeat_interleave(2, dim=2))
    x = F.relu(conv1d(state, f"decoder.model.{2 + down_t}", x))
    return conv1d(state, f"decoder.model.{4 + down_t}", x).transpose(1, 2)


def quantize(z: Tensor, books: list[Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Residual quantization in float64: [B, C, T] -> indices [B, T, Q], sum of codes [B, C, T]."""
    residual = z.numpy().astype(np.float64).transpose(0, 2, 1)
    total = np.zeros_like(residual)
    indices = []
    for book in books:
        codes = book.numpy().astype(np.float64)
        distance = ((residual[:, :, None] - codes) ** 2).sum(-1)
        indices.append(distance.argmin(-1))
        chosen = codes[indices[-1]]
        residual, total = residual - chosen, total + chosen
    return np.stack(indices, -1), total.transpose(0, 2, 1)
