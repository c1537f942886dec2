"""The convolutional family: what shapes, options and folders tell of its models."""

from pathlib import Path

import numpy as np
import pytest
import torch
from published import codebooks, family_state, with_layers
from published_checks import saved

from rvq_core import RVQVAE, RVQVAEConfig, load_checkpoint
from rvq_core.errors import CheckpointError

UPPER = [3, 6, 9, *range(12, 22)]  # of SMPL-X, as BEAT2's models split it
PARTS = {78: UPPER, 180: range(25, 55), 54: [0, 1, 2, 4, 5, 7, 8, 10, 11]}


@pytest.mark.parametrize("dim", PARTS)
def test_a_body_part_s_mean_and_std_are_picked_from_the_whole_body(tmp_path: Path, dim: int):
    path = saved(tmp_path / "net.pth", {"net": with_layers(family_state(dim=dim), codebooks())})
    np.save(tmp_path / "mean.npy", np.arange(330.0))
    np.save(tmp_path / "std.npy", np.arange(330.0) + 0.5)
    columns = np.arange(330).reshape(55, 6)[list(PARTS[dim])].ravel()
    normalizer = load_checkpoint(path).normalizer
    assert np.array_equal(normalizer.mean, columns) and np.array_equal(normalizer.std, columns + 0.5)


@pytest.mark.parametrize(
    ("dim", "representation", "fps"), [(263, "humanml3d", 20.0), (251, "kit", 12.5), (12, None, None)]
)
def test_the_representation_is_guessed_from_the_width(tmp_path: Path, dim: int, representation: str, fps: float):
    ckpt = load_checkpoint(saved(tmp_path / "net.pth", with_layers(family_state(dim=dim, down_t=0), codebooks())))
    assert (ckpt.representation, ckpt.fps, ckpt.config.stride, ckpt.config.stride_t) == (representation, fps, 1, 2)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_stride_is_half_the_kernel(tmp_path: Path, stride: int):
    config = RVQVAEConfig(input_dim=12, width=8, code_dim=6, nb_code=10, num_quantizers=2, down_t=2, stride_t=stride)
    state = {key: value for key, value in RVQVAE(config).state_dict().items() if not key.endswith(("_sum", "init"))}
    assert load_checkpoint(saved(tmp_path / "net.pth", state)).config.stride_t == stride


def test_a_halving_of_another_shape_is_named(tmp_path: Path):
    state = with_layers(family_state(), codebooks()) | {"encoder.model.2.0.weight": torch.ones(8, 8)}
    with pytest.raises(CheckpointError, match=r"encoder\.model\.2\.0\.weight: .*found torch.float32 of shape \(8, 8\)"):
        load_checkpoint(saved(tmp_path / "net.pth", state))


@pytest.mark.parametrize(
    ("width", "told", "norm"),
    [(32, "GN", "GN"), (32, "LN", "LN"), (48, "GN", "LN"), (32, "BN", "LN"), (32, None, "LN")],
)
def test_options_tell_the_norm_where_weights_do_not(tmp_path: Path, width: int, told: str | None, norm: str):
    config = RVQVAEConfig(input_dim=12, width=width, code_dim=6, nb_code=10, num_quantizers=2, norm="LN", depth=1)
    path = saved(tmp_path / "net.pth", {"net": RVQVAE(config).state_dict()})
    (tmp_path / "opt.txt").write_text(f"vq_norm: {told}\n")
    ckpt = load_checkpoint(path)
    assert ckpt.config.norm == norm
    assert any("norm = LN assumed" in note for note in ckpt.notes) == (told != norm)


def test_ema_state_is_taken_where_it_is_whole(tmp_path: Path):
    model = RVQVAE(RVQVAEConfig(input_dim=12, width=8, code_dim=6, nb_code=10, num_quantizers=2)).train()
    model(torch.randn(4, 16, 12))
    state = model.state_dict()
    ckpt = load_checkpoint(saved(tmp_path / "net.pth", {"net": state}))
    for q, counts in enumerate(ckpt.ema_counts):
        assert torch.equal(counts, state[f"quantizer.layers.{q}.code_count"])
        assert torch.equal(ckpt.quantizer.layers[q].code_sum, state[f"quantizer.layers.{q}.code_sum"])
    for name in ("code_sum", "code_count", "init"):
        cut = {key: value for key, value in state.items() if key != f"quantizer.layers.1.{name}"}
        assert load_checkpoint(saved(tmp_path / "net.pth", {"net": cut})).ema_counts is None


@pytest.mark.parametrize("name", ["weight", "bias"])
@pytest.mark.parametrize("value", [torch.ones(6, 5), torch.ones(6, 6).long(), torch.ones(6).long()])
def test_projections_of_another_shape_or_kind_are_named(tmp_path: Path, name: str, value: torch.Tensor):
    state = with_layers(family_state(), codebooks())
    for q in range(3):
        key = f"quantizer.layers.{q}.embedding_proj."
        state |= {f"{key}weight": torch.eye(6), f"{key}bias": torch.zeros(6)}
    state[f"quantizer.layers.2.embedding_proj.{name}"] = value
    wanted = "(6, 6)" if name == "weight" else "(6,)"
    with pytest.raises(CheckpointError) as told:
        load_checkpoint(saved(tmp_path / "net.pth", {"net": state}))
    assert told.value.where.endswith(f"quantizer.layers.2.embedding_proj.{name}")
    assert told.value.expected == f"floats of shape {wanted}"
