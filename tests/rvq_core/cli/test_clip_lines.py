"""The lines that the terminal has for clips."""

import pandas as pd
import pytest

from rvq_core.cli.clip_lines import clip_lines


@pytest.mark.parametrize(
    ("metric", "value", "shown"),
    [
        ("mpjpe", 13.04, "168 frames      13 mm"),
        ("mpjpe", 1030.4, "168 frames   1,030 mm"),
        ("mpjpe", 1234567.8, "168 frames 1,234,568 mm"),
        ("feature_mse", 0.012345, "168 frames     0.0123"),
        ("feature_mse", 1e-7, "168 frames      1e-07"),
        ("mpjpe", float("nan"), "168 frames           "),
    ],
)
def test_an_error_of_any_size_stands_apart(metric, value, shown):
    clips = pd.DataFrame({"clip": ["22x3"], "frames": [168], "held_out": [True], "notes": [""], metric: [value]})
    assert clip_lines(clips) == ["clips:", f"  22x3    {shown}  held out    taken as it is"]
