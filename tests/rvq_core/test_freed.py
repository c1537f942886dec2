import ctypes
import sys

import pytest
from commands import python

from rvq_core import freed

GAPS = """
from pathlib import Path

from rvq_core.freed import give_back_freed


def resident():
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


# Below the size that the C library takes from the system by itself, with something in use after each.
gaps, held = [], []
for _ in range(1000):
    gaps.append(bytearray(100_000))
    held.append(bytearray(4_000))
del gaps
before = resident()
give_back_freed()
print(before - resident())
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="glibc keeps what is freed"
)
def test_what_was_freed_between_things_in_use_goes_back():
    result = python("-c", GAPS)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 80_000_000  # of 100


def test_another_system_gives_back_by_itself(monkeypatch):
    monkeypatch.setattr(freed.sys, "platform", "win32")
    monkeypatch.setattr(freed.ctypes, "CDLL", lambda *_: pytest.fail("there is no such library"))
    freed.give_back_freed()
