"""What goes wrong in a job, as it crosses from the worker to the pages."""

from __future__ import annotations

from typing import Any

from rvq_core import errors
from rvq_core.errors import RVQLensError


class JobError(RVQLensError):
    """The computation ended without a result, for no fault of what it was given."""


def to_message(error: RVQLensError) -> dict[str, Any]:
    """The error as values for JSON."""
    parts = {"where": error.where, "expected": error.expected, "found": error.found, "do": error.do}
    return {"error": type(error).__name__, **parts}


def from_message(message: dict[str, Any]) -> RVQLensError:
    """The error that ``to_message`` told of."""
    kind = getattr(errors, str(message["error"]), JobError)
    return kind(message["where"], expected=message["expected"], found=message["found"], do=message["do"])


def ended(what: str, signal: str | None) -> JobError:
    """The worker is gone: ended by a signal, or by itself."""
    if signal is None:
        return JobError(
            what, expected="the computation to end", found="that its process has stopped",
            do="the terminal of RVQ Lens may show why; try again",
        )  # fmt: skip
    return JobError(
        what, expected="the computation to end", found=f"that its process was ended ({signal})",
        do="a system does that where memory runs out: choose fewer clips or a smaller model, or try again",
    )  # fmt: skip


def out_of_memory(what: str) -> JobError:
    """The computation asked for more memory than there is."""
    return JobError(
        what, expected="enough memory", found="too little", do="choose fewer clips or a smaller model, or try again"
    )


def no_room(what: str, error: OSError) -> JobError:
    """The disk refused."""
    return JobError(
        what, expected="a disk that takes the result", found=error.strerror or str(error),
        do="free some space, or start with --store FOLDER on another disk",
    )  # fmt: skip


def unknown(what: str, error: Exception) -> JobError:
    """A mistake of this program."""
    return JobError(
        what, expected="a result", found=f"a mistake of RVQ Lens ({type(error).__name__})",
        do="its terminal shows where; please report it with that text",
    )  # fmt: skip


def changed(what: str) -> JobError:
    """What was read is not what the page had seen."""
    return JobError(
        what, expected="the files as the page saw them", found="that they have changed since", do="try again"
    )
