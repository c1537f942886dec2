import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest

from rvq_core import freed


def resident() -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="glibc keeps what is freed"
)
def test_what_was_freed_between_things_in_use_goes_back():
    # Below the size that the C library takes from the system by itself, with something in use after each.
    held, gaps = [], []
    for _ in range(1000):
        gaps.append(np.ones(100_000, dtype=np.uint8))
        held.append(np.ones(4000, dtype=np.uint8))
    del gaps
    before = resident()
    freed.give_back_freed()
    assert before - resident() > 50_000_000
    assert len(held) == 1000


def test_another_system_gives_back_by_itself(monkeypatch):
    monkeypatch.setattr(freed.sys, "platform", "win32")
    monkeypatch.setattr(freed.ctypes, "CDLL", lambda *_: pytest.fail("there is no such library"))
    freed.give_back_freed()
