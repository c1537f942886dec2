"""Large things for the dashboard: one checkpoint of 8 layers x 8,192 codes, 5,000 clips, and a sweep of 50 checkpoints.

    python benchmarks/large_data.py OUT [--clips 5000] [--checkpoints 50]

OUT gets `large/` (the checkpoint), `clips/` (walks through its own codes, so that all layers are used unevenly) and
`sweep/` (copies of the bundled `healthy` with its codes moved by noise and other settings told).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from rvq_core import RVQVAE, RVQVAEConfig, load_checkpoint
from rvq_core.bundled import bundled_checkpoints
from rvq_core.loading import Normalizer
from rvq_core.loading.formats.native import NativeHeader, save_native

LAYERS, CODES, DIMENSIONS, FEATURES = 8, 8192, 32, 24
FRAMES = 64


def main() -> None:
    """Write all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=5000)
    parser.add_argument("--checkpoints", type=int, default=50)
    told = parser.parse_args()
    write_large(told.out / "large" / "large.safetensors")
    write_clips(told.out / "clips", told.clips)
    write_sweep(told.out / "sweep", told.checkpoints)
    for name in ("large", "clips", "sweep"):
        files = list((told.out / name).iterdir())
        print(f"{name}: {len(files):,} files, {sum(path.stat().st_size for path in files) / 1e6:,.1f} MB")


def write_large(path: Path) -> None:
    """A model with codebooks of the largest published size; each layer's codes are half as long as those before."""
    torch.manual_seed(0)
    config = RVQVAEConfig(
        input_dim=FEATURES, width=32, code_dim=DIMENSIONS, nb_code=CODES, num_quantizers=LAYERS, depth=1
    )
    model = RVQVAE(config)
    with torch.no_grad():
        latents = model.encode(torch.randn(64, 256, FEATURES)).permute(0, 2, 1).reshape(-1, DIMENSIONS)
    for depth, layer in enumerate(model.quantizer.ema_layers()):
        picked = latents[torch.randint(len(latents), (CODES,))]
        layer.codebook.copy_(picked * 0.5**depth + torch.randn(CODES, DIMENSIONS) * 0.05 * 0.5**depth)
        layer.init.fill_(True)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_native(
        path, model, Normalizer(torch.zeros(FEATURES), torch.ones(FEATURES)), NativeHeader(config, None, 30.0, {})
    )


def write_clips(folder: Path, count: int) -> None:
    """Features that wander; every clip has its own tempo."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        steps = rng.normal(size=(FRAMES, FEATURES)) * rng.uniform(0.2, 1.0)
        features = steps + np.sin(np.arange(FRAMES)[:, None] * rng.uniform(0.05, 0.5) + rng.uniform(0, 6, FEATURES))
        np.save(folder / f"take_{number:05d}.npy", features.astype(np.float32))


def write_sweep(folder: Path, count: int) -> None:
    """Checkpoints whose codes were moved by more and more noise, as if settings of their training had differed."""
    folder.mkdir(parents=True, exist_ok=True)
    source = bundled_checkpoints() / "healthy.safetensors"
    ckpt = load_checkpoint(source)
    assert isinstance(ckpt.model, RVQVAE) and ckpt.config is not None
    layers = ckpt.model.quantizer.ema_layers()
    books = [layer.codebook.clone() for layer in layers]
    for number in range(count):
        torch.manual_seed(number)
        for layer, codes in zip(layers, books, strict=True):
            layer.codebook.copy_(codes * (1 + 0.02 * number * torch.randn_like(codes)))
        settings = dict(ckpt.training.get("settings", {})) | {"seed": number, "learning_rate": 2e-4 / (1 + number % 5)}
        training = dict(ckpt.training) | {"settings": settings}
        header = NativeHeader(ckpt.config, ckpt.representation, ckpt.fps, training)
        save_native(folder / f"run_{number:02d}.safetensors", ckpt.model, ckpt.normalizer, header)


if __name__ == "__main__":
    main()
