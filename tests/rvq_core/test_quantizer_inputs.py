"""Latents with padding, and of other precisions."""

import copy

import numpy as np
import pytest
import torch
from quantizers import C, Q, assert_same_state, build, latents, quantized_by_hand, snapshot, trained
from torch import Tensor

# Padding


def padded(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same latents with padding of wild values; where they are; and what is present as one clip."""
    frames = x.shape[2]
    mask = torch.zeros(x.shape[0], frames + 3, dtype=torch.bool)
    mask[:, :frames] = True
    mask[1, 2:] = False
    full = torch.cat([x, torch.full((x.shape[0], C, 3), 1e3)], dim=2)
    full = torch.where(mask[:, None], full, -1e3)
    return full, mask, full.transpose(1, 2)[mask].t()[None]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_padding_counts_in_nothing(training, shared):
    quantizer = trained(shared_codebook=shared).train(training)
    twin = copy.deepcopy(quantizer)
    full, mask, present = padded(latents())
    torch.manual_seed(1)
    quantized, indices, loss, perplexity, codes = quantizer(full, mask=mask, return_all_codes=True)
    torch.manual_seed(1)
    expected = twin(present)
    assert torch.equal(indices[mask], expected[1][0])
    assert (indices[~mask] == -1).all()
    assert torch.equal(quantized.transpose(1, 2)[mask], expected[0][0].t())
    assert (quantized.transpose(1, 2)[~mask] == 0).all()
    assert (codes[:, ~mask] == 0).all()
    assert torch.equal(loss, expected[2])
    assert torch.equal(perplexity, expected[3])
    assert torch.equal(quantizer.last.perplexity, twin.last.perplexity)
    assert_same_state(quantizer.state_dict(), twin.state_dict())


def test_padding_gets_no_gradient():
    full, mask, _ = padded(latents())
    full.requires_grad_()
    quantized, _, loss, _ = trained()(full, mask=mask)
    (quantized.sum() + 100 * loss).backward()
    assert (full.grad.transpose(1, 2)[~mask] == 0).all()
    assert (full.grad.transpose(1, 2)[mask] != 0).all()


def test_padding_alone_leaves_the_codebooks_as_they_are():
    quantizer = trained()
    before = snapshot(quantizer)
    quantized, indices, loss, perplexity = quantizer(latents(), mask=torch.zeros(5, 7, dtype=torch.bool))
    assert (quantized == 0).all()
    assert (indices == -1).all()
    assert (loss.item(), perplexity.item()) == (0, 1)
    assert_same_state(snapshot(quantizer), before)


@pytest.mark.parametrize(
    "mask", [torch.ones(5, 7), torch.ones(7, 5, dtype=torch.bool), torch.ones(5, dtype=torch.bool)]
)
def test_a_mask_of_another_kind_is_refused(mask):
    with pytest.raises(ValueError, match=r"mask must be bool \[5, 7\]"):
        trained()(latents(), mask=mask)


# Precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("training", [True, False])
def test_latents_of_another_precision_come_back_in_it(dtype, training):
    quantizer = trained().train(training)
    x = latents().to(dtype).requires_grad_()
    codebooks = quantizer.codebooks
    quantized, indices, loss, perplexity = quantizer(x)
    assert quantized.dtype == dtype
    assert (loss.dtype, perplexity.dtype) == (torch.float32, torch.float32)
    np.testing.assert_array_equal(indices.reshape(-1, Q).numpy(), quantized_by_hand(x, codebooks)[0])
    assert {value.dtype for key, value in quantizer.state_dict().items() if "init" not in key} == {torch.float32}
    (quantized.float().sum() + loss).backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("temperature", [None, 1.0])
def test_autocast_changes_nothing(temperature):
    x = torch.randn(4, 32, 400)
    quantizer = build(nb_code=64, code_dim=32)
    quantizer(x)
    twin = copy.deepcopy(quantizer)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        results = quantizer(x, sample_codebook_temp=temperature)
    torch.manual_seed(1)
    for got, expected in zip(results, twin(x, sample_codebook_temp=temperature), strict=True):
        assert torch.equal(got, expected)
    assert_same_state(quantizer.state_dict(), twin.state_dict())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_of_another_precision_finds_its_nearest_codes(dtype):
    quantizer = build(1, nb_code=64, code_dim=16)
    quantizer(10 * torch.randn(4, 16, 64))
    quantizer.to(dtype).eval()
    x = (10 * torch.randn(20, 16, 64)).to(dtype)
    quantized, indices, _, _ = quantizer(x)
    assert quantized.dtype == dtype
    np.testing.assert_array_equal(indices.flatten().numpy(), quantized_by_hand(x, quantizer.codebooks)[0][:, 0])
    assert torch.equal(quantized, quantizer.get_codebook_entry(indices))
