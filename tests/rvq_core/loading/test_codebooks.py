"""Files of codebooks only: names, order and notes."""

from pathlib import Path

import pytest
import torch
from published_checks import saved

from rvq_core import load_checkpoint
from rvq_core.errors import CheckpointError


def test_halves_come_upper_first_and_are_never_one(tmp_path: Path):
    book = torch.randn(4, 3)
    state = {"quantizer_lower.embedding.weight": book, "quantizer_upper.embedding.weight": book.clone()}
    ckpt = load_checkpoint(saved(tmp_path / "x.pt", state))
    assert ckpt.codebook_names == ("upper", "lower") and not ckpt.quantizer.shared_codebook
    assert "separate codebooks, not residual layers: upper, lower" in ckpt.notes


def test_equal_layers_are_one(tmp_path: Path):
    book = torch.randn(4, 3)
    ckpt = load_checkpoint(saved(tmp_path / "x.pt", {f"layers.{q}.codebook": book.clone() for q in range(2)}))
    assert ckpt.codebook_names == ("layer 1", "layer 2") and ckpt.quantizer.shared_codebook
    assert not any("separate" in note for note in ckpt.notes)


def test_layers_are_named_by_their_quantizer_where_there_are_several(tmp_path: Path):
    keys = ["vq.body.layers.0.codebook", "vq.body.layers.1.codebook", "hands.layers.0.codebook"]
    state = {key: torch.full((4, 3), float(number)) for number, key in enumerate(keys)}
    ckpt = load_checkpoint(saved(tmp_path / "x.pt", state))
    assert ckpt.codebook_names == ("hands 1", "body 1", "body 2")
    assert [int(book[0, 0]) for book in ckpt.codebooks] == [2, 0, 1]


def test_layers_follow_their_numbers(tmp_path: Path):
    order = [10, 2, *range(2), *range(3, 10)]
    state = {f"layers.{q}.codebook": torch.full((4, 3), float(q)) for q in order}
    ckpt = load_checkpoint(saved(tmp_path / "x.pt", state))
    assert [int(book[0, 0]) for book in ckpt.codebooks] == list(range(11))


def test_the_quantizer_that_lacks_a_layer_is_named(tmp_path: Path):
    state = {f"{name}.codebook": torch.randn(4, 3) for name in ("a.layers.0", "a.layers.1", "b.layers.0", "b.layers.2")}
    with pytest.raises(CheckpointError, match=r"b\.layers\.1\.codebook: expected a codebook for every layer, found l"):
        load_checkpoint(saved(tmp_path / "x.pt", state))


def test_single_codebooks_are_numbered(tmp_path: Path):
    state = {f"{part}.quantizer.codebook": torch.randn(4, 3) for part in ("legs", "arms")}
    assert load_checkpoint(saved(tmp_path / "x.pt", state)).codebook_names == ("codebook 1", "codebook 2")
