"""Native checkpoints as the tests write them, and the one line that a bad one gives."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from rvq_core.autoencoder import RVQVAE, RVQVAEConfig
from rvq_core.errors import CheckpointError
from rvq_core.loading import Normalizer, load_checkpoint
from rvq_core.loading.formats.native import NativeHeader, save_native

TINY = {"input_dim": 5, "width": 8, "code_dim": 4, "nb_code": 6, "num_quantizers": 3, "depth": 1}


EMA = (".code_sum", ".code_count", ".init")


def trained(**settings: object) -> RVQVAE:
    model = RVQVAE(RVQVAEConfig(**(TINY | settings)))
    for _ in range(3):
        model(torch.randn(4, 16, 5))
    return model.eval()


def write(path: Path, model: RVQVAE | None = None, **settings: object) -> Path:
    model = trained(**settings) if model is None else model
    header = NativeHeader(model.config, "raw", 25.0, {"train_clips": ["a"], "held_out_clips": ["b"], "steps": 3})
    save_native(path, model, Normalizer(torch.arange(5.0), torch.tensor([1.0, 2, 3, 0, 5])), header)
    return path


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def message(path: str | Path, *inside: str, **options: object) -> str:
    """The one line that loading this file gives; it names the file and holds these words."""
    with pytest.raises(CheckpointError) as told:
        load_checkpoint(path, **options)
    line = str(told.value)
    assert "\n" not in line
    assert Path(path).name in line
    for part in (" expected ", ", found ", "; ", *inside):
        assert part in line, f"{part!r} not in {line!r}"
    assert told.value.do
    return line
