"""Processes that share one piece of work, seen from the store that they meet in."""

import threading
from unittest import mock

import pytest
import torch
from torch.distributed import HashStore

from rvq_core import ranks as module
from rvq_core.errors import LostRankError, OtherRankError, SettingsError
from rvq_core.ranks import Ranks, rank_device, ranks_of_torchrun


@pytest.fixture
def two() -> tuple[Ranks, Ranks]:
    store = HashStore()
    return Ranks(store, 0, 2), Ranks(store, 1, 2)


def taken(ranks: Ranks, total: int) -> list[int]:
    numbers = []
    while (number := ranks.take("clips", total)) is not None:
        numbers.append(number)
        ranks.finished("clips")
    return numbers


class TestAlone:
    def test_all_numbers_are_its_own_and_it_waits_for_nobody(self):
        alone = Ranks()
        assert alone.first
        assert taken(alone, 4) == [0, 1, 2, 3]
        alone.wait("clips", 4)
        assert alone.agreed("plan", "mine") == "mine"

    def test_it_has_no_process_group(self):
        with Ranks().process_group("cpu"):
            assert not torch.distributed.is_initialized()

    def test_without_a_launcher(self, monkeypatch):
        monkeypatch.delenv("WORLD_SIZE", raising=False)
        with ranks_of_torchrun() as ranks:
            assert (ranks.rank, ranks.size) == (0, 1)


class TestTwo:
    def test_each_number_is_taken_once(self, two):
        found: list[list[int]] = [[], []]
        threads = [threading.Thread(target=lambda i=i: found[i].extend(taken(two[i], 200))) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found[0] + found[1]) == list(range(200))
        two[0].wait("clips", 200)

    def test_one_waits_for_what_the_other_does(self, two):
        first, second = two
        rounds = []

        def meanwhile():
            rounds.append(len(rounds))
            if len(rounds) == 3:
                second.finished("clips")

        first.wait("clips", 1, meanwhile)
        assert len(rounds) == 3

    def test_queues_are_counted_apart(self, two):
        assert two[0].take("clips", 1) == 0
        assert two[1].take("clips", 1) is None
        assert two[1].take("blocks", 1) == 0

    def test_the_first_to_ask_decides(self, two):
        assert [ranks.agreed("plan", name) for ranks, name in zip(two, "ab", strict=True)] == ["a", "a"]

    def test_one_that_fails_stops_the_other(self, two):
        first, second = two
        assert second.tell_failed()
        assert not first.tell_failed()  # whose message would be the second
        with pytest.raises(OtherRankError):
            first.take("clips", 9)
        with pytest.raises(OtherRankError):
            first.wait("clips", 9)

    def test_a_store_that_is_gone_is_another_rank_that_failed(self):
        store = mock.Mock()
        store.add.side_effect = torch.distributed.DistError("Connection reset by peer")
        with pytest.raises(OtherRankError):
            Ranks(store, 1, 2).take("clips", 1)


class TestLaunched:
    """By torchrun, as one of two."""

    @pytest.fixture(autouse=True)
    def launched(self, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", "2")
        self.store = HashStore()

    def fail(self, rank: int, error: BaseException) -> BaseException:
        """What comes out of the block of a rank in which ``error`` is raised."""
        met = mock.patch.object(module, "_met", return_value=(self.store, rank, 2))
        with met, pytest.raises(BaseException) as told, ranks_of_torchrun():
            raise error
        return told.value

    def test_the_first_to_fail_tells_why(self):
        first, second = ValueError("one"), ValueError("two")
        assert self.fail(1, first) is first
        told = self.fail(0, second)
        assert isinstance(told, OtherRankError)
        assert told.__cause__ is second

    def test_what_another_told_is_not_told_again(self):
        other = OtherRankError()
        assert self.fail(0, other) is other
        assert Ranks(self.store, 0, 2).tell_failed(), "it did not fail by itself"

    def test_ctrl_c_is_told_by_the_first_alone(self):
        assert isinstance(self.fail(1, KeyboardInterrupt()), OtherRankError)
        assert isinstance(self.fail(0, KeyboardInterrupt()), KeyboardInterrupt)

    def test_a_launcher_that_says_too_little(self, monkeypatch):
        for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(SettingsError, match="WORLD_SIZE: expected ranks that meet"), ranks_of_torchrun():
            pass


class TestLost:
    """A rank that has ended while others wait for it, as torch tells of it."""

    @pytest.fixture
    def group(self):
        with mock.patch("torch.distributed.init_process_group"), mock.patch.object(module, "_end_group") as ended:
            yield Ranks(HashStore(), 0, 2).process_group("cpu")
        ended.assert_not_called()

    @pytest.mark.parametrize("told", ["gloo: Read error: Connection reset", "Timed out waiting", "NCCL error"])
    def test_it_is_told_in_one_line(self, group, told):
        with pytest.raises(LostRankError, match="expected answers of all, found one that has ended"), group:
            raise RuntimeError(told)

    def test_other_errors_stay_as_they_are(self, group):
        with pytest.raises(RuntimeError, match="shapes"), group:
            raise RuntimeError("shapes do not fit")


@pytest.mark.parametrize(
    ("asked", "gpus", "expected"),
    [("cpu", 4, "cpu"), ("auto", 0, "auto"), ("cuda:1", 4, "cuda:1"), ("auto", 4, "cuda:2"), ("cuda", 2, "cuda:0")],
)
def test_each_rank_of_a_machine_has_a_gpu_of_its_own(monkeypatch, asked, gpus, expected):
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert rank_device(asked) == expected
