"""The player of the Clip page: a component of plain JavaScript that draws a payload of bytes on two canvases."""

from dashboard.player.component import clip_player
from dashboard.player.packing import Window, facing, pack, payload, unpack, window
from dashboard.player.view import View

__all__ = ["View", "Window", "clip_player", "facing", "pack", "payload", "unpack", "window"]
