"""EMAGE's body parts: what is known of them, and what is no convolution."""

from pathlib import Path

import pytest
import torch
from published_checks import DIM, emage_state, saved

from rvq_core import RVQVAEConfig, load_checkpoint
from rvq_core.errors import CheckpointError


def test_sizes_and_rate(tmp_path: Path):
    ckpt = load_checkpoint(saved(tmp_path / "x.bin", {"model_state": emage_state(DIM, 8, 10)}))
    assert ckpt.config == RVQVAEConfig(
        input_dim=DIM, width=8, code_dim=8, nb_code=10, num_quantizers=1, down_t=0, depth=1, quantize_dropout_prob=0.0
    )
    assert (ckpt.fps, ckpt.name, ckpt.quantizer.num_quantizers) == (30.0, "x", 1)


@pytest.mark.parametrize("key", ["encoder.main.0.weight", "decoder.main.4.weight"])
@pytest.mark.parametrize("shape", [(8, 12), (8, 0, 3), (8, 12, 3, 1)])
def test_weights_that_are_no_convolutions_are_named(tmp_path: Path, key: str, shape: tuple):
    state = emage_state(DIM, 8, 10) | {key: torch.ones(shape)}
    with pytest.raises(CheckpointError, match=rf"{key}: expected a weight \[out, in, 3\], found shape \(8, "):
        load_checkpoint(saved(tmp_path / "x.bin", {"model_state": state}))
