"""Processes that share one piece of work: who takes what, when all is done, and that all stop when one fails.

They meet in the key-value store that ``torchrun`` keeps (any launcher that sets RANK, WORLD_SIZE, MASTER_ADDR and
MASTER_PORT will do). Only small numbers go through it; what an analysis computes goes through files
(``rvq_core.shards``). So it is the same with GPUs and without, and needs no process group; training, which adds up
gradients at every step, has one (``Ranks.process_group``).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rvq_core.errors import LostRankError, OtherRankError, SettingsError

POLL_SECONDS = 0.05
MEETING = timedelta(minutes=10)
"""How long the ranks may take to start."""

COLLECTIVE = timedelta(hours=3)
"""How long ranks wait for one that evaluates, or writes, before they take it for lost."""

_FAILED, _TELLER = "failed", "teller"
_CONNECTION = re.compile("gloo|nccl|connection|socket|timed out|broken pipe", re.IGNORECASE)


class Ranks:
    """``size`` processes, of which this is number ``rank``; alone there is one, and nothing leaves it."""

    def __init__(self, store: Any = None, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self._store = store
        self._counts: dict[str, int] = {}

    @property
    def first(self) -> bool:
        """Whether this rank writes and tells what all have found."""
        return self.rank == 0

    def take(self, queue: str, total: int) -> int | None:
        """The next number of 0..``total`` - 1 that no rank has taken; None when none is left."""
        self.refuse_failed()
        number = self.add(f"taken {queue}", 1) - 1
        return number if number < total else None

    def finished(self, queue: str) -> None:
        """Say that one taken number is done."""
        self.add(f"done {queue}", 1)

    def wait(self, queue: str, total: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Return when all ``total`` numbers are done; raises OtherRankError when a rank fails first."""
        while self.add(f"done {queue}", 0) < total:
            self.refuse_failed()
            meanwhile()
            time.sleep(POLL_SECONDS)

    def add(self, counter: str, number: int) -> int:
        """A counter of all ranks, after ``number`` was added to it."""
        if self._store is None:
            self._counts[counter] = self._counts.get(counter, 0) + number
            return self._counts[counter]
        return self._ask(lambda: int(self._store.add(counter, number)))

    def agreed(self, name: str, value: str) -> str:
        """The value that the first rank to ask gave for ``name``: all get the same."""
        if self._store is None:
            return value
        return self._ask(lambda: self._store.compare_set(name, "", value).decode())

    def refuse_failed(self) -> None:
        """Raise OtherRankError where a rank has failed."""
        if self.add(_FAILED, 0):
            raise OtherRankError

    def tell_failed(self) -> bool:
        """Say that this rank has failed; whether it is the first to say so, whose message counts."""
        self.add(_FAILED, 1)
        return self.agreed(_TELLER, str(self.rank)) == str(self.rank)

    @contextmanager
    def process_group(self, device: str) -> Generator[None]:
        """torch.distributed's collectives between these ranks: nccl for ``device`` cuda, else gloo; alone none.

        Raises LostRankError where another rank has ended meanwhile.
        """
        if self.size == 1:
            yield
            return
        import torch.distributed as dist

        dist.init_process_group(
            "nccl" if device.startswith("cuda") else "gloo",
            store=dist.PrefixStore("group", self._store),  # pyright: ignore[reportPrivateImportUsage] - as below
            rank=self.rank,
            world_size=self.size,
            timeout=COLLECTIVE,
        )
        try:
            yield
        except RuntimeError as error:
            if _CONNECTION.search(str(error)):
                raise LostRankError(
                    "ranks", expected="answers of all", found=f"one that has ended ({str(error)[:120]})",
                    do="see what torchrun tells of it, and run the same command again",
                ) from error  # fmt: skip
            raise
        # Not where the block fails: others would hear that this rank is gone before it has told why.
        _end_group(device)

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except RuntimeError as error:  # torch's DistError: the store has gone with the process that kept it
            raise OtherRankError from error


def _end_group(device: str) -> None:
    """End the process group, of which nothing else must be held.

    Its threads are waited for, and each may wait for Python's lock to free the tensor that it was given last. So
    whoever frees the group must not hold that lock: torch frees a backend that way that Python holds, and whole groups
    from 2.8 on; what averages gradients (DistributedDataParallel) it frees with the lock.
    """
    import torch
    import torch.distributed as dist

    backend = dist.group.WORLD._get_backend(torch.device(device))  # pyright: ignore[reportOptionalMemberAccess] - it is there
    dist.destroy_process_group()
    del backend


@contextmanager
def ranks_of_torchrun() -> Generator[Ranks]:
    """The ranks that this process was started as one of; alone where no launcher says otherwise.

    Where the block fails, all ranks stop; OtherRankError comes in place of an error that another rank tells already.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        yield Ranks()
        return
    ranks = Ranks(*_met())
    try:
        yield ranks
    except OtherRankError:
        raise
    except KeyboardInterrupt:  # of all of them, where torchrun is stopped
        if ranks.first:
            raise
        raise OtherRankError from None
    except BaseException as error:
        if not ranks.tell_failed():
            raise OtherRankError from error
        raise


def _met() -> tuple[Any, int, int]:
    """The store, this rank's number and how many there are."""
    from torch.distributed import PrefixStore  # pyright: ignore[reportPrivateImportUsage] - documented as public
    from torch.distributed.rendezvous import rendezvous

    try:
        store, rank, size = next(rendezvous("env://", timeout=MEETING))
    except (RuntimeError, ValueError) as error:
        raise SettingsError(
            "WORLD_SIZE", expected="ranks that meet at MASTER_ADDR:MASTER_PORT, as torchrun starts them",
            found=str(error), do="start with torchrun, or unset WORLD_SIZE",
        ) from error  # fmt: skip
    # What the ranks counted before torchrun started them again does not count any more.
    return PrefixStore(f"rvq-lens/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store), rank, size


def rank_device(name: str) -> str:
    """Where this rank computes: each rank of a machine takes a GPU of its own, unless one is named by number."""
    import torch

    if name not in ("auto", "cuda") or not torch.cuda.is_available():
        return name
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
