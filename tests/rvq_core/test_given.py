"""Slips of those who call the library: told in one line, with what to call."""

from pathlib import Path

import numpy as np
import pytest

from rvq_core.analysis import analyze
from rvq_core.clips.clip import Clip
from rvq_core.clips.load import ClipSet
from rvq_core.compare import compare
from rvq_core.errors import CheckpointError, ClipError
from rvq_core.inspection import inspect
from rvq_core.loading import load_checkpoint
from rvq_core.parts import PartSet, analyze_parts

CLIP = Clip("walk", 30.0, np.zeros((8, 330), np.float32), "smplx_rot6d")
NO_CHECKPOINT = {
    "x.safetensors": "found a path ('x.safetensors'); open it: load_checkpoint('x.safetensors')",
    Path("run/x.pth"): "found a path ('run/x.pth'); open it: load_checkpoint('run/x.pth')",
    None: "found an object of type NoneType; open one: load_checkpoint(PATH)",
    CLIP: "found an object of type Clip; open one: load_checkpoint(PATH)",
}
NO_CLIPS = (
    ("clips", "expected a list of clips, found a path ('clips'); read them: load_clips('clips')"),
    (Path("a.npz"), "expected a list of clips, found a path ('a.npz'); read them: load_clips('a.npz')"),
    (CLIP, "expected a list of clips, found an object of type Clip; put the clip into a list: [clip]"),
    (["a.npz"], "expected a list of clips, found among them a path ('a.npz'); read them: load_clips(PATHS)"),
    (
        [CLIP, None],
        "expected a list of clips, found among them an object of type NoneType; read them: load_clips(PATHS)",
    ),
    (ClipSet([CLIP], []), "expected a list of clips, found an object of type ClipSet; give its clips: clip_set.clips"),
    (
        (clip for clip in [CLIP]),
        "expected a list of clips, found an object of type generator; put them into a list: list(clips)",
    ),
    (7, "expected a list of clips, found an object of type int; read them: load_clips(PATHS)"),
)


@pytest.mark.parametrize("given", NO_CHECKPOINT, ids=repr)
def test_what_is_no_checkpoint(given):
    for call in (lambda: analyze(given, [CLIP]), lambda: inspect(given), lambda: compare([given, given], [CLIP])):
        with pytest.raises(CheckpointError) as told:
            call()
        assert str(told.value) == f"the checkpoint: expected an open checkpoint, {NO_CHECKPOINT[given]}"


@pytest.mark.parametrize(("given", "expected"), NO_CLIPS, ids=[type(given).__name__ for given, _ in NO_CLIPS])
def test_what_are_no_clips(make_checkpoint, given, expected):
    checkpoint = load_checkpoint(make_checkpoint())
    part_set = PartSet("set", Path("set"), {"upper": checkpoint})
    for call in (
        lambda: analyze(checkpoint, given),
        lambda: compare([checkpoint, checkpoint], given),
        lambda: analyze_parts(part_set, given),
    ):
        with pytest.raises(ClipError) as told:
            call()
        assert str(told.value) == f"the clips: {expected}"
