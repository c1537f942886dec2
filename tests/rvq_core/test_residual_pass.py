import threading

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from rvq_core import ResidualVQ, residual_pass, search, workspace
from rvq_core.ema_layer import QuantizeEMAReset
from rvq_core.residual_pass import Kept, pass_through
from rvq_core.search import scores, unwaiting

N, C, K, Q = 23, 6, 5, 4


def layers(seed: int = 0) -> list[QuantizeEMAReset]:
    torch.manual_seed(seed)
    found = [QuantizeEMAReset(K, C, mu=0.9).eval() for _ in range(Q)]
    for q, layer in enumerate(found):
        layer.codebook.copy_(torch.randn(K, C) / (q + 1))
        layer.init.fill_(1)
    return found


def tokens(dtype: torch.dtype = torch.float32) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(N, C, dtype=dtype)


def of_each() -> Tensor:
    return torch.tensor([0, 1, 2, 3, 4] * 5)[:N]


def by_hand(x: Tensor, stack: list[QuantizeEMAReset], kept: Tensor) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
    """Indices, sums, inputs and mean loss, one token and layer at a time; the loss as autograd would have it."""
    indices = torch.full((N, Q), -1)
    total, losses, inputs = torch.zeros(N, C), [], []
    residual = [x[n] for n in range(N)]
    for q, layer in enumerate(stack):
        squares, given = [], []
        for n in range(N):
            if kept[n] <= q:
                continue
            given.append(residual[n].detach())
            indices[n, q] = (residual[n].detach() - layer.codebook).square().sum(dim=1).argmin()
            code = layer.codebook[indices[n, q]]
            total[n] = total[n] + code
            residual[n] = residual[n] - code
            squares.append((residual[n] ** 2).mean())
        mse = torch.stack(squares).mean()
        losses.append(mse + mse.detach())
        inputs.append(torch.stack(given))
    return indices, total, inputs, torch.stack(losses).mean()


@pytest.mark.parametrize("at_once", [1, 4, N, 100])
@pytest.mark.parametrize("ragged", [False, True])
def test_a_pass_by_hand_however_many_tokens_are_under_way(monkeypatch, at_once, ragged):
    monkeypatch.setattr(residual_pass, "CACHED_NUMBERS", at_once * C)
    kept = of_each() if ragged else torch.full((N,), Q)
    x = tokens().requires_grad_()
    before = x.detach().clone()
    passed = pass_through(x, layers(), Kept(Q, kept if ragged else None), keep_inputs=True)
    wanted = tokens().requires_grad_()
    indices, total, inputs, loss = by_hand(wanted, layers(), kept)
    assert torch.equal(passed.indices, indices)
    assert torch.equal(passed.total, total)
    for q in range(Q):
        assert torch.equal(passed.inputs[q], inputs[q])
        assert torch.equal(passed.chosen[q], indices[kept > q, q])
    torch.testing.assert_close(passed.loss, loss)
    torch.testing.assert_close(passed.losses.mean(), loss.detach())
    (3 * passed.loss).backward()
    (3 * loss).backward()
    torch.testing.assert_close(x.grad, wanted.grad)
    assert torch.equal(x.detach(), before)


@pytest.mark.parametrize("sure", [True, False])
@pytest.mark.parametrize("ragged", [False, True])
def test_a_device_that_is_not_waited_for_finds_the_same(monkeypatch, sure, ragged):
    # Unsure: every token is between two codes, more than there is room for, and all has to be done again.
    monkeypatch.setattr(search, "compiled_loops", lambda: None)
    stack, x = layers(), tokens().requires_grad_()
    if not sure:
        monkeypatch.setattr(unwaiting, "LEAST", 1)
        stack[1].codebook[1:] = stack[1].codebook[0] * (1 + 1e-7 * torch.randn(K - 1, C))
    kept = Kept(Q, of_each() if ragged else None)
    wanted = pass_through(x, stack, kept, keep_inputs=True)
    monkeypatch.setattr(residual_pass, "is_waited_for", lambda _: False)
    told = []
    monkeypatch.setattr(residual_pass, "all_sure", lambda searches: told.append(search.all_sure(searches)) or told[-1])
    passed = pass_through(x, stack, kept, keep_inputs=True)
    assert told == [sure]
    assert torch.equal(passed.indices, wanted.indices)
    assert torch.equal(passed.total, wanted.total)
    assert all(map(torch.equal, passed.inputs, wanted.inputs))
    torch.testing.assert_close(passed.losses, wanted.losses)
    gradients = [torch.autograd.grad(each.loss, x)[0] for each in (passed, wanted)]
    torch.testing.assert_close(*gradients)


def test_nothing_is_asked_of_a_device_before_all_layers_are_through(monkeypatch):
    # Tensors without values: whatever asks for one fails.
    monkeypatch.setattr(workspace, "_here", workspace._Here())
    monkeypatch.setattr(search, "compiled_loops", lambda: None)
    for module in (residual_pass, scores):
        monkeypatch.setattr(module, "is_waited_for", lambda _: False)
    monkeypatch.setattr(residual_pass, "all_sure", lambda _: True)
    monkeypatch.setattr(QuantizeEMAReset, "awaits_tokens", False)
    with FakeTensorMode():
        stack = [QuantizeEMAReset(K, C) for _ in range(Q)]
        passed = pass_through(torch.randn(N, C).requires_grad_(), stack, Kept(Q), keep_inputs=True)
        passed.loss.backward()
        assert passed.indices.shape == (N, Q)


@pytest.fixture
def three_threads(monkeypatch):
    monkeypatch.setattr(residual_pass, "LEAST_EACH", 2)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_threads_beside_each_other_find_the_same(monkeypatch, three_threads, mode, ragged):
    kept = Kept(Q, of_each() if ragged else None)
    seen = set()
    together = threading.Barrier(3)
    plain = QuantizeEMAReset.search

    def noted(layer, temperature=None):
        find = plain(layer, temperature)

        def found(*given: Tensor) -> Tensor:
            together.wait(10)  # each of three has a third of the tokens
            seen.add(threading.get_ident())
            return find(*given)

        return found

    with monkeypatch.context() as one:
        one.setattr(torch, "get_num_threads", lambda: 1)
        alone = pass_through(tokens().requires_grad_(), layers(), kept, keep_inputs=True)
    with mode(), monkeypatch.context() as three:
        three.setattr(QuantizeEMAReset, "search", noted)
        x = tokens().requires_grad_()
        passed = pass_through(x, layers(), kept, keep_inputs=True)
    assert len(seen) == 3
    assert torch.equal(passed.indices, alone.indices)
    assert torch.equal(passed.total, alone.total)
    assert all(map(torch.equal, passed.inputs, alone.inputs))
    assert all(map(torch.equal, passed.chosen, alone.chosen))
    torch.testing.assert_close(passed.losses, alone.losses)
    assert passed.loss.requires_grad == (mode is torch.enable_grad)
    if passed.loss.requires_grad:
        passed.loss.backward()
        other = tokens().requires_grad_()
        with monkeypatch.context() as one:
            one.setattr(torch, "get_num_threads", lambda: 1)
            pass_through(other, layers(), kept).loss.backward()
        torch.testing.assert_close(x.grad, other.grad)


def test_codes_that_are_drawn_are_drawn_by_one_thread(three_threads):
    found = []
    for _ in range(2):
        torch.manual_seed(4)
        stack = [layer.train() for layer in layers()]
        torch.manual_seed(4)
        found.append(pass_through(tokens(), stack, Kept(Q), temperature=1.0).indices)
    assert torch.equal(*found)


def test_what_fails_in_a_thread_fails(monkeypatch, three_threads):
    def broken(*_):
        raise RuntimeError("no such code")

    monkeypatch.setattr(QuantizeEMAReset, "search", lambda *_: broken)
    with pytest.raises(RuntimeError, match="no such code"):
        pass_through(tokens(), layers(), Kept(Q))


def test_without_a_gradient_nothing_is_kept_for_it():
    passed = pass_through(tokens(), layers(), Kept(Q))
    assert not passed.loss.requires_grad
    assert passed.inputs == []
    with torch.no_grad():
        assert not pass_through(tokens().requires_grad_(), layers(), Kept(Q)).loss.requires_grad


def test_fewer_layers_and_none():
    passed = pass_through(tokens(), layers(), Kept(2))
    assert passed.indices.shape == (N, 2)
    assert torch.equal(passed.indices, pass_through(tokens(), layers(), Kept(Q)).indices[:, :2])
    nothing = pass_through(tokens().requires_grad_(), layers(), Kept(0))
    assert nothing.indices.shape == (N, 0)
    assert not nothing.total.any()
    assert nothing.losses.shape == (0,)
    assert nothing.loss == 0


@pytest.mark.parametrize("wanted", [False, True])
def test_no_tokens_reach_every_layer(wanted):
    passed = pass_through(torch.empty(0, C, requires_grad=wanted), layers(), Kept(Q), keep_inputs=True)
    assert passed.indices.shape == (0, Q)
    assert [len(given) for given in passed.inputs] == [0] * Q
    assert passed.losses.tolist() == [0] * Q


@pytest.mark.parametrize("numbers", [1, C])
def test_one_token_alone_in_a_layer(numbers):
    stack = [QuantizeEMAReset(1, numbers, mu=0.9).eval() for _ in range(2)]  # codes of zeros
    x = torch.full((1, numbers), 3.0, requires_grad=True)
    passed = pass_through(x, stack, Kept(2, torch.tensor([1])))
    assert passed.losses.tolist() == [18, 0]
    passed.loss.backward()
    # Half of the mean of 2 x^2 and 0 has a gradient: x by every number, for the layer that had it.
    torch.testing.assert_close(x.grad, torch.full((1, numbers), 3.0 / numbers))


def test_a_layer_that_no_token_had_loses_nothing():
    passed = pass_through(tokens().requires_grad_(), layers(), Kept(Q, torch.ones(N, dtype=torch.int64)))
    assert (passed.losses[1:] == 0).all()
    assert (passed.indices[:, 1:] == -1).all()


def test_a_fresh_codebook_takes_its_codes_from_all_tokens(monkeypatch):
    monkeypatch.setattr(residual_pass, "CACHED_NUMBERS", 2 * C)
    given = []
    monkeypatch.setattr(QuantizeEMAReset, "initialise", lambda _, entering: given.append(len(entering)))
    fresh = [QuantizeEMAReset(K, C, mu=0.9).train() for _ in range(2)]
    pass_through(tokens(), fresh, Kept(2))
    assert given == [N, N]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_gradient_in_half_precision_is_not_lost_in_small_factors(dtype):
    # 2 / (n N C) of many tokens is below the smallest half: only the product of both factors fits.
    torch.manual_seed(2)
    quantizer = ResidualVQ(1, nb_code=K, code_dim=C, quantize_dropout_prob=0.0).train()
    x = (50 * torch.randn(40, C, 500)).to(dtype)
    quantizer(x.float())
    found = x.clone().requires_grad_()
    (1000 * quantizer.eval().to(dtype)(found)[2]).backward()
    wanted = x.float().requires_grad_()
    (1000 * quantizer.float()(wanted)[2]).backward()
    torch.testing.assert_close(found.grad.float(), wanted.grad, rtol=0.02, atol=0.001)


def test_float64_keeps_its_precision():
    quantizer = ResidualVQ(Q, nb_code=K, code_dim=C, quantize_dropout_prob=0.0).double().train()
    x = tokens(torch.float64).t()[None].clone()
    quantizer(x)
    quantizer.eval()
    leaf = x.clone().requires_grad_()
    quantizer(leaf)[2].backward()
    step = torch.zeros_like(x)
    step[0, 2, 7] = 1e-6
    with torch.no_grad():
        change = quantizer(x + step)[2] - quantizer(x - step)[2]
    # Of the loss, twice a mean square, only one half has a gradient.
    torch.testing.assert_close(leaf.grad[0, 2, 7], change / 2e-6 / 2, rtol=1e-7, atol=1e-9)
