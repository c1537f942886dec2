"""Starting the dashboard from the command line."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

from dashboard import memory
from dashboard.sources import CHECKPOINTS_VARIABLE, CLIPS_VARIABLE, GROUPS_VARIABLE, SPLIT_VARIABLE
from dashboard.store import VARIABLE as STORE_VARIABLE
from rvq_core.errors import SettingsError

ADDRESS = "127.0.0.1"
APP = Path(__file__).resolve().parent / "app.py"


def launch(
    checkpoints: Path | None = None,
    clips: Path | None = None,
    port: int | None = None,
    *,
    groups: Path | None = None,
    split: Path | None = None,
    store: Path | None = None,
) -> None:
    """Serve the dashboard on 127.0.0.1 until it is stopped; prints the address and asks nothing.

    ``checkpoints`` and ``clips`` are folders (or files) to choose from beside the bundled ones. ``groups`` (a CSV of
    clip, group) and ``split`` (a list of names) count for ``clips``, or for the bundled ones.
    Results are kept in the folder ``store``. Without a ``port`` the first free one from 8501 on is taken; raises
    SettingsError where the one that is given cannot be had.
    """
    import streamlit as st

    if port is not None:
        _check_port(port)

    handed = {
        CHECKPOINTS_VARIABLE: checkpoints, CLIPS_VARIABLE: clips, GROUPS_VARIABLE: groups, SPLIT_VARIABLE: split,
        STORE_VARIABLE: store,
    }  # fmt: skip
    for variable, path in handed.items():
        if path is not None:
            os.environ[variable] = str(path.resolve())
    os.environ.setdefault(memory.VARIABLE, str(memory.usual_file()))
    # Streamlit looks for .streamlit/config.toml beside what was started: the app, not the console script.
    sys.argv = [str(APP)]
    st.App(str(APP)).run(config=settings(port))


def _check_port(port: int) -> None:
    """Say in our own words what Streamlit would say in its log."""
    if not 1 <= port <= 65535:
        raise SettingsError("--port", expected="a number in 1..65535", found=str(port), do="choose another port")
    with socket.socket() as probe:
        # As the server does: a port that a dashboard has just left can be taken again at once.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise SettingsError(
                f"--port {port}", expected="a free port", found=error.strerror or str(error), do="choose another port"
            ) from error


def settings(port: int | None) -> dict[str, Any]:
    """Return Streamlit's options that must hold wherever it is started; the rest stands in .streamlit/config.toml."""
    fixed: dict[str, Any] = {
        "server.address": ADDRESS,
        "browser.gatherUsageStats": False,
        "server.showEmailPrompt": False,
    }
    return fixed if port is None else fixed | {"server.port": port}
