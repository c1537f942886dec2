"""A finding: one plain sentence about a checkpoint, the figure behind it, and what to try."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SEVERITIES = ("severe", "warning", "note")
"""Worst first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found.

    ``layers`` (1-based) are those it is about, empty where it is about the whole checkpoint. ``value`` is that of the
    worst of them, beside the ``threshold`` that it passed and its uncertainty ``low`` to ``high``; None where there is
    none. ``measured_on`` says on what, ``cause`` what usually causes it, ``advice`` what to try, ``caveat`` what the
    figure cannot say.
    """

    rule: str
    severity: str
    finding: str
    cause: str
    advice: str
    measured_on: str
    layers: tuple[int, ...] = ()
    value: float | None = None
    threshold: float | None = None
    low: float | None = None
    high: float | None = None
    caveat: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON holds it: no tuple, no NaN."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "layers": list(self.layers),
            "finding": self.finding,
            "value": number(self.value),
            "threshold": number(self.threshold),
            "low": number(self.low),
            "high": number(self.high),
            "measured_on": self.measured_on,
            "cause": self.cause,
            "advice": self.advice,
            "caveat": self.caveat,
        }


def number(value: float | None) -> float | None:
    """A figure as JSON holds it: None where there is none."""
    return None if value is None or math.isnan(value) else float(value)


def layers_in_words(layers: Sequence[int], last: int) -> str:
    """'layer 3', 'all 6 layers', 'layers 4 to 6 (from layer 4 on)', 'layers 1, 2 and 5'; ``last`` is the deepest.

    >>> layers_in_words([4, 5, 6], 6)
    'layers 4 to 6 (from layer 4 on)'
    """
    if len(layers) == last and last > 1:
        return f"all {last} layers"
    if len(layers) == 1:
        return f"layer {layers[0]}"
    if list(layers) == list(range(layers[0], last + 1)):
        return f"layers {layers[0]} to {last} (from layer {layers[0]} on)"
    return f"layers {', '.join(map(str, layers[:-1]))} and {layers[-1]}"
