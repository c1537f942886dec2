"""Checkpoints of the field that cannot be opened: what is wrong is named."""

from pathlib import Path

import published
import pytest
import torch
from published import with_layers
from published_checks import DIM, emage_state, lucidrains_state, saved

from rvq_core import load_checkpoint
from rvq_core.errors import CheckpointError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (b"not a checkpoint at all, just some text that goes on", "found a text that begins with"),
        (b"PK\x03\x04" + b"\0" * 100, "damaged"),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("legacy", [False, True])
def test_truncated_files(tmp_path: Path, share: float, legacy: bool):
    path = tmp_path / "net.pth"
    torch.save(
        {"net": with_layers(published.family_state(), published.codebooks())},
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


def test_a_missing_layer_is_named(tmp_path: Path):
    whole = with_layers(published.family_state(), published.codebooks())
    del whole["quantizer.layers.1.codebook"]
    with pytest.raises(CheckpointError, match=r"quantizer\.layers\.1\.codebook"):
        load_checkpoint(saved(tmp_path / "net.pth", {"net": whole}))


def test_a_missing_weight_is_named(tmp_path: Path):
    whole = with_layers(published.family_state(), published.codebooks())
    del whole["decoder.model.3.2.bias"]
    with pytest.raises(CheckpointError, match=r"decoder\.model\.3\.2\.bias"):
        load_checkpoint(saved(tmp_path / "net.pth", {"net": whole}))


def test_a_wrong_shape_is_named(tmp_path: Path):
    whole = with_layers(published.family_state(), published.codebooks())
    whole["quantizer.layers.2.codebook"] = torch.randn(10, 5)
    with pytest.raises(CheckpointError, match=r"quantizer\.layers\.2\.codebook"):
        load_checkpoint(saved(tmp_path / "net.pth", {"net": whole}))


def test_nan_weights_are_named(tmp_path: Path):
    whole = with_layers(published.family_state(), published.codebooks())
    whole["encoder.model.0.bias"][3] = float("nan")
    with pytest.raises(CheckpointError, match=r"encoder\.model\.0\.bias.*finite"):
        load_checkpoint(saved(tmp_path / "net.pth", {"net": whole}))


def test_a_never_trained_codebook_is_told(tmp_path: Path):
    state = published.family_state()
    books = [torch.zeros(10, 6)] * 2
    ckpt = load_checkpoint(saved(tmp_path / "net.pth", {"net": with_layers(state, books)}))
    assert any("never trained" in note for note in ckpt.notes)
    _, indices, _, perplexity = ckpt.quantizer(torch.randn(1, 6, 5))
    assert (indices == 0).all() and perplexity.item() == pytest.approx(1.0)


def test_fsq_has_no_codebook(tmp_path: Path):
    state = published.family_state() | {
        "quantizer._levels": torch.tensor([8, 5, 5]),
        "quantizer._basis": torch.tensor([1, 8, 40]),
    }
    with pytest.raises(CheckpointError, match="FSQ and LFQ"):
        load_checkpoint(saved(tmp_path / "net.pth", {"net": state}))


def test_a_model_without_any_codebook_is_told_so(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"quantizer\.codebook.*found a model without one, as FSQ and LFQ"):
        load_checkpoint(saved(tmp_path / "net.pth", {"net": published.family_state()}))


def test_an_unknown_file_hears_of_the_nearest_format(tmp_path: Path):
    state = {"encoder.main.0.weight": torch.randn(8, 12, 3), "text_embedding.bias": torch.randn(2)}
    with pytest.raises(CheckpointError, match=r"the nearest format is emage, which also needs quantizer\.embedding"):
        load_checkpoint(saved(tmp_path / "net.pth", {"net": state}))


def test_no_tensors(tmp_path: Path):
    with pytest.raises(CheckpointError, match="state_dict"):
        load_checkpoint(saved(tmp_path / "net.pth", {"epoch": 3}))
    with pytest.raises(CheckpointError, match="a dictionary of tensors"):
        load_checkpoint(saved(tmp_path / "list.pth", [1, 2]))


def test_a_missing_layer_among_codebooks_is_named(tmp_path: Path):
    state = {f"rq.layers.{q}.codebook": torch.randn(4, 3) for q in (0, 2)}
    with pytest.raises(CheckpointError, match=r"rq\.layers\.1\.codebook: expected a codebook for every layer"):
        load_checkpoint(saved(tmp_path / "x.pt", state))


def test_never_trained_codebooks_are_told_in_every_format(tmp_path: Path):
    for number, state in enumerate(
        ({"layers.0.codebook": torch.zeros(4, 3)}, lucidrains_state([torch.zeros(4, 3)], torch.tensor(False)),
         emage_state(DIM, 8, 10) | {"quantizer.embedding.weight": torch.zeros(10, 8)})
    ):  # fmt: skip
        notes = load_checkpoint(saved(tmp_path / f"{number}.pt", state)).notes
        assert any("layer 1: never trained" in note for note in notes)


@pytest.mark.parametrize("lost", ["weight", "bias"])
def test_half_a_projection_is_named(tmp_path: Path, lost: str):
    whole = with_layers(published.family_state(), published.codebooks())
    for q in range(3):
        whole[f"quantizer.layers.{q}.embedding_proj.weight"] = torch.eye(6)
        whole[f"quantizer.layers.{q}.embedding_proj.bias"] = torch.zeros(6)
    del whole[f"quantizer.layers.1.embedding_proj.{lost}"]
    with pytest.raises(CheckpointError, match=rf"quantizer\.layers\.1\.embedding_proj\.{lost}"):
        load_checkpoint(saved(tmp_path / "net.pth", {"net": whole}))


@pytest.mark.parametrize("state", [{"mask": torch.tensor([4, 2, 1])}, {"project_in.weight": torch.randn(3, 8)},
                                   {"vqvae.quantizer.project_in.weight": torch.randn(3, 8)}])  # fmt: skip
def test_lookup_free_quantizers_alone(tmp_path: Path, state: dict):
    with pytest.raises(CheckpointError, match="FSQ and LFQ"):
        load_checkpoint(saved(tmp_path / "x.pt", state))


@pytest.mark.parametrize("key", ["mlps.0.proj_in.weight", "layers.0._codebook.batch_mean"])
def test_codes_that_are_not_what_is_stored_are_refused(tmp_path: Path, key: str):
    state = lucidrains_state(published.codebooks(), torch.tensor(True)) | {key: torch.zeros(6)}
    with pytest.raises(CheckpointError, match="implicit or affine"):
        load_checkpoint(saved(tmp_path / "x.pt", state))
