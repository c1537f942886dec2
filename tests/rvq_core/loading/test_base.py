"""Small parts of opening a file, each by itself."""

import warnings

import pytest
import torch

from rvq_core.errors import CheckpointError
from rvq_core.loading.formats.base import (
    all_equal,
    build_model,
    checked_codebooks,
    codebook_notes,
    refuse_gap,
    refuse_non_finite,
    refuse_odd_tensors,
)
from rvq_core.quantizer import ResidualVQ


def test_one_shared_codebook_stands_there_once_a_layer():
    one, other = torch.ones(4, 2), torch.zeros(4, 2)
    assert all_equal([one, one.clone()]) and all_equal([one, one.clone(), one.clone()])
    assert not all_equal([one, other])
    assert not all_equal([one, one.clone(), other])
    assert not all_equal([one])  # a single layer shares with none


@pytest.mark.parametrize(
    ("tensor", "kind"), [(torch.ones(4, 2, dtype=torch.bool), "bool"), (torch.ones(4, 2, dtype=torch.int64), "int64")]
)
def test_numbers_of_another_kind_are_told(tensor: torch.Tensor, kind: str):
    state = {"layers.0.codebook": tensor}
    with pytest.raises(CheckpointError, match=rf"codebook: expected floats of shape .*, found torch.{kind} of shape"):
        build_model("x", lambda: ResidualVQ(1, nb_code=4, code_dim=2), state)


def test_flags_are_no_integers():
    state = {"layers.0.codebook": torch.ones(4, 2), "layers.0.init": torch.ones((), dtype=torch.int64)}
    with pytest.raises(CheckpointError, match="init: expected flags of shape"):
        build_model("x", lambda: ResidualVQ(1, nb_code=4, code_dim=2), state)


def test_a_built_model_is_frozen_and_takes_the_tensors_themselves():
    book = torch.randn(4, 2)
    model = build_model("x", lambda: ResidualVQ(1, nb_code=4, code_dim=2), {"layers.0.codebook": book})
    assert model.layers[0].codebook.data_ptr() == book.data_ptr()
    linear = torch.nn.Linear(3, 2)
    built = build_model("x", lambda: torch.nn.Linear(3, 2), {k: v.half() for k, v in linear.state_dict().items()})
    assert not built.training and not built.weight.requires_grad and built.weight.dtype == torch.float32


def test_no_more_than_1024_codebooks():
    book = torch.ones(2, 2)
    assert len(checked_codebooks("x", dict.fromkeys(map(str, range(1024)), book))) == 1024
    with pytest.raises(CheckpointError, match="at most 1024 codebooks, found 1025"):
        checked_codebooks("x", dict.fromkeys(map(str, range(1025)), book))


@pytest.mark.parametrize("odd", [torch.ones(2, 2, 1), torch.ones(0, 2), torch.ones(2, 2).long(), torch.ones(2, 3)])
def test_the_odd_codebook_is_named(odd: torch.Tensor):
    with pytest.raises(CheckpointError, match="x: b: expected"):
        checked_codebooks("x", {"a": torch.ones(2, 2), "b": odd, "c": odd})


def test_the_first_layer_that_is_missing_is_named():
    refuse_gap("x", [0, 1, 2], "layers.{}")
    for layers, missing in (([0, 2, 4], 1), ([1, 2], 0), ([0, 1, 3], 2)):
        with pytest.raises(CheckpointError, match=rf"x: layers\.{missing}: .*found layers {layers[0]}, "):
            refuse_gap("x", layers, "layers.{}")


def test_tensors_that_claim_more_than_is_stored():
    """16 times the bytes that are stored and 64 MiB beside them: views cost nothing here."""
    stored = torch.zeros(2)
    most = (16 * 8 + 2**26) // 4
    refuse_odd_tensors("x", {"a": stored[:1].expand(most)})
    with pytest.raises(CheckpointError, match="x: b: expected at most 16 times"):
        refuse_odd_tensors("x", {"a": stored[:1].expand(most), "b": stored[:1]})


def test_only_plain_arrays_are_let_in():
    one = torch.ones(2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls them prototypes
        odd = [
            one.to_sparse(),
            torch.nested.nested_tensor([one, one]),
            torch.quantize_per_tensor(one, 1.0, 0, torch.qint8),
        ]
    for tensor in (*odd, torch.empty(2, device="meta")):
        with pytest.raises(CheckpointError, match="x: b: expected a plain tensor"):
            refuse_odd_tensors("x", {"a": one, "b": tensor})


def test_large_numbers_whose_sum_overflows_are_finite():
    large = torch.full((4,), 3e38)
    refuse_non_finite("x", {"a": large, "b": torch.tensor([1, 2]), "c": torch.ones(2, dtype=torch.complex64)})
    for bad in (
        torch.cat([large, torch.tensor([torch.nan])]),
        torch.tensor([torch.inf, 1j]),
        torch.tensor([1e39]).double(),
    ):
        with pytest.raises(CheckpointError, match=rf"x: b: expected finite weights, found 1 of {len(bad)} values"):
            refuse_non_finite("x", {"a": large, "b": bad})


def test_what_codebooks_alone_tell():
    quantizer = ResidualVQ(3, nb_code=4, code_dim=2)
    quantizer.layers[1].codebook.fill_(1.0)
    for layer in quantizer.layers:
        layer.ema_known = True
    assert codebook_notes(quantizer) == ["codebook all zero in layer 1, 3: never trained"]
    for layer in quantizer.layers:
        layer.ema_known = False
    notes = codebook_notes(quantizer)
    assert len(notes) == 2 and notes[0].startswith("EMA counts are not in this checkpoint")
    shared = ResidualVQ(2, True, nb_code=4, code_dim=2)
    shared.layers[0].codebook.fill_(1.0)
    shared.layers[0].ema_known = True
    assert codebook_notes(shared) == ["all layers hold the same codebook: shared_codebook = True"]
