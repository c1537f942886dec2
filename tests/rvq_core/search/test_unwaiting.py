import numpy as np
import pytest
import torch
from search_data import by_float64, clustered_data, far_data, few_values, near_tie_data, one_far_dimension, random_data
from torch import Tensor
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode

from rvq_core import workspace
from rvq_core.latents import lengths_of
from rvq_core.search import (
    TorchSearch,
    all_sure,
    by_torch,
    nearest_codes,
    scores,
    search_of,
    unwaiting,
    without_waiting,
)


def searched(tokens: Tensor, codebook: Tensor) -> tuple[np.ndarray, bool]:
    """What is found, and whether it is sure."""
    search = without_waiting(TorchSearch(codebook))
    found = search(tokens, lengths_of(tokens))
    assert found.dtype == torch.int64
    return found.numpy(), all_sure([search])


@pytest.mark.parametrize("chunk", [1 << 22, 700])  # all at once; seven tokens
@pytest.mark.parametrize("data", [random_data, near_tie_data, one_far_dimension, clustered_data])
def test_it_is_exact_where_it_is_sure(monkeypatch, data, chunk):
    monkeypatch.setattr(by_torch, "CHUNK_SCORES", chunk)
    monkeypatch.setattr(unwaiting, "LEAST", 500)
    monkeypatch.setattr(unwaiting, "CODES", 100)
    tokens, codebook = data()
    found, sure = searched(tokens, codebook)
    assert sure
    np.testing.assert_array_equal(found, by_float64(tokens, codebook))


# Room for 64 tokens of few and an eighth of many, one of which has to be none that lies between codes.
@pytest.mark.parametrize(
    ("tokens", "near", "sure"), [(200, 63, True), (200, 64, False), (1600, 199, True), (1600, 200, False)]
)
def test_room_for_one_token_in_eight_or_64(tokens, near, sure):
    codebook = torch.tensor([[1.0, 0], [-1.0, 0], [0, 9.0]])
    given = torch.tensor([[0.9, 0.1]]).repeat(tokens, 1)
    given[:near] = 0
    found, told = searched(given, codebook)
    assert told is sure
    assert found.tolist() == [0] * tokens


@pytest.mark.parametrize(("between", "sure"), [(7, True), (8, False)])
def test_room_for_eight_codes_of_which_one_has_to_be_too_far(between, sure):
    codebook = torch.cat([torch.eye(10)[:between], 9 * torch.eye(10)[between:]])
    found, told = searched(torch.zeros(2, 10), codebook)
    assert told is sure
    assert not sure or found.tolist() == [0, 0]


def test_exact_where_products_are_cast():
    tokens, codebook = random_data()
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = searched(tokens[:60], codebook)
    np.testing.assert_array_equal(found, by_float64(tokens[:60], codebook))


def test_float32_alone_would_err():
    tokens, codebook = near_tie_data()
    alone = (codebook.square().sum(1) / 2 - tokens @ codebook.t()).argmin(1).numpy()
    assert (alone != by_float64(tokens, codebook)).any()


@pytest.mark.parametrize(("codes", "sure"), [(2, False), (3, True), (4, True)])
def test_more_codes_than_there_is_room_for_are_told(monkeypatch, codes, sure):
    # Each token lies between two codes that are equally near; one more has to be looked at to know that it is farther.
    monkeypatch.setattr(unwaiting, "CODES", codes)
    codebook = torch.tensor([[1.0, 0], [-1.0, 0], [0, 9.0], [5.0, 5.0], [7.0, -4.0]])
    found, told = searched(torch.zeros(10, 2), codebook)
    assert told is sure
    assert not sure or found.tolist() == [0] * 10


@pytest.mark.parametrize(("least", "sure"), [(9, False), (10, False), (11, True), (40, True)])
def test_more_tokens_than_there_is_room_for_are_told(monkeypatch, least, sure):
    monkeypatch.setattr(unwaiting, "LEAST", least)
    codebook = torch.tensor([[1.0, 0], [-1.0, 0]])
    tokens = torch.cat([torch.zeros(10, 2), torch.tensor([[-3.0, 1.0]]).repeat(30, 1)])
    found, told = searched(tokens, codebook)
    assert told is sure
    assert not sure or found.tolist() == [0] * 10 + [1] * 30


@pytest.mark.parametrize("data", [few_values, far_data])
def test_ties_everywhere_are_more_than_there_is_room_for(data):
    assert not searched(*data())[1]


def test_one_code_one_token_and_none():
    found, sure = searched(torch.randn(5, 3), torch.randn(1, 3))
    assert (found.tolist(), sure) == ([0] * 5, True)
    tokens, codebook = torch.randn(1, 3), torch.randn(20, 3)
    found, sure = searched(tokens, codebook)
    assert (found.tolist(), sure) == (by_float64(tokens, codebook).tolist(), True)
    assert searched(torch.randn(0, 3), codebook)[0].shape == (0,)


def test_compiled_searches_stay_as_they_are():
    search = search_of(torch.randn(4, 3))
    assert without_waiting(search) is search
    assert all_sure([search])


def test_it_needs_nothing_that_only_the_device_knows(monkeypatch):
    # Tensors without values: whatever asks for one fails.
    monkeypatch.setattr(workspace._here, "kept", workspace._Kept())
    monkeypatch.setattr(scores, "is_waited_for", lambda _: False)
    with FakeTensorMode(allow_non_fake_inputs=False):
        tokens, codebook = torch.randn(1000, 8), torch.randn(100, 8)
        found = without_waiting(TorchSearch(codebook))(tokens, lengths_of(tokens))
        assert found.shape == (1000,)
        with pytest.raises(DynamicOutputShapeException):
            TorchSearch(codebook)(tokens, lengths_of(tokens))


def test_repeats_are_found_without_waiting_too(monkeypatch):
    codebook = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [1.0, 0.0], [-0.0, 2.0], [2.0, -0.0]])
    monkeypatch.setattr(scores, "is_waited_for", lambda _: False)
    found = scores.repeats(codebook, codebook.square().sum(dim=1) / 2)
    assert found.tolist() == [False, False, True, False, True, False, True]


def test_autocast_rounds_nothing():
    tokens, codebook = random_data()
    with torch.autocast("cpu", torch.bfloat16):
        found, sure = searched(tokens, codebook)
    assert sure
    np.testing.assert_array_equal(found, by_float64(tokens, codebook))


def test_half_precision_is_searched_in_float32():
    tokens, codebook = (values.to(torch.bfloat16) for values in random_data())
    found, sure = searched(tokens, codebook)
    assert sure
    np.testing.assert_array_equal(found, nearest_codes(tokens.float(), codebook.float()).numpy())
