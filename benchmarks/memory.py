"""How much memory this process takes, as Linux tells it; getrusage would count the parent's too."""

from __future__ import annotations

from pathlib import Path

PEAK, NOW = "VmHWM", "VmRSS"


def resident(which: str) -> int:
    """Bytes of this process in memory: at most (PEAK), or now (NOW)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(which))
