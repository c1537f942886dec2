"""Checkpoints of the field as the tests save them, held against an independent reading."""

from pathlib import Path

import numpy as np
import published
import torch

from rvq_core import load_checkpoint

DIM, PARTS = 12, 3


def saved(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def prefixed(prefix: str, state: dict) -> dict:
    return {prefix + key: value for key, value in state.items()}


def check(path: Path, state: dict, books: list, form: str, down_t: int = 2, **options) -> None:
    """Latents, indices at every depth and reconstructions are those of the independent reading."""
    ckpt = load_checkpoint(path, **options)
    assert ckpt.format == form
    x = torch.randn(2, 16, DIM)
    z = published.encode(state, x, down_t)
    assert torch.allclose(ckpt.model.encode(x), z, atol=1e-5)
    indices, total = published.quantize(z, books)
    for depth in range(1, len(books) + 1):
        quantized, found, *_ = ckpt.quantizer(z, force_dropout_index=depth)
        assert np.array_equal(found.numpy()[..., :depth], indices[..., :depth])
        assert (found[..., depth:] == -1).all()
    assert np.allclose(quantized.numpy(), total, atol=1e-5)
    expected = published.decode(state, torch.from_numpy(total).float(), down_t)
    assert torch.allclose(ckpt.model.decode(quantized), expected, atol=1e-4)


def emage_state(dim: int, width: int, codes: int) -> dict:
    state: dict = {}
    for number, into in ((0, dim), (3, width)):
        published.convolution(state, f"encoder.main.{number}", width, into, 3)
        for inner in (0, 2):
            published.convolution(state, f"encoder.main.{number + 2}.model.{inner}", width, width, 3)
    for block in (0, 1):
        for inner in (0, 2):
            published.convolution(state, f"decoder.main.{block}.model.{inner}", width, width, 3)
    for number, out, into in ((2, width, width), (4, dim, width), (6, dim, dim)):
        published.convolution(state, f"decoder.main.{number}", out, into, 3)
    return state | {"quantizer.embedding.weight": torch.randn(codes, width)}


def lucidrains_state(books: list, initted: torch.Tensor) -> dict:
    state: dict = {}
    for q, book in enumerate(books):
        key = f"layers.{q}._codebook."
        state |= {
            key + "initted": initted, key + "cluster_size": torch.arange(float(len(book)))[None],
            key + "embed_avg": book[None] * 2, key + "embed": book[None],
        }  # fmt: skip
    return state
