"""Numbers as a paper prints them: the digits that their interval bears, and no more."""

from __future__ import annotations

import math

import pandas as pd

DIGITS = 3
"""Significant digits of a number without an interval."""


def decimals(low: float, high: float) -> int | None:
    """Decimals that two significant digits of the interval's half-width leave; negative before the point.

    None where the interval has no width or is not known.

    >>> decimals(54.1, 103.2), decimals(0.0312, 0.0350), decimals(10400.0, 15300.0)
    (0, 4, -2)
    """
    if pd.isna(low) or pd.isna(high) or high <= low:
        return None
    return 1 - math.floor(math.log10((high - low) / 2))


def rounded(value: float, places: int | None) -> str:
    """A number with ``places`` decimals, or with three significant digits where it is None; empty for no number.

    >>> rounded(84.52, 0), rounded(12345.6, -2), rounded(0.0331239, None), rounded(1412.0, None)
    ('85', '12300', '0.0331', '1412')
    """
    if pd.isna(value):
        return ""
    if places is None:
        magnitude = math.floor(math.log10(abs(value))) if value else 0
        # A count or a large number keeps the digits before its point.
        places = max(0, DIGITS - 1 - magnitude)
        return f"{value:.{places}f}"
    return f"{round(value, places):.{max(places, 0)}f}"


def with_interval(value: float, low: float, high: float) -> str:
    """A number and its interval, all rounded alike.

    >>> with_interval(84.52, 54.1, 103.2)
    '85 [54, 103]'
    """
    places = decimals(low, high)
    if places is None:
        return rounded(value, None)
    return f"{rounded(value, places)} [{rounded(low, places)}, {rounded(high, places)}]"
