"""Files of vector-quantize-pytorch: EMA state, cosine codes, projections, and what is no such file."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from published import codebooks
from published_checks import lucidrains_state, prefixed, saved

from rvq_core import load_checkpoint
from rvq_core.errors import CheckpointError
from rvq_core.loading.formats.base import COSINE

TRUE = torch.tensor(True)


def refused(path: Path, state: dict) -> CheckpointError:
    with pytest.raises(CheckpointError) as told:
        load_checkpoint(saved(path / "x.pt", state))
    return told.value


def test_ema_state_is_taken_where_every_layer_has_it(tmp_path: Path):
    books = codebooks(2)
    state = lucidrains_state(books, TRUE)
    layers = load_checkpoint(saved(tmp_path / "x.pt", state)).quantizer.layers
    for layer, book in zip(layers, books, strict=True):
        assert torch.equal(layer.code_sum, 2 * book) and torch.equal(layer.code_count, torch.arange(10.0))
        assert bool(layer.init)
    del state["layers.0._codebook.embed_avg"], state["layers.1._codebook.initted"]
    layers = load_checkpoint(saved(tmp_path / "x.pt", state)).quantizer.layers
    assert torch.equal(layers[0].code_sum, books[0]) and bool(layers[1].init)
    del state["layers.1._codebook.cluster_size"]
    assert load_checkpoint(saved(tmp_path / "x.pt", state)).ema_counts is None


@pytest.mark.parametrize(("off", "cosine"), [(0.0, True), (9e-5, True), (-9e-5, True), (1.2e-4, False)])
def test_codes_of_length_1_are_cosine_codes_and_stay_as_they_are(tmp_path: Path, off: float, cosine: bool):
    books = [F.normalize(book, dim=1) for book in codebooks(2)]
    books[1][3] *= 1 + off
    ckpt = load_checkpoint(saved(tmp_path / "x.pt", lucidrains_state(books, TRUE)))
    assert (COSINE in ckpt.notes) == cosine
    assert all(torch.equal(found, book) for found, book in zip(ckpt.codebooks, books, strict=True))
    alone = load_checkpoint(saved(tmp_path / "x.pt", lucidrains_state(books[1:], TRUE)))
    assert (COSINE in alone.notes) == cosine


def projections(dim: int = 6, outer: int = 9) -> dict:
    return {"project_in.weight": torch.randn(dim, outer), "project_out.weight": torch.randn(outer, dim)}


def test_projections_without_biases(tmp_path: Path):
    state = lucidrains_state(codebooks(1), TRUE) | projections()
    quantizer = load_checkpoint(saved(tmp_path / "x.pt", state)).quantizer
    assert (quantizer.latent_dim, quantizer.code_dim) == (9, 6)
    z = torch.randn(2, 9, 5)
    expected = torch.einsum("co,bot->bct", state["project_in.weight"], z)
    assert torch.allclose(quantizer.to_code_space(z), expected, atol=1e-5)
    expected = torch.einsum("oc,bct->bot", state["project_out.weight"], z[:, :6])
    assert torch.allclose(quantizer.from_code_space(z[:, :6]), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"project_in.weight": None}, "none, (9, 6)"), ({"project_out.weight": None}, "(6, 9), none"),
        ({"project_in.weight": torch.ones(6, 9, 1)}, "(6, 9, 1), (9, 6)"),
        (projections(5), "(5, 9), (9, 5)"), (projections(6, 0), "(6, 0), (0, 6)"),
        ({"project_out.weight": torch.ones(9, 5)}, "(6, 9), (9, 5)"),
        ({"project_out.weight": torch.ones(6, 9)}, "(6, 9), (6, 9)"),
        ({"project_in.weight": None, "project_out.weight": None, "project_in.0.weight": torch.ones(1)}, "none, none"),
    ],
)  # fmt: skip
def test_projections_that_do_not_fit_are_told(tmp_path: Path, changed: dict, found: str):
    state = lucidrains_state(codebooks(1), TRUE) | projections() | changed
    told = refused(tmp_path, {key: value for key, value in state.items() if value is not None})
    assert told.where.endswith("project_in.weight and project_out.weight") and told.found == found
    assert told.expected == "(6, outer) and (outer, 6)"


@pytest.mark.parametrize("shape", [(2, 10, 6), (10, 6), (1, 1, 10, 6)])
def test_codebooks_per_head_are_refused(tmp_path: Path, shape: tuple):
    state = {f"layers.{q}._codebook.embed": torch.ones(shape if q else (1, 10, 6)) for q in range(2)}
    told = refused(tmp_path, state)
    assert told.where.endswith("layers.1._codebook.embed") and told.found == str(shape)


def test_several_quantizers_are_refused(tmp_path: Path):
    state = lucidrains_state(codebooks(1), TRUE)
    assert refused(tmp_path, prefixed("a.", state) | prefixed("b.", state)).found == "several: a, b"


def test_layers_follow_their_numbers_and_none_is_missing(tmp_path: Path):
    books = [torch.full((1, 4, 3), float(q)) for q in range(11)]
    state = {f"vq.layers.{q}._codebook.embed": books[q] for q in (10, 2, *range(2), *range(3, 10))}
    ckpt = load_checkpoint(saved(tmp_path / "x.pt", state))
    assert [int(book[0, 0]) for book in ckpt.codebooks] == list(range(11))
    del state["vq.layers.3._codebook.embed"]
    assert refused(tmp_path, state).where.endswith("layers.3._codebook.embed")
