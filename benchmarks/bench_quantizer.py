"""The quantizer against the bare matrix products that its search needs, and against other implementations.

    pip install -e '.[bench]' -c constraints.txt
    python benchmarks/bench_quantizer.py [--shape base] [--threads 2] [--pairs 15] [--clock wall]

Peer and ours alternate; of each row the median times and the median of the pairs' ratios are printed. All start from
the same codebooks, which a few training steps have fitted to the latents. A peer that is not installed is left out.
On a machine that others use too, --clock cpu takes the processor time of this one thread instead of waiting time.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from published import PublishedResidualVQ
from torch import Tensor

from rvq_core import ResidualVQ

Work = Callable[[], object]


class Shape(NamedTuple):
    """Latents [B, C, T] and Q codebooks [K, C]."""

    batch: int
    dim: int
    frames: int
    codes: int
    layers: int = 6


SHAPES = {"base": Shape(32, 128, 128, 1024), "wide": Shape(64, 512, 512, 512), "many": Shape(32, 32, 128, 8192)}


class Row(NamedTuple):
    """One line of the table: what is compared with what, and the ratio that is asked for."""

    what: str
    peer: Work
    ours: Work
    at_most: float


def main() -> None:
    """Print one table a shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=[*SHAPES, "all"], default="base")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=15, help="at least 9")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: one thread's processor time")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    options = parser.parse_args()
    threads = 1 if options.clock == "cpu" else options.threads
    torch.set_num_threads(threads)
    print(f"{platform.machine()}, torch {torch.__version__}, {threads} threads, {options.clock} time")
    for name in SHAPES if options.shape == "all" else [options.shape]:
        shape = SHAPES[name]
        print(f"\nlatents {shape.batch} x {shape.dim} x {shape.frames}, {shape.layers} x {shape.codes} codes")
        print(f"{'what':62}{'peer ms':>9}{'ours ms':>9}{'ratio':>8}{'at most':>9}")
        for row in _rows(shape, slack=1.0 if name == "base" else 1.5):
            if options.only in row.what:
                _print(row, max(9, options.pairs), time.thread_time if options.clock == "cpu" else time.perf_counter)


def _rows(shape: Shape, slack: float) -> Iterator[Row]:
    torch.manual_seed(0)
    x = torch.randn(shape.batch, shape.dim, shape.frames)
    fitted = ResidualVQ(shape.layers, nb_code=shape.codes, code_dim=shape.dim, quantize_dropout_prob=0.0)
    for _ in range(3):
        fitted(x)
    codebooks = fitted.codebooks
    yield from _encoding(x, codebooks, slack)
    yield from _training(x, codebooks, slack)
    yield from _decoding(x, codebooks, slack)


def _encoding(x: Tensor, codebooks: Tensor, slack: float) -> Iterator[Row]:
    quantizer = _ours(codebooks).eval()

    def encode() -> object:
        with torch.no_grad():
            return quantizer(x)

    published = PublishedResidualVQ(codebooks).eval()
    yield Row("encode / six torch.mm", lambda: _products(x, codebooks), encode, 1.25 * slack)
    yield Row("encode / published formula", torch.no_grad()(lambda: published(x)), encode, 0.40 * slack)
    if importlib.util.find_spec("vector_quantize_pytorch"):
        other = _vector_quantize_pytorch(codebooks).eval()
        tokens = x.transpose(1, 2).contiguous()
        peer = torch.no_grad()(lambda: other(tokens))
        yield Row("encode / vector-quantize-pytorch", peer, encode, 0.33 * slack)
    if importlib.util.find_spec("faiss"):
        yield Row("encode / faiss ResidualQuantizer, beam 1", _faiss(x, codebooks), encode, 1.0 * slack)


def _training(x: Tensor, codebooks: Tensor, slack: float) -> Iterator[Row]:
    def step(quantizer: torch.nn.Module, latents: Tensor) -> Work:
        weight = torch.randn_like(latents)

        def work() -> None:
            leaf = latents.detach().requires_grad_()
            quantized, _, loss, *_ = quantizer(leaf)
            ((quantized * weight).sum() + loss.sum()).backward()

        return work

    ours = step(_ours(codebooks), x)
    yield Row("training step / six torch.mm", lambda: _products(x, codebooks), ours, 1.8 * slack)
    published = step(PublishedResidualVQ(codebooks), x)
    yield Row("training step / published formula", published, ours, 0.40 * slack)
    if importlib.util.find_spec("vector_quantize_pytorch"):
        other = step(_vector_quantize_pytorch(codebooks), x.transpose(1, 2).contiguous())
        yield Row("training step / vector-quantize-pytorch", other, ours, 0.20 * slack)


def _decoding(x: Tensor, codebooks: Tensor, slack: float) -> Iterator[Row]:
    quantizer = _ours(codebooks).eval()
    published = PublishedResidualVQ(codebooks).eval()
    indices = quantizer(x)[1]
    yield Row(
        "codes from indices / published gather",
        lambda: published.get_codes_from_indices(indices),
        lambda: quantizer.get_codes_from_indices(indices),
        0.05 * slack,
    )
    yield Row(
        "latents from indices / published gather and sum",
        lambda: published.get_codes_from_indices(indices).sum(dim=0).transpose(1, 2),
        lambda: quantizer.get_codebook_entry(indices),
        0.05 * slack,
    )


def _products(x: Tensor, codebooks: Tensor) -> None:
    """The matrix products that scores of all codes need, and nothing else."""
    tokens = x.transpose(1, 2).reshape(-1, x.shape[1])
    for codebook in codebooks:
        torch.mm(tokens, codebook.t())


def _ours(codebooks: Tensor) -> ResidualVQ:
    layers, codes, dim = codebooks.shape
    quantizer = ResidualVQ(layers, nb_code=codes, code_dim=dim, quantize_dropout_prob=0.0)
    quantizer.load_state_dict({f"layers.{q}.codebook": codebook for q, codebook in enumerate(codebooks)})
    return quantizer


def _vector_quantize_pytorch(codebooks: Tensor) -> torch.nn.Module:
    from vector_quantize_pytorch import ResidualVQ as OtherResidualVQ

    layers, codes, dim = codebooks.shape
    other = OtherResidualVQ(
        dim=dim,
        num_quantizers=layers,
        codebook_size=codes,
        decay=0.99,
        threshold_ema_dead_code=1,
        quantize_dropout=False,
    )
    for layer, codebook in zip(other.layers, codebooks, strict=True):
        layer._codebook.embed.data.copy_(codebook[None])
        layer._codebook.embed_avg.copy_(codebook[None])
        layer._codebook.cluster_size.fill_(1)
    return other


def _faiss(x: Tensor, codebooks: Tensor) -> Work:
    import faiss

    layers, codes, dim = codebooks.shape
    peer = faiss.ResidualQuantizer(dim, layers, codes.bit_length() - 1)
    peer.max_beam_size = 1
    peer.is_trained = True
    faiss.copy_array_to_vector(codebooks.numpy().reshape(-1), peer.codebooks)
    faiss.omp_set_num_threads(torch.get_num_threads())
    tokens = np.ascontiguousarray(x.transpose(1, 2).reshape(-1, dim).numpy())
    return lambda: peer.compute_codes(tokens)


def _print(row: Row, pairs: int, clock: Callable[[], float]) -> None:
    peer, ours = _alternate(row.peer, row.ours, pairs, clock)
    ratio = statistics.median(o / p for p, o in zip(peer, ours, strict=True))
    times = f"{1e3 * statistics.median(peer):9.1f}{1e3 * statistics.median(ours):9.1f}"
    print(f"{row.what:62}{times}{ratio:7.2f}x{row.at_most:8.2f}x", flush=True)


def _alternate(peer: Work, ours: Work, pairs: int, clock: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Seconds of each run, one of the peer's and one of ours in turn; the first pair warms up."""
    times: tuple[list[float], list[float]] = ([], [])
    for pair in range(pairs + 1):
        for work, seconds in zip((peer, ours), times, strict=True):
            start = clock()
            work()
            if pair:
                seconds.append(clock() - start)
    return times


if __name__ == "__main__":
    main()
