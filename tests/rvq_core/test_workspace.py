import threading

import pytest
import torch

from rvq_core.workspace import workspace

LIKE = torch.zeros(0)


def test_the_same_memory_is_given_again_for_the_same_purpose_alone():
    first = workspace("one", 3, 4, LIKE).fill_(7)
    assert first.shape == (3, 4)
    again = workspace("one", 2, 5, LIKE)
    assert again.data_ptr() == first.data_ptr()
    assert again.eq(7).all()
    assert workspace("another", 3, 4, LIKE).data_ptr() != first.data_ptr()
    assert workspace("one", 3, 4, LIKE.double()).dtype == torch.float64


def test_it_grows_and_what_was_given_before_stays_whole():
    before = workspace("growing", 2, 2, LIKE).fill_(1)
    workspace("growing", 100, 100, LIKE).fill_(2)
    assert before.eq(1).all()


def test_what_is_large_is_not_kept(monkeypatch):
    monkeypatch.setattr("rvq_core.workspace.MOST_KEPT", 12)
    kept, large = workspace("large", 3, 4, LIKE), workspace("large", 13, 1, LIKE)
    assert large.shape == (13, 1)
    assert workspace("large", 13, 1, LIKE).data_ptr() != large.data_ptr()
    assert workspace("large", 3, 4, LIKE).data_ptr() == kept.data_ptr()


def test_each_thread_has_its_own():
    mine = workspace("threads", 4, 4, LIKE).fill_(3)
    thread = threading.Thread(target=lambda: workspace("threads", 4, 4, LIKE).fill_(5))
    thread.start()
    thread.join()
    assert mine.eq(3).all()


@pytest.mark.parametrize("first", [True, False])
def test_inference_mode_and_the_other_take_turns(first):
    for mode in (first, not first):
        with torch.inference_mode(mode), torch.no_grad():
            torch.mm(torch.ones(2, 3), torch.ones(3, 2), out=workspace(f"modes {first}", 2, 2, LIKE))


def test_another_device_keeps_its_own_memory():
    assert workspace("device", 2, 3, torch.zeros(0, device="meta")).is_meta


def test_a_default_device_does_not_matter():
    with torch.device("meta"):
        assert workspace("default", 2, 3, LIKE).device.type == "cpu"
