"""Where the bundled checkpoints, clips and texts lie: inside the installed package, or at the top of a source tree."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def bundled_checkpoints() -> Path:
    """Folder of the bundled checkpoints."""
    return _bundled("checkpoints")


def bundled_clips() -> Path:
    """Folder of the bundled motion clips."""
    return _bundled("clips")


def bundled_docs() -> Path:
    """Folder of the texts that explain metrics, tables and formats."""
    return _bundled("docs")


def _bundled(name: str) -> Path:
    installed = _PACKAGE / "_bundled" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
