"""Indices back to codes."""

import pytest
import torch
from quantizers import C, K, Q, latents, trained


@pytest.mark.parametrize("kept", [0, 1, Q])
def test_all_codes_are_layer_batch_frame_channel(kept):
    quantizer = trained().eval()
    _, indices, _, _, codes = quantizer(latents(2, 5), return_all_codes=True, force_dropout_index=kept)
    assert codes.shape == (Q, 2, 5, C)
    for q in range(Q):
        for b in range(2):
            for t in range(5):
                code = quantizer.layers[q].codebook[indices[b, t, q]] if q < kept else torch.zeros(C)
                assert torch.equal(codes[q, b, t], code)


def test_codes_from_the_first_layers_indices_alone():
    quantizer = trained().eval()
    indices = quantizer(latents())[1]
    for given in range(Q + 1):
        padded = indices.clone()
        padded[..., given:] = -1
        codes = quantizer.get_codes_from_indices(indices[..., :given])
        assert codes.shape == (Q, 5, 7, C)
        assert torch.equal(codes, quantizer.get_codes_from_indices(padded))
        entry = quantizer.get_codebook_entry(indices[..., :given])
        assert torch.equal(entry, quantizer.get_codebook_entry(padded))
        torch.testing.assert_close(entry, codes.sum(0).transpose(1, 2))


def test_minus_one_is_a_zero_code_and_not_the_last_one():
    quantizer = trained().eval()
    indices = torch.tensor([[[-1, -1, -1], [2, -1, 5]]])
    codes = quantizer.get_codes_from_indices(indices)
    assert torch.equal(codes[:, 0, 0], torch.zeros(Q, C))
    assert torch.equal(codes[1, 0, 1], torch.zeros(C))
    wanted = quantizer.layers[0].codebook[2] + quantizer.layers[2].codebook[5]
    assert torch.equal(quantizer.get_codebook_entry(indices)[0], torch.stack([torch.zeros(C), wanted], dim=1))
    assert torch.equal(quantizer.layers[0].dequantize(torch.tensor([-1])), torch.zeros(1, C))


@pytest.mark.parametrize("shape", [(5, 7, Q), (5, 7, 1), (1, 1, Q)])
def test_indices_are_left_as_they_are(shape):
    indices = torch.full(shape, -1)
    codes = trained().eval().get_codes_from_indices(indices)
    assert (codes == 0).all()
    assert (trained().eval().get_codebook_entry(indices) == 0).all()
    assert (indices == -1).all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.uint16])
def test_indices_of_any_integer_type_are_looked_up(dtype):
    quantizer = trained().eval()
    indices = quantizer(latents())[1]
    assert torch.equal(quantizer.get_codebook_entry(indices.to(dtype)), quantizer.get_codebook_entry(indices))
    assert torch.equal(quantizer.get_codes_from_indices(indices.to(dtype)), quantizer.get_codes_from_indices(indices))


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (torch.zeros(2, 5, Q + 1, dtype=torch.long), "q <= 3"),
        (torch.zeros(2, 5, dtype=torch.long), "B, T, q"),
        (torch.zeros(2, 5, Q), "integers"),
        (torch.full((2, 5, Q), K), r"-1\.\.7, got 8\.\.8"),
        (torch.full((2, 5, Q), -2), r"-1\.\.7, got -2"),
    ],
)
def test_indices_that_stand_for_nothing_are_refused(indices, message):
    quantizer = trained()
    for decode in (quantizer.get_codebook_entry, quantizer.get_codes_from_indices):
        with pytest.raises(ValueError, match=message):
            decode(indices)


def test_codebooks_are_stacked_in_order():
    quantizer = trained()
    assert quantizer.num_quantizers == Q
    assert quantizer.codebooks.shape == (Q, K, C)
    for q, layer in enumerate(quantizer.layers):
        assert torch.equal(quantizer.codebooks[q], layer.codebook)
        assert layer.nb_code == K
