"""What a caller in Python gives for a checkpoint or for clips and is none: told by what to call first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from rvq_core.clips.clip import Clip
from rvq_core.clips.load import ClipSet
from rvq_core.errors import CheckpointError, ClipError
from rvq_core.loading.checkpoint import Checkpoint


def refuse_no_checkpoint(given: object) -> None:
    """Raise CheckpointError unless ``given`` is an open checkpoint."""
    if isinstance(given, Checkpoint):
        return
    do = (
        f"open it: load_checkpoint({str(given)!r})"
        if isinstance(given, str | Path)
        else "open one: load_checkpoint(PATH)"
    )
    raise CheckpointError("the checkpoint", expected="an open checkpoint", found=_kind(given), do=do)


def refuse_no_clips(given: object) -> None:
    """Raise ClipError unless ``given`` is a list of clips, or another sequence of them."""
    do = "read them: load_clips(PATHS)"
    if isinstance(given, str | Path):
        do = f"read them: load_clips({str(given)!r})"
    elif isinstance(given, Clip):
        do = "put the clip into a list: [clip]"
    elif isinstance(given, Iterator):
        do = "put them into a list: list(clips)"
    elif isinstance(given, ClipSet):
        do = "give its clips: clip_set.clips"
    elif isinstance(given, Sequence):
        for item in cast(Sequence[object], given):
            if not isinstance(item, Clip):
                raise ClipError("the clips", expected="a list of clips", found=f"among them {_kind(item)}", do=do)
        return
    raise ClipError("the clips", expected="a list of clips", found=_kind(given), do=do)


def _kind(given: object) -> str:
    if isinstance(given, str | Path):
        return f"a path ({str(given)!r})"
    return f"an object of type {type(given).__name__}"
