"""The player of the Clip page: a component of plain JavaScript that draws a payload of bytes on two canvases."""

from dashboard.player.choices import choose_start, opened_with, remember_view
from dashboard.player.component import clip_player, play_scene
from dashboard.player.packing import MOST_BYTES, Beside, Row, Window, not_beside, pack, payload, unpack, window
from dashboard.player.scene import Actor, scene
from dashboard.player.skeleton import facing
from dashboard.player.view import View

__all__ = [
    "MOST_BYTES",
    "Actor",
    "Beside",
    "Row",
    "View",
    "Window",
    "choose_start",
    "clip_player",
    "facing",
    "not_beside",
    "opened_with",
    "pack",
    "payload",
    "play_scene",
    "remember_view",
    "scene",
    "unpack",
    "window",
]
