"""One step: its gradients and its precision."""

import pytest
import torch
from training_process import random_walks, settings_of

from rvq_core.training.corpus import split_corpus
from rvq_core.training.run import Run


def begun(**changed) -> Run:
    settings = settings_of(**changed)
    return Run.begun(split_corpus(random_walks(), settings), settings)


def gradients(run: Run) -> torch.Tensor:
    run.step()
    return torch.cat([weight.grad.flatten().double() for weight in run.model.parameters() if weight.grad is not None])


def test_gradients_of_a_larger_norm_are_scaled_to_it():
    free = gradients(begun())
    norm = float(free.square().sum().sqrt())
    clipped = gradients(begun(grad_clip=norm / 3))
    torch.testing.assert_close(clipped, free / 3, rtol=1e-4, atol=1e-9)
    assert torch.equal(gradients(begun(grad_clip=norm * 3)), free)


def test_in_bf16_encoder_and_decoder_compute_in_it_and_the_quantizer_does_not():
    run = begun(precision="bf16", quantize_dropout_prob=0.0)
    seen = {}
    for name in ("encoder", "decoder"):
        getattr(run.model, name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.dtype}))
    layer = run.model.quantizer.ema_layers()[0]
    search, update = layer.search, layer.update_codebook

    def seen_search(temperature=None):
        found = search(temperature)

        def seen_tokens(tokens, lengths):
            seen["distances"] = tokens.dtype
            return found(tokens, lengths)

        return seen_tokens

    def seen_update(tokens, idx):
        seen["ema"] = tokens.dtype
        return update(tokens, idx)

    layer.search, layer.update_codebook = seen_search, seen_update
    losses = run.step()
    half, full = torch.bfloat16, torch.float32
    assert seen == {"encoder": half, "decoder": half, "distances": full, "ema": full}
    assert {value.dtype for value in run.model.state_dict().values()} == {full, torch.bool}
    assert losses.total.dtype == full
    exact = begun(quantize_dropout_prob=0.0).step()
    assert float(losses.total) == pytest.approx(float(exact.total), rel=0.03)
    assert float(losses.total) != float(exact.total)
