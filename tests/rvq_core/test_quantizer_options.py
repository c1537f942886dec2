"""Options of ResidualVQ, each against a formula of its own."""

import numpy as np
import pytest
import torch

from rvq_core.latents import rotated
from rvq_core.quantizer import ResidualVQ


def build(**options) -> ResidualVQ:
    torch.manual_seed(0)
    quantizer = ResidualVQ(4, quantize_dropout_prob=0.5, nb_code=8, code_dim=3, **options)
    quantizer(torch.randn(6, 3, 10))
    return quantizer


class TestDropoutPerSample:
    def test_each_sample_is_cut_by_itself(self):
        quantizer = build(dropout_per_sample=True, quantize_dropout_cutoff_index=1)
        x = torch.randn(4000, 3, 2)
        before = quantizer.codebooks.clone()
        quantized, indices, *_, codes = quantizer(x, return_all_codes=True)
        kept = (indices >= 0).sum(dim=2)
        assert torch.equal(kept[:, 0], kept[:, 1])
        for q in range(4):
            assert torch.equal(indices[:, :, q] >= 0, kept > q)
        # Half of them are not cut; of the others as many are cut to 2, 3 and 4 layers.
        share = np.bincount(kept[:, 0], minlength=5) / 4000
        np.testing.assert_allclose(share, [0, 0, 1 / 6, 1 / 6, 1 / 2 + 1 / 6], atol=0.03)
        residual = x.transpose(1, 2).double()
        total = torch.zeros_like(residual)
        for q in range(4):
            nearest = torch.cdist(residual, before[q].double()).argmin(dim=2)
            on = indices[:, :, q] >= 0
            assert torch.equal(indices[:, :, q][on], nearest[on])
            added = before[q].double()[nearest] * on[..., None]
            total, residual = total + added, residual - added
            torch.testing.assert_close(codes[q].double(), added)
        torch.testing.assert_close(quantized.transpose(1, 2).double(), total, atol=1e-5, rtol=1e-5)

    def test_codebooks_follow_the_tokens_that_reach_them(self):
        quantizer = build(dropout_per_sample=True)
        layers = quantizer.ema_layers()
        before = [layer.code_count.double().sum().item() for layer in layers]
        x = torch.randn(50, 3, 7)
        _, indices, *_ = quantizer(x)
        for q, layer in enumerate(layers):
            reached = int((indices[..., q] >= 0).sum())
            assert layer.code_count.double().sum().item() == pytest.approx(0.99 * before[q] + 0.01 * reached, rel=1e-5)

    def test_the_loss_is_the_mean_over_layers_of_that_of_their_tokens(self):
        quantizer = build(dropout_per_sample=True)
        before = quantizer.codebooks.clone()
        x = torch.randn(50, 3, 7)
        _, indices, loss, _ = quantizer(x)
        residual, losses = x.transpose(1, 2), []
        for q in range(4):
            on = indices[..., q] >= 0
            residual = torch.where(on[..., None], residual - before[q][indices[..., q].clamp(min=0)], residual)
            losses.append(2 * residual[on].square().mean())
        assert float(loss) == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)

    def test_padding_has_no_part(self):
        quantizer = build(dropout_per_sample=True)
        mask = torch.arange(7) < torch.randint(0, 8, (50, 1))
        quantized, indices, *_ = quantizer(torch.randn(50, 3, 7), mask=mask)
        assert bool((indices[~mask] == -1).all()) and bool((indices[mask][:, 0] >= 0).all())
        assert not quantized.transpose(1, 2)[~mask].any()

    def test_in_eval_and_where_forced_all_samples_are_alike(self):
        quantizer = build(dropout_per_sample=True)
        x = torch.randn(50, 3, 7)
        assert ((quantizer(x, force_dropout_index=2)[1] >= 0).sum(dim=2) == 2).all()
        assert (quantizer.eval()(x)[1] >= 0).all()

    def test_without_it_a_batch_is_cut_as_one(self):
        quantizer = build()
        kept = [set((quantizer(torch.randn(30, 3, 2))[1] >= 0).sum(dim=2).flatten().tolist()) for _ in range(20)]
        assert all(len(one) == 1 for one in kept) and len(set.union(*kept)) > 1


class TestRotationTrick:
    def jacobian(self, e: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Of the turn of e onto q in their plane, by Rodrigues' formula for any dimension, times the scale."""
        a = e / np.linalg.norm(e)
        b = q / np.linalg.norm(q)
        plane = np.outer(b, a) - np.outer(a, b)
        turn = np.eye(len(e)) + plane + plane @ plane / (1 + a @ b)
        return turn * np.linalg.norm(q) / np.linalg.norm(e)

    def test_values_are_the_codes_and_gradients_are_turned_onto_them(self):
        rng = np.random.default_rng(0)
        e, q, g = rng.normal(size=(3, 2, 5, 4))
        x = torch.tensor(e, requires_grad=True)
        out = rotated(torch.tensor(q), x)
        assert torch.equal(out, torch.tensor(q))
        out.backward(torch.tensor(g))
        assert x.grad is not None
        for sample in range(2):
            for t in range(4):
                turn = self.jacobian(e[sample, :, t], q[sample, :, t])
                np.testing.assert_allclose(turn @ e[sample, :, t], q[sample, :, t], atol=1e-9)
                np.testing.assert_allclose(x.grad[sample, :, t], turn.T @ g[sample, :, t], atol=1e-9)

    def test_latents_without_length_have_finite_gradients(self):
        x = torch.zeros(1, 3, 2, requires_grad=True)
        rotated(torch.tensor([[[0.0, 1.0], [0.0, 2.0], [0.0, 0.0]]]), x).sum().backward()
        assert x.grad is not None and bool(torch.isfinite(x.grad).all())

    def test_the_quantizer_uses_it_in_training(self):
        for options, alike in (({"rotation_trick": True}, False), ({}, True)):
            quantizer = build(**options)
            x = torch.randn(3, 3, 5, requires_grad=True)
            out = quantizer(x)[0]
            g = torch.randn(3, 3, 5)
            (found,) = torch.autograd.grad(out, x, g)
            assert torch.equal(found, g) is alike
            if not alike:
                turn = self.jacobian(x[0, :, 0].detach().double().numpy(), out[0, :, 0].detach().double().numpy())
                np.testing.assert_allclose(found[0, :, 0], turn.T @ g[0, :, 0].double().numpy(), rtol=1e-4, atol=1e-5)
