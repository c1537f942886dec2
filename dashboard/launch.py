"""Starting the dashboard from the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dashboard.sources import CHECKPOINTS_VARIABLE, CLIPS_VARIABLE

APP = Path(__file__).resolve().parent / "app.py"


def launch(checkpoints: Path | None = None, clips: Path | None = None, port: int | None = None) -> None:
    """Serve the dashboard on 127.0.0.1 until it is stopped; prints the address and asks nothing.

    ``checkpoints`` and ``clips`` are folders (or files) to choose from beside the bundled ones.
    """
    import streamlit as st

    for variable, path in ((CHECKPOINTS_VARIABLE, checkpoints), (CLIPS_VARIABLE, clips)):
        if path is not None:
            os.environ[variable] = str(path.resolve())
    st.App(str(APP)).run(config=settings(port))


def settings(port: int | None) -> dict[str, Any]:
    """Return Streamlit's options that must hold wherever it is started; the rest stands in .streamlit/config.toml."""
    fixed: dict[str, Any] = {
        "server.address": "127.0.0.1",
        "browser.gatherUsageStats": False,
        "server.showEmailPrompt": False,
    }
    return fixed if port is None else fixed | {"server.port": port}
