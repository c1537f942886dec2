"""The player of the Clip page: a component of plain JavaScript that draws a payload of bytes on two canvases."""

from dashboard.player.choices import choose_start, opened_with, remember_view
from dashboard.player.component import clip_player
from dashboard.player.packing import MOST_BYTES, Beside, Window, facing, not_beside, pack, payload, unpack, window
from dashboard.player.view import View

__all__ = [
    "MOST_BYTES",
    "Beside",
    "View",
    "Window",
    "choose_start",
    "clip_player",
    "facing",
    "not_beside",
    "opened_with",
    "pack",
    "payload",
    "remember_view",
    "unpack",
    "window",
]
