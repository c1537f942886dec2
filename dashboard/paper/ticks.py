"""The names of ticks: where they have no room, fewer of them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOM = 0.3
"""Of their height, between the names along an axis."""


def thin_out(axes: Axes) -> None:
    """Take away the names of ticks before which the next one, which stays, has no room."""
    for which, low, high in (("x", "x0", "x1"), ("y", "y0", "y1")):
        shown = _evenly_thinned(axes, which, low, high)
        boxes = [label.get_window_extent() for _, label in shown]
        rising = len(boxes) < 2 or getattr(boxes[0], low) <= getattr(boxes[-1], low)
        kept = float("inf")
        for (_, label), box in reversed([*zip(shown, boxes, strict=True)][:: 1 if rising else -1]):
            if getattr(box, high) > kept + (-ROOM if which == "x" else 0.2) * box.height:
                label.set_text("")
            else:
                kept = getattr(box, low)
        if any(not label.get_text() for _, label in shown):
            # Those within the limits alone: ticks beyond would widen the axis.
            mine = getattr(axes, f"{which}axis")
            size = shown[0][1].get_fontsize()
            mine.set_ticks(
                [tick for tick, _ in shown], [label.get_text() for _, label in shown], fontsize=size
            )  # fmt: skip


def labelled(axes: Axes, which: str) -> list[tuple[float, Any]]:
    """The ticks within the limits of an axis that have a name, with it."""
    low, high = sorted(getattr(axes, f"get_{which}lim")())
    ticks, labels = getattr(axes, f"get_{which}ticks")(), getattr(axes, f"get_{which}ticklabels")()
    return [
        (float(tick), label)
        for tick, label in zip(ticks, labels, strict=True)
        if low <= tick <= high and label.get_text()
    ]


def _evenly_thinned(axes: Axes, which: str, low: str, high: str) -> list[tuple[float, Any]]:
    """The named ticks of an axis; of numbers at even steps as few as have room, again at even steps."""
    from matplotlib.ticker import MaxNLocator

    every = labelled(axes, which)
    mine = getattr(axes, f"{which}axis")
    if not isinstance(mine.get_major_locator(), MaxNLocator):
        return every
    boxes = [label.get_window_extent() for _, label in every]
    for step in range(1, len(every)):
        if all(getattr(a, high) + ROOM * a.height < getattr(b, low) for a, b in pairwise(boxes[::step])):
            break
    else:
        return every
    if step > 1:
        mine.set_ticks([tick for tick, _ in every[::step]])
    return labelled(axes, which)
