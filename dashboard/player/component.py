"""The player as Streamlit mounts it. Its assets are files beside this one, joined in the order in which they build up.

Nothing is fetched from the network, and no text of the user's becomes HTML: the script writes it as text content.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from streamlit.components.v2 import component

from dashboard.player.scene import Actor, scene

SCRIPTS = ("motion.js", "camera.js", "figure.js", "timeline.js", "player.js")
FOLDER = Path(__file__).parent / "assets"


def asset(name: str) -> str:
    """Text of a file of the player."""
    return (FOLDER / name).read_text(encoding="utf-8")


_player = component(
    "rvq_lens_player",
    html=asset("player.html"),
    css=asset("player.css"),
    js="\n".join(asset(name) for name in SCRIPTS),
)


def clip_player(content: bytes, *, key: str, on_view_change: Callable[[], None]) -> None:
    """Draw the payload; ``st.session_state[key]["view"]`` is the reader's choice whenever ``on_view_change`` runs."""
    _player(key=key, data=content, on_view_change=on_view_change)


def play_scene(
    places: Sequence[Sequence[Actor]],
    names: Sequence[str],
    parents: Sequence[int],
    fps: float,
    *,
    alt: str,
    key: str,
    progress: NDArray[np.floating[Any]] | None = None,
) -> None:
    """Draw figures without tokens and errors, as ``scene`` puts them together."""
    _player(key=key, data=scene(places, names, parents, fps, alt=alt, progress=progress))
