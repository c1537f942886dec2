"""The last choice in the sidebar, kept from one start of the dashboard to the next."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from platformdirs import user_state_dir

from dashboard import sources
from rvq_core.files import written_whole

VARIABLE = "RVQ_LENS_MEMORY"
"""Names the file; where it is not set, nothing is kept: rvq-lens sets it, tests and other starts do not."""

MOST_PLACES = 50

logger = logging.getLogger(__name__)


def usual_file() -> Path:
    """Where the choice is kept unless the user says otherwise."""
    return Path(user_state_dir("rvq-lens")) / "last_choice.json"


def recall() -> dict[str, str]:
    """What was chosen last with the folders that were given at this start; empty where nothing is known."""
    return _places().get(_place(), {})


def remember(choice: dict[str, str]) -> None:
    """Keep a choice for the next start. A disk that refuses is logged: the page goes on without."""
    file = _file()
    if file is None:
        return
    places = _places()
    if places.get(_place()) == choice:
        return
    places.pop(_place(), None)
    places[_place()] = choice
    kept = dict(list(places.items())[-MOST_PLACES:])
    try:
        with written_whole(file) as temporary:
            temporary.write_text(json.dumps(kept), encoding="utf-8")
    except OSError as error:
        logger.warning("the choice is not remembered: %s", error)


def _places() -> dict[str, dict[str, str]]:
    """Choices by the folders they were made with; a file that is missing or damaged holds none."""
    file = _file()
    if file is None:
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        str(place): {str(key): str(value) for key, value in choice.items()}
        for place, choice in found.items()
        if isinstance(choice, dict)
    }


def _file() -> Path | None:
    value = os.environ.get(VARIABLE)
    return Path(value).expanduser() if value else None


def _place() -> str:
    return f"{sources.given_checkpoints() or ''} | {sources.given_clips() or ''}"
