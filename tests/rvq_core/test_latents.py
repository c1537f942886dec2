"""Sums of codes against additions written out."""

import pytest
import torch

from rvq_core.latents import sum_of_codes

Q, K, C = 4, 9, 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("tokens", [0, 1, K - 1, K, 200])
@pytest.mark.parametrize("given", [0, 1, Q])
def test_codes_are_added_in_the_order_of_layers_bit_for_bit(dtype, tokens, given):
    codebooks = [torch.randn(K, C).to(dtype) for _ in range(Q)]
    indices = torch.randint(-1, K, (tokens, given))
    found = sum_of_codes(indices, codebooks)
    assert found.dtype == dtype
    assert found.shape == (tokens, C)
    for sums, row in zip(found, indices.tolist(), strict=True):
        wanted = torch.zeros(C, dtype=dtype)
        for idx, codebook in zip(row, codebooks, strict=False):
            if idx >= 0:
                wanted = wanted + codebook[idx]
        assert torch.equal(sums, wanted)


def test_codebooks_and_indices_are_left_as_they_are():
    codebooks = [torch.randn(K, C) for _ in range(Q)]
    indices = torch.full((200, Q), -1)
    before = [codebook.clone() for codebook in codebooks]
    assert (sum_of_codes(indices, codebooks) == 0).all()
    assert (indices == -1).all()
    assert all(torch.equal(one, other) for one, other in zip(codebooks, before, strict=True))
