from pathlib import Path

import numpy as np
import pytest

from rvq_core.clips import load_clips, read_clips
from rvq_core.clips.split import Split, choose, read_split
from rvq_core.errors import ClipError


def split(*names: str) -> Split:
    return Split(Path("test.txt"), names)


def test_a_list_of_names_as_humanml3d_writes_it(tmp_path):
    (tmp_path / "test.txt").write_text("\ufeff004822\r\n014457\n\n  M009613 \n004822\n", encoding="utf-8")
    assert read_split(tmp_path / "test.txt").names == ("004822", "014457", "M009613")


@pytest.mark.parametrize(
    ("name", "plain"),
    [("walk", True), ("walk.npy", True), ("b/walk", True), ("a/b/walk.npy", True), ("c/walk", False), ("wal", False)],
)
def test_a_name_may_have_its_ending_and_folders(name, plain):
    files = [Path("/data/a/b/walk.npy"), Path("/data/a/b/run.npy")]
    if plain:
        assert choose(files, split(name, "run")) == (files, [])
    else:
        assert choose(files, split(name, "run")) == (files[1:], [name])


def test_names_with_dots_stay_whole():
    files = [Path("/data/take.01.npy"), Path("/data/take.02.npy")]
    assert choose(files, split("take.01")).files == files[:1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found an empty file"),
        (b"\n \n", "found an empty file"),
        (b"\xff\xfe\x00", "found bytes that are no text"),
    ],
)
def test_what_is_no_list_is_named(tmp_path, content, message):
    (tmp_path / "test.txt").write_bytes(content)
    with pytest.raises(ClipError, match=rf"test\.txt: expected a list of clips' names, one a line, {message}"):
        read_split(tmp_path / "test.txt")
    with pytest.raises(ClipError, match=r"gone\.txt: .* found No such file"):
        read_split(tmp_path / "gone.txt")


def test_only_the_names_of_the_split_are_read(tmp_path, write_npy):
    for name in ("000001", "000002", "M000001"):
        write_npy(np.ones((9, 263)), f"new_joint_vecs/{name}.npy")
    (tmp_path / "new_joint_vecs" / "000003.npy").write_bytes(b"broken, and never looked at")
    (tmp_path / "test.txt").write_text("000002\n000009\nM000001\n")
    found = read_clips(tmp_path / "new_joint_vecs", split=tmp_path / "test.txt")
    assert [clip.name for clip in found.clips] == ["000002", "M000001"]
    assert (found.left_out, found.warnings) == (
        [], ("1 of the 3 names in test.txt has no motion file: 000009",),
    )  # fmt: skip
    with pytest.warns(UserWarning, match="1 of the 3 names in test.txt has no motion file"):
        assert len(load_clips(tmp_path / "new_joint_vecs", split=tmp_path / "test.txt")) == 2


def test_a_split_of_other_clips_is_told(tmp_path, write_npy):
    write_npy(np.ones((9, 263)), "a.npy")
    (tmp_path / "test.txt").write_text("x\ny\n")
    with pytest.raises(ClipError, match=r"found 2 names \(x, y\), none of which names any of the files \(1 file\)"):
        load_clips(tmp_path / "a.npy", split=tmp_path / "test.txt")
