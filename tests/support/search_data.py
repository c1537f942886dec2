"""Tokens and codebooks that are searched in tests, common ones and hard ones, what is to be found, and settings."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def by_float64(tokens: Tensor, codebook: Tensor) -> np.ndarray:
    """Brute force: squared differences in float64, the first of equals."""
    codes = codebook.double().numpy()
    return np.array([((codes - token) ** 2).sum(axis=1).argmin() for token in tokens.double().numpy()], dtype=np.int64)


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """In the block torch may round factors of products, as ``torch.set_float32_matmul_precision`` tells."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def random_data() -> tuple[Tensor, Tensor]:
    return torch.randn(500, 16), torch.randn(100, 16)


def clustered_data() -> tuple[Tensor, Tensor]:
    centres = torch.randn(5, 16)
    codebook = centres.repeat(20, 1) + 1e-4 * torch.randn(100, 16)
    return centres.repeat(100, 1) + 1e-4 * torch.randn(500, 16), codebook


def near_tie_data() -> tuple[Tensor, Tensor]:
    # Tokens half way between two codes, off by a few units in the last place.
    codebook = torch.randn(60, 16)
    middle = (codebook[torch.arange(500) % 60] + codebook[(torch.arange(500) * 7 + 1) % 60]) / 2
    return middle * (1 + 2e-7 * torch.randn(500, 16)), codebook


def far_data() -> tuple[Tensor, Tensor]:
    # |c|^2 is about 1.6e7, where float32 steps are 1; the distances are about 1e-5.
    return 1000 + 1e-3 * torch.randn(500, 16), 1000 + 1e-3 * torch.randn(100, 16)


def one_far_dimension() -> tuple[Tensor, Tensor]:
    tokens, codebook = random_data()
    tokens[:, 3] += 1e5
    codebook[:, 3] += 1e5
    return tokens, codebook


def tiny_data() -> tuple[Tensor, Tensor]:
    # The products of such values lie among the subnormal numbers.
    return 1e-22 * torch.randn(500, 16), 1e-22 * torch.randn(100, 16)


def large_data() -> tuple[Tensor, Tensor]:
    return 1e17 * torch.randn(500, 16), 1e17 * torch.randn(100, 16)


def few_values() -> tuple[Tensor, Tensor]:
    # Coordinates 0 or 1: exact ties everywhere, among different codes and among equal ones.
    return torch.randint(2, (500, 6)).float(), torch.randint(2, (100, 6)).float()


def many_dimensions() -> tuple[Tensor, Tensor]:
    # Large enough that processors with bfloat16 units use them where torch may.
    return torch.randn(1000, 128), torch.randn(512, 128)


DATA = [
    random_data, clustered_data, near_tie_data, far_data, one_far_dimension, tiny_data, large_data, few_values,
]  # fmt: skip
