from pathlib import Path

import numpy as np
import pytest

from rvq_core.clips import Clip
from rvq_core.clips.groups import group_clips, read_groups
from rvq_core.errors import ClipError


def clip(name: str, source: str | None = None) -> Clip:
    return Clip(name, 30.0, np.zeros((4, 2), np.float32), "raw", source=None if source is None else Path(source))


def test_a_table_of_clips_and_groups(tmp_path):
    (tmp_path / "g.csv").write_text(
        '\ufeffspeaker, clip, group\n2,"a, b",calm\n2,c,angry\n2,c,angry\n', encoding="utf-8"
    )
    assert read_groups(tmp_path / "g.csv") == {"a, b": "calm", "c": "angry"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"g\.csv: expected a header line with the columns clip, group, found an empty file"),
        ("clip,speaker\na,b\n", "found clip, speaker"),
        ("clip,group\n", "found a header alone"),
        ("clip,group\na,\n", r"g\.csv: line 2: expected a clip and its group, found an empty one"),
        ("clip,group\na,x\nb,y\na,z\n", r"line 4: expected one group of a, found x and z"),
        ("clip,group\na\n", "line 2"),
    ],
)
def test_what_is_no_such_table_is_named(tmp_path, content, message):
    (tmp_path / "g.csv").write_text(content)
    with pytest.raises(ClipError, match=message):
        read_groups(tmp_path / "g.csv")


def test_a_file_that_is_no_text_or_not_there(tmp_path):
    (tmp_path / "g.csv").write_bytes(b"\xff\xfe\x00clip")
    for name in ("g.csv", "gone.csv"):
        with pytest.raises(ClipError, match=f"{name}: expected a CSV file of text"):
            read_groups(tmp_path / name)


def test_clips_are_known_by_name_take_and_file():
    clips = [clip("cmu/01"), clip("02", "/x/02.bvh"), clip("b#1", "/x/b.npz"), clip("03")]
    found = group_clips(clips, {"01": "walk", "02.bvh": "run", "b": "run", "gone": "sit"}, "/x/g.csv")
    assert found.of_clip == {"cmu/01": "walk", "02": "run", "b#1": "run"}
    assert found.warnings == (
        "clips without a group, in the overall figures only: 1 (03)",
        "names in g.csv that no measured clip has: 1 (gone)",
    )


def test_groups_of_other_clips_are_an_error():
    with pytest.raises(ClipError, match=r"g\.csv: clip: expected names of the clips, such as 01, found 1 others"):
        group_clips([clip("01")], {"x": "y"}, "g.csv")
