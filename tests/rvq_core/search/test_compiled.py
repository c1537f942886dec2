import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from search_data import by_float64, products_in

from rvq_core import ResidualVQ, search, workspace
from rvq_core.search import compiled, search_of
from rvq_core.search.by_torch import TorchSearch

ROOT = Path(__file__).parents[3]


def quantizer() -> ResidualVQ:
    torch.manual_seed(0)
    made = ResidualVQ(3, nb_code=40, code_dim=8, quantize_dropout_prob=0.0)
    for layer in made.ema_layers():
        layer.codebook.normal_()
        layer.code_sum.copy_(layer.codebook)
        layer.code_count.fill_(1)
        layer.init.fill_(1)
    return made


def outcome(training: bool) -> list[torch.Tensor]:
    """All that a forward gives, its gradient, and the codebooks after it."""
    made = quantizer().train(training)
    x = torch.randn(4, 8, 25).requires_grad_()
    quantized, indices, loss, perplexity = made(x)
    ((quantized**2).sum() + loss).backward()
    return [quantized, indices, loss, perplexity, made.last.commit_loss, x.grad, made.codebooks]


@pytest.mark.parametrize("training", [True, False])
def test_loops_and_torch_give_the_same(monkeypatch, training):
    by_loops = outcome(training)
    monkeypatch.setattr(search, "compiled_loops", lambda: None)
    by_torch = outcome(training)
    for one, other in zip(by_loops, by_torch, strict=True):
        torch.testing.assert_close(one, other)
    for exact in (0, 1, 6):  # sums of codes, indices, codebooks
        assert torch.equal(by_loops[exact], by_torch[exact])


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16])
def test_what_torch_makes_unasked_does_not_matter(monkeypatch, default):
    """A default type, or device, that a program has set for its own tensors."""
    wanted = outcome(training=False)
    monkeypatch.setattr(workspace, "_here", workspace._Here())  # nothing is there yet
    made, x = quantizer().eval(), torch.randn(4, 8, 25)
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        with torch.device("meta"):
            found = made(x)
    finally:
        torch.set_default_dtype(before)
    for exact in (0, 1):
        assert torch.equal(found[exact], wanted[exact])


def test_float32_on_a_cpu_is_for_loops():
    assert isinstance(search_of(torch.randn(4, 3)), compiled.CompiledSearch)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_are_for_torch(monkeypatch, dtype):
    monkeypatch.setattr(search, "CompiledSearch", lambda *_: pytest.fail("loops take float32 alone"))
    assert isinstance(search_of(torch.randn(4, 3).to(dtype)), TorchSearch)


def test_autocast_rounds_nothing():
    made = quantizer().eval()
    x = torch.randn(4, 8, 25)
    with torch.no_grad():
        wanted = made(x)
        with torch.autocast("cpu", torch.bfloat16):
            found = made(x)
    assert torch.equal(found[1], wanted[1])
    assert torch.equal(found[0], wanted[0])
    find = search_of(torch.randn(500, 16))
    tokens = torch.randn(300, 16)
    lengths = tokens.norm(dim=1, keepdim=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = find(tokens, lengths)
    assert torch.equal(found, find(tokens, lengths))


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "-W", "always", "-c", code]
    return subprocess.run(
        words, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )


SEARCH = """
import torch
from rvq_core.search import nearest_codes
codebook = torch.tensor([[0.0, 0.0], [1.0, 1.0], [-1.0, 2.0]])
print(nearest_codes(torch.tensor([[0.9, 0.8], [-3.0, 1.0], [0.1, 0.2]]), codebook).tolist())
"""


def test_without_a_working_numba_torch_searches_and_says_so_once():
    broken = "import sys; sys.modules['numba'] = None\n" + SEARCH + "nearest_codes(codebook, codebook)"
    done = run(broken)
    assert done.stdout.strip() == "[1, 2, 0]"
    assert done.stderr.count("RuntimeWarning: numba cannot be used (") == 1
    assert "To mend it: pip install -U numba" in done.stderr


def test_where_numba_is_told_to_compile_nothing_torch_searches():
    done = run(SEARCH, NUMBA_DISABLE_JIT="1")
    assert (done.stdout.strip(), done.stderr) == ("[1, 2, 0]", "")


OTHER_TILES = """
import torch
from rvq_core.search import loops, nearest_codes
torch.manual_seed(0)
for codes in (1, 50, 400):
    tokens, codebook = torch.randn(300, 7), torch.randn(codes, 7)
    brute = torch.cdist(tokens.double(), codebook.double()).argmin(dim=1)
    assert torch.equal(nearest_codes(tokens, codebook), brute)
print(loops.LANES, loops.ROWS, loops.CODES)
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="features of other processors")
@pytest.mark.parametrize(
    ("processor", "features", "tile"), [("haswell", "+avx,+avx2,+fma", "8 6 16"), ("nehalem", "+sse4.2", "4 8 12")]
)
def test_a_processor_with_less_has_smaller_tiles_and_finds_the_same(processor, features, tile, tmp_path):
    settings = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = run(OTHER_TILES, **settings)
    assert (done.stdout.strip(), done.stderr) == (tile, "")


def test_compiled_code_is_kept_for_the_next_process_and_made_anew_where_it_is_damaged(tmp_path):
    def searched() -> dict[Path, int]:
        done = run(SEARCH, NUMBA_CACHE_DIR=str(tmp_path))
        assert (done.stdout.strip(), done.stderr) == ("[1, 2, 0]", "")
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb[ci]")}

    kept = searched()
    assert {path.name.split("-")[0] for path in kept} == {"loops.make_ready", "loops.through_layer"}
    assert searched() == kept
    for path in kept:
        path.write_bytes(path.read_bytes()[:40])
    searched()


def test_where_nothing_can_be_kept_it_is_compiled_each_time(tmp_path):
    (tmp_path / "file").write_text("")
    done = run(SEARCH, NUMBA_CACHE_DIR=str(tmp_path / "file" / "below"))
    assert (done.stdout.strip(), done.stderr) == ("[1, 2, 0]", "")


def test_threads_search_beside_each_other():
    from concurrent.futures import ThreadPoolExecutor

    torch.manual_seed(1)
    codebook, tokens = torch.randn(100, 6), torch.randn(4000, 6)
    find = search_of(codebook)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda part: find(part, part.norm(dim=1, keepdim=True)), tokens.split(97)))
    np.testing.assert_array_equal(torch.cat(parts).numpy(), by_float64(tokens, codebook))


@pytest.mark.parametrize("width", [1, 3, 5, 4_000_000])
def test_tokens_that_are_not_as_wide_as_the_codes_are_refused(width):
    codebook = torch.randn(6, 4)
    with pytest.raises(ValueError, match=rf"tokens must be \[N, 4\], as the codes, got \[2, {width}\]"):
        search.nearest_codes(torch.randn(2, width), codebook)
    with pytest.raises(ValueError, match="as the codes"):
        made = quantizer().eval()
        made.layers[1].codebook = torch.randn(40, 7)
        made(torch.randn(1, 8, 5))


def test_a_codebook_without_codes_is_refused():
    with pytest.raises(ValueError, match=r"at least one code, got \[0, 4\]"):
        search.nearest_codes(torch.randn(2, 4), torch.randn(0, 4))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_tokens_of_another_precision_are_taken_as_the_codes_are(dtype):
    tokens, codebook = torch.randn(30, 4).to(dtype), torch.randn(9, 4)
    np.testing.assert_array_equal(search.nearest_codes(tokens, codebook).numpy(), by_float64(tokens, codebook))


def test_what_torch_rounds_does_not_widen_a_margin_of_ours(monkeypatch):
    plain, seen = compiled.compiled_loops().through_layer, []
    monkeypatch.setattr(
        compiled.compiled_loops(), "through_layer", lambda *given: seen.append(given[4]) or plain(*given)
    )
    with products_in("medium"):
        search.nearest_codes(torch.randn(3, 30), torch.randn(5, 30))
    assert seen == [pytest.approx(32 * 2.0**-24, rel=1e-4, abs=0)]


def test_few_scores_are_held_where_there_are_many_codes(monkeypatch):
    """Of as many tokens as have so many scores; of those of one tile where there are more codes than that."""
    seen = []
    plain = compiled.workspace
    monkeypatch.setattr(compiled, "workspace", lambda *shape: seen.append(shape[1:3]) or plain(*shape))
    loops = compiled.compiled_loops()
    for codes in (5, compiled.HELD_SCORES):
        find = compiled.CompiledSearch(torch.randn(codes, 2), loops)
        assert find(torch.zeros(3, 2), torch.zeros(3, 1)).shape == (3,)
    few = -(-5 // loops.CODES) * loops.CODES
    assert seen == [(compiled.HELD_SCORES // few // loops.ROWS * loops.ROWS, few), (loops.ROWS, compiled.HELD_SCORES)]
