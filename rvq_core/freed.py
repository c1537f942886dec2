"""Memory that was freed, back to the system."""

from __future__ import annotations

import ctypes
import sys


def give_back_freed() -> None:
    """Give the system back what was freed, where the C library would keep it (glibc); elsewhere do nothing.

    Arrays of many sizes, freed in another order than they were made, leave gaps: without this a long pass over clips
    takes more and more memory, though it holds no more.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
