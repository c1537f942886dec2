from dataclasses import replace

import numpy as np
import pytest

from rvq_core.clips.clip import Clip, fingerprint


@pytest.fixture
def clip() -> Clip:
    return Clip("walk", 30.0, np.arange(12, dtype=np.float32).reshape(4, 3), "raw")


def test_frames_and_seconds(clip):
    assert (clip.frames, clip.seconds) == (4, 4 / 30)


def test_the_fingerprint_changes_with_the_motion_and_not_with_the_notes(clip):
    changed = clip.features.copy()
    changed[3, 2] += 1e-6 * changed[3, 2]
    others = [replace(clip, name="run"), replace(clip, fps=60.0), replace(clip, features=changed)]
    assert len({clip.fingerprint, *(other.fingerprint for other in others)}) == 4
    assert replace(clip, notes=("resampled",)).fingerprint == clip.fingerprint
    assert replace(clip, features=np.asfortranarray(clip.features)).fingerprint == clip.fingerprint


def test_the_order_of_clips_counts(clip):
    other = replace(clip, name="run")
    assert fingerprint([clip, other]) != fingerprint([other, clip])
