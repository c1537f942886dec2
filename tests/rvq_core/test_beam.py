import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from rvq_core import beam as beam_module
from rvq_core import load_checkpoint, load_clips
from rvq_core.beam import beam_codes, distortion, sum_of_codes
from rvq_core.bundled import bundled_checkpoints, bundled_clips
from rvq_core.quantizer import ResidualVQ
from rvq_core.tokens import Pipeline


def make(quantizers: int = 3, codes: int = 6, dim: int = 4, *, shared: bool = False) -> ResidualVQ:
    """A quantizer of random codes, smaller ones in deeper layers unless they are shared."""
    quantizer = ResidualVQ(quantizers, shared, nb_code=codes, code_dim=dim)
    for q, layer in enumerate(quantizer.ema_layers()):
        layer.codebook.copy_(torch.randn(codes, dim) / (1 if shared else 1.5**q))
        layer.init.fill_(True)
    return quantizer.eval()


def greedy(quantizer: ResidualVQ, tokens: Tensor) -> Tensor:
    """What the quantizer's own forward chooses for tokens [N, C]."""
    return quantizer(tokens.t()[None])[1][0]


def by_loops(quantizer: ResidualVQ, token: np.ndarray, beam: int) -> tuple[int, ...]:
    """Beam search of one token written out in float64: sort all continuations, keep the first ``beam``."""
    kept = [((), token.astype(np.float64))]
    for layer in quantizer.ema_layers():
        codes = layer.codebook.double().numpy()
        longer = [((*path, k), left - codes[k]) for path, left in kept for k in range(len(codes))]
        kept = sorted(longer, key=lambda item: float(np.square(item[1]).sum()))[:beam]
    return kept[0][0]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("quantizers", "codes"), [(1, 1), (1, 7), (4, 1), (3, 6), (5, 300)])
def test_beam_one_is_greedy_index_for_index(quantizers, codes, shared):
    quantizer, tokens = make(quantizers, codes, shared=shared), torch.randn(200, 4)
    np.testing.assert_array_equal(beam_codes(quantizer, tokens, 1), greedy(quantizer, tokens))


@pytest.mark.parametrize("beam", [2, 4, 16])
@pytest.mark.parametrize("shared", [False, True])
def test_no_token_is_farther_than_with_greedy_encoding(beam, shared):
    quantizer, tokens = make(6, 12, 8, shared=shared), torch.randn(400, 8)
    found = distortion(quantizer, tokens, beam_codes(quantizer, tokens, beam))
    base = distortion(quantizer, tokens, greedy(quantizer, tokens))
    assert (found <= base).all()
    assert found.sum() < 0.97 * base.sum()


@pytest.mark.parametrize("beam", [2, 5])
def test_it_keeps_what_a_plain_loop_keeps_or_the_greedy_path(beam):
    quantizer, tokens = make(4, 6), torch.randn(60, 4)
    base = greedy(quantizer, tokens)
    plain = torch.tensor([by_loops(quantizer, token.numpy(), beam) for token in tokens])
    better = distortion(quantizer, tokens, plain) < distortion(quantizer, tokens, base)
    np.testing.assert_array_equal(beam_codes(quantizer, tokens, beam), torch.where(better[:, None], plain, base))


def test_where_greedy_is_better_than_the_beam_it_is_taken():
    """In such small quantizers some tokens' greedy path falls out of a beam of two and ends nearer all the same."""
    lost = 0
    for seed in range(20):
        torch.manual_seed(seed)
        quantizer, tokens = make(4, 4, 2, shared=True), torch.randn(100, 2)
        plain = torch.tensor([by_loops(quantizer, token.numpy(), 2) for token in tokens])
        lost += int(
            (distortion(quantizer, tokens, plain) > distortion(quantizer, tokens, greedy(quantizer, tokens))).sum()
        )
    assert lost > 0


@pytest.mark.parametrize("shared", [False, True])
def test_a_beam_that_holds_all_partial_sums_finds_the_best_of_all(shared):
    quantizer, tokens = make(3, 5, shared=shared), torch.randn(80, 4)
    paths = torch.tensor(list(itertools.product(range(5), repeat=3)))
    sums = sum_of_codes(quantizer, paths).double()
    best = (tokens.double()[:, None] - sums).square().sum(dim=2).min(dim=1).values
    found = distortion(quantizer, tokens, beam_codes(quantizer, tokens, 25))
    np.testing.assert_allclose(found, best, rtol=1e-5)


@pytest.mark.parametrize(("quantizers", "codes"), [(1, 1), (1, 3), (3, 1), (2, 3)])
def test_a_beam_may_be_larger_than_the_codebook(quantizers, codes):
    quantizer, tokens = make(quantizers, codes), torch.randn(9, 4)
    found = beam_codes(quantizer, tokens, 50)
    assert found.shape == (9, quantizers)
    assert (distortion(quantizer, tokens, found) <= distortion(quantizer, tokens, greedy(quantizer, tokens))).all()


def test_chunks_change_nothing(monkeypatch):
    quantizer, tokens = make(4, 8), torch.randn(101, 4)
    whole = beam_codes(quantizer, tokens, 4)
    monkeypatch.setattr(beam_module, "CHUNK_SCORES", 4 * 8 * 7)
    np.testing.assert_array_equal(beam_codes(quantizer, tokens, 4), whole)


def test_nothing_is_written_to_and_no_tokens_give_none():
    quantizer, tokens = make(), torch.randn(20, 4)
    before, codebooks = tokens.clone(), quantizer.codebooks.clone()
    beam_codes(quantizer, tokens, 4)
    assert torch.equal(tokens, before)
    assert torch.equal(quantizer.codebooks, codebooks)
    assert beam_codes(quantizer, tokens[:0], 4).shape == (0, 3)


def test_a_beam_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        beam_codes(make(), torch.randn(2, 4), 0)


def test_on_the_latents_of_the_bundled_checkpoint():
    checkpoint = load_checkpoint(bundled_checkpoints() / "healthy.safetensors")
    pipeline = Pipeline(checkpoint, "cpu")
    clip = min(load_clips(bundled_clips()), key=lambda clip: clip.frames)
    encoded = pipeline.encode(pipeline.fit(clip))
    tokens, quantizer = encoded.latents.t(), pipeline.quantizer
    indices = torch.from_numpy(encoded.indices)
    np.testing.assert_array_equal(beam_codes(quantizer, tokens, 1), indices)
    base = distortion(quantizer, tokens, indices)
    for beam in (4, 16):
        found = distortion(quantizer, tokens, beam_codes(quantizer, tokens, beam))
        assert (found <= base).all()
        assert found.sum() < base.sum()
