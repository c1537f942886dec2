"""Two processes on this machine stand for two ranks of torchrun."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rvq_core.distributed import draw_on_rank_zero, sum_over_ranks, take_from_rank_zero, world_size
from rvq_core.quantizer import ResidualVQ

ROOT = Path(__file__).resolve().parents[2]

RANK = """
import sys
from datetime import timedelta

import torch
import torch.distributed as dist

from rvq_core.distributed import draw_on_rank_zero, sum_over_ranks, take_from_rank_zero, world_size
from rvq_core.quantizer import ResidualVQ

rank, port, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.set_num_threads(1)
dist.init_process_group(
    "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2, timeout=timedelta(seconds=30)
)
results = {}

# Every rank has its own seed and data.
torch.manual_seed(100 + rank)
a, b = torch.full((2,), rank + 1.0), torch.tensor([rank])
sum_over_ranks(a, b)
results["helpers"] = [a.tolist(), b.tolist(), take_from_rank_zero(torch.tensor([rank + 5])).tolist(), world_size()]
results["draws"] = [draw_on_rank_zero(3, 50) for _ in range(20)]

for shared in (False, True):
    quantizer = ResidualVQ(3, shared, quantize_dropout_prob=0.7, nb_code=16, code_dim=4, mu=0.9)
    kept = []
    for step in range(12):
        # The last steps are so small that each rank alone would tile its batch.
        x = torch.randn(2, 4, 9 if step < 8 else 1) + rank
        temperature = 0.5 if step % 3 == 2 else None
        kept.append(int((quantizer(x, sample_codebook_temp=temperature)[1][0, 0] >= 0).sum()))
    results[f"state shared={shared}"] = quantizer.state_dict()
    results[f"kept shared={shared}"] = kept

# A rank whose first batch is empty, and later an empty one.
for empty_rank in (0, 1):
    quantizer = ResidualVQ(2, quantize_dropout_prob=0.0, nb_code=4, code_dim=4)
    for step in range(4):
        quantizer(torch.randn(2, 4, 0 if rank == empty_rank and step in (0, 2) else 6))
    results[f"state empty={empty_rank}"] = quantizer.state_dict()

# From a given state, one step without resets: the other process knows what must come out.
torch.manual_seed(0)
quantizer = ResidualVQ(3, quantize_dropout_prob=0.0, nb_code=16, code_dim=4, mu=0.9, reset_threshold=0.0)
quantizer.load_state_dict(torch.load(f"{out}/before.pt", weights_only=True))
x = torch.load(f"{out}/x.pt", weights_only=True)
quantizer(x[:3] if rank == 0 else x[3:])
results["perplexity"] = quantizer.last.perplexity
results["state after"] = quantizer.state_dict()
torch.save(results, f"{out}/rank{rank}.pt")
dist.barrier()
dist.destroy_process_group()
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> tuple[list[dict], ResidualVQ, torch.Tensor, Path]:
    """What each of two ranks found, the quantizer they were given, and the batch they shared out."""
    out = tmp_path_factory.mktemp("ranks")
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(8, 4, 9, generator=generator)
    torch.manual_seed(7)
    given = ResidualVQ(3, quantize_dropout_prob=0.0, nb_code=16, code_dim=4, mu=0.9, reset_threshold=0.0)
    given(torch.randn(8, 4, 9, generator=generator))
    torch.save(given.state_dict(), out / "before.pt")
    torch.save(x, out / "x.pt")
    port = str(free_port())
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), port, str(out)], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return [torch.load(out / f"rank{rank}.pt", weights_only=True) for rank in range(2)], given, x, out


def test_sums_and_broadcasts(ranks):
    for result in ranks[0]:
        assert result["helpers"] == [[3.0, 3.0], [1], [5], 2]
    one, other = (result["draws"] for result in ranks[0])
    assert one == other
    assert all(3 <= draw < 50 for draw in one)
    assert len(set(one)) > 5


@pytest.mark.parametrize("case", ["shared=False", "shared=True", "empty=0", "empty=1"])
def test_codebooks_of_all_ranks_are_identical(ranks, case):
    one, other = (result[f"state {case}"] for result in ranks[0])
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]), key
        assert torch.isfinite(value).all(), key
        if key.endswith("init"):
            assert bool(value), key
        if key.endswith("codebook"):
            assert value.unique(dim=0).shape == value.shape, "codes were initialised"


@pytest.mark.parametrize("case", ["shared=False", "shared=True"])
def test_ranks_drop_the_same_layers(ranks, case):
    one, other = (result[f"kept {case}"] for result in ranks[0])
    assert one == other
    assert len(set(one)) > 1


def test_a_step_on_two_ranks_is_a_step_on_the_whole_batch(ranks):
    results, given, x, _ = ranks
    single = ResidualVQ(3, quantize_dropout_prob=0.0, nb_code=16, code_dim=4, mu=0.9, reset_threshold=0.0)
    single.load_state_dict(given.state_dict())
    single(x)
    for key, value in single.state_dict().items():
        np.testing.assert_allclose(results[0]["state after"][key], value, rtol=1e-5, atol=1e-5, err_msg=key)
        assert torch.equal(results[0]["state after"][key], results[1]["state after"][key]), key
    assert not torch.equal(single.codebooks, given.codebooks)
    for result in results:
        torch.testing.assert_close(result["perplexity"], single.last.perplexity)


def test_without_a_process_group_nothing_is_exchanged():
    values = torch.arange(3.0)
    sum_over_ranks(values)
    assert take_from_rank_zero(values) is values
    assert values.tolist() == [0, 1, 2]
    assert world_size() == 1


def test_a_draw_is_uniform_and_by_the_seed():
    torch.manual_seed(4)
    draws = [draw_on_rank_zero(2, 5) for _ in range(600)]
    assert all(abs(draws.count(value) - 200) < 60 for value in (2, 3, 4))
    torch.manual_seed(4)
    assert [draw_on_rank_zero(2, 5) for _ in range(600)] == draws
