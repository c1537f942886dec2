"""How much memory a process takes, as Linux tells it; getrusage would count the parent's too."""

from __future__ import annotations

from pathlib import Path

PEAK, NOW = "VmHWM", "VmRSS"


def resident(which: str, process: int | str = "self") -> int:
    """Bytes of a process in memory (of this one, unless it is named): at most (PEAK), or now (NOW)."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(which))
