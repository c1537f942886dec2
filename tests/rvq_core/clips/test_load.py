import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rvq_core.clips import load_clips, read_clips
from rvq_core.errors import ClipError, SettingsError


@pytest.fixture
def folder(tmp_path, write_npz, write_npy, write_deepmimic, frame):
    write_npz("b/talk.npz")
    write_npy(np.ones((9, 263), np.float32), "a/step.npy")
    write_deepmimic([frame()] * 3, "jump.txt")
    return tmp_path


def test_a_folder_is_read_with_its_subfolders_in_sorted_order(folder):
    result = read_clips(folder)
    assert [(clip.name, clip.representation) for clip in result.clips] == [
        ("step", "humanml3d"),
        ("talk", "smplx_rot6d"),
        ("jump", "smplx_rot6d"),
    ]
    assert result.left_out == []
    assert result.clips[1].source == folder / "b" / "talk.npz"


def test_a_path_a_string_and_a_list_are_taken(folder):
    assert [c.name for c in load_clips(str(folder / "jump.txt"))] == ["jump"]
    assert [c.name for c in load_clips([folder / "jump.txt", str(folder / "a")])] == ["jump", "step"]


def test_motion_capture_is_read_and_skeletons_alone_are_passed_over(tmp_path, person, write_bvh, write_amc):
    write_bvh(person(3), "walk.bvh")
    write_amc(name="01_01.amc", skeleton="01.asf")
    result = read_clips(tmp_path)
    assert [(clip.name, clip.representation) for clip in result.clips] == [
        ("01_01", "smplx_rot6d"),
        ("walk", "smplx_rot6d"),
    ]
    assert result.left_out == []
    with pytest.raises(ClipError, match=r"01\.asf: expected a motion, found a skeleton .*give the AMC files beside it"):
        load_clips(tmp_path / "01.asf")


def test_the_same_file_given_twice_is_read_once(folder):
    assert len(load_clips([folder, folder / "jump.txt", folder / "b" / ".." / "jump.txt"])) == 3


def test_what_is_not_motion_is_passed_over_in_folders(folder, write_npy):
    for name in ("README.md", "LICENSE", "LICENSE.txt", "readme.txt", "licence-data.txt", "make.py", "a/index.csv"):
        (folder / name).write_text("about")
    for name in ("Mean.npy", "Std.npy", "b/beat_330_mean.npy", "b/beat_330_std.npy"):
        write_npy(np.ones(263), name)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "bad.npz").write_bytes(b"bad")
    result = read_clips(folder)
    assert (len(result.clips), result.left_out) == (3, [])


def test_a_text_that_is_no_motion_is_left_out_and_told(folder):
    (folder / "notes.txt").write_text("about")
    (path, reason), *rest = read_clips(folder).left_out
    assert (path.name, rest) == ("notes.txt", [])
    assert "expected a DeepMimic motion" in reason


def test_a_bad_file_among_good_ones_is_left_out_with_a_warning(folder, write_npy):
    bad = np.ones((9, 263))
    bad[4] = np.nan
    path = write_npy(bad, "bad.npy")
    with pytest.warns(UserWarning, match=r"left out bad\.npy: .*found nan in frame 4, column 0"):
        assert len(load_clips(folder)) == 3
    with pytest.warns(UserWarning, match=r"left out bad\.npy"):
        assert len(load_clips([path, folder / "jump.txt"])) == 1


def test_a_bad_file_alone_raises_its_own_error(write_npy):
    with pytest.raises(ClipError, match=r"^\S*bad\.npy: expected floating-point"):
        load_clips(write_npy(np.ones((9, 263), int), "bad.npy"))


def test_nothing_readable_raises(tmp_path, write_npy):
    write_npy(np.ones((9, 263), int), "one.npy")
    write_npy(np.ones((9, 263), int), "two.npy")
    with pytest.raises(
        ClipError, match=r"expected at least one readable clip, found 2 files and none readable; .*one\.npy"
    ):
        load_clips(tmp_path)


def test_an_empty_folder_says_so(tmp_path):
    with pytest.raises(ClipError, match=r"expected motion files \(\.npz, .*, \.amc\), found none in this folder"):
        load_clips(tmp_path)
    (tmp_path / "a").mkdir()
    with pytest.raises(ClipError, match="found none in these folders"):
        load_clips([tmp_path, tmp_path / "a"])
    with pytest.raises(ClipError, match=r"clips: .* found no path"):
        load_clips([])


def test_a_path_that_is_not_there_says_so(tmp_path):
    with pytest.raises(ClipError, match=r"missing\.npz: expected a file or a folder, found nothing there"):
        load_clips(tmp_path / "missing.npz")


@pytest.fixture
def close(monkeypatch):
    """Close files and folders to this process: root, who may run the tests, is never refused."""
    closed = set()

    def guarded(call):
        def refuse(path, *args, **kwargs):
            if Path(path) in closed:
                raise PermissionError(13, "Permission denied", str(path))
            return call(path, *args, **kwargs)

        return refuse

    monkeypatch.setattr(Path, "open", guarded(Path.open))
    monkeypatch.setattr(os, "scandir", guarded(os.scandir))
    return closed.add


@pytest.mark.parametrize("name", ["clip.npz", "clip.npy", "clip.bvh", "clip.txt", "clip.amc", "clip.pt"])
def test_a_file_that_is_closed_says_so(tmp_path, close, name):
    path = tmp_path / name
    path.write_bytes(b"of any kind")
    close(path)
    expected = rf"{name}: expected a readable file, found Permission denied; check its permissions$"
    with pytest.raises(ClipError, match=expected):
        load_clips(path)


def test_a_folder_that_is_closed_says_so(folder, close):
    close(folder / "b")
    told = f"{folder / 'b'}: expected a readable folder, found Permission denied; check its permissions"
    found = read_clips(folder)
    assert (len(found.clips), found.left_out, found.warnings) == (2, [], (told,))
    with pytest.raises(ClipError, match=f"^{re.escape(told)}$"):
        load_clips(folder / "b")
    close(folder)
    with pytest.raises(ClipError, match=f"^{re.escape(str(folder))}: expected a readable folder"):
        load_clips(folder)


def test_files_that_may_not_be_looked_at_are_left_out_and_told(folder, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)  # as in a folder that may be listed and not entered
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(
        ClipError, match=r"3 files and none readable; .* found Permission denied; check its permissions"
    ):
        load_clips(folder)


def test_a_path_that_is_not_there_among_others_is_told_twice(folder, tmp_path):
    found = read_clips([folder / "jump.txt", tmp_path / "missing"])
    assert [path.name for path, _ in found.left_out] == ["missing"]
    assert found.warnings == (f"not there, so in none of the figures: {tmp_path / 'missing'}",)


@pytest.mark.parametrize("follow", [True, False])
def test_links_out_of_a_folder_are_followed_unless_it_is_served(tmp_path, write_npy, follow):
    write_npy(np.ones((9, 5)), "served/own.npy")
    write_npy(np.ones((9, 5)), "elsewhere/secret.npy")
    (tmp_path / "served" / "link.npy").symlink_to(tmp_path / "elsewhere" / "secret.npy")
    (tmp_path / "served" / "near.npy").symlink_to(tmp_path / "served" / "own.npy")
    found = read_clips(tmp_path / "served", follow_links=follow)
    assert [clip.name for clip in found.clips] == (["link", "near"] if follow else ["near"])
    assert [path.name for path, _ in found.left_out] == ([] if follow else ["link.npy"])
    assert all("leads out of it" in reason for _, reason in found.left_out)
    # Named itself it is what the user means.
    assert len(read_clips(tmp_path / "served" / "link.npy", follow_links=follow).clips) == 1


def test_an_unknown_file_type_says_so(tmp_path):
    (tmp_path / "clip.fbx").write_bytes(b"")
    with pytest.raises(
        ClipError, match=r"expected a file that ends in \.npz, \.npy, \.pt, \.txt, \.bvh, \.amc, found '\.fbx'"
    ):
        load_clips(tmp_path / "clip.fbx")


def test_files_of_one_name_get_their_folder_then_their_extension(tmp_path, write_npz, write_npy):
    write_npz("a/walk.npz")
    write_npz("b/walk.npz")
    write_npy(np.ones((9, 5)), "b/walk.npy")
    write_npz("b/run.npz")
    names = [clip.name for clip in load_clips(tmp_path)]
    assert names == ["a/walk", "run", "b/walk.npy", "b/walk.npz"]


def test_names_are_unique_even_then(tmp_path, write_npz):
    write_npz("x/a/walk.npz")
    write_npz("y/a/walk.npz")
    assert [clip.name for clip in load_clips(tmp_path)] == ["a/walk.npz#1", "a/walk.npz#2"]


def test_a_representation_given_must_fit(folder, write_npy):
    path = write_npy(np.ones((9, 263)), "step.npy")
    assert load_clips(path, representation="raw")[0].representation == "raw"
    clip = load_clips(folder / "b", representation="raw")[0]
    assert (clip.representation, clip.skeleton) == ("raw", None)
    assert load_clips(folder / "b", representation="smplx_rot6d")[0].representation == "smplx_rot6d"
    with pytest.raises(ClipError, match=r"talk\.npz: expected kit \(D = 251\), found smplx_rot6d \(D = 330\)"):
        load_clips(folder / "b" / "talk.npz", representation="kit")
    with pytest.raises(SettingsError, match="found 'smpl'"):
        load_clips(folder, representation="smpl")


def test_upper_case_extensions_are_known(write_npz, tmp_path):
    write_npz("walk.npz").rename(tmp_path / "WALK.NPZ")
    assert [clip.name for clip in load_clips(tmp_path)] == ["WALK"]


def test_reading_does_not_import_torch(folder):
    code = f"from rvq_core.clips import load_clips; load_clips({json.dumps(str(folder))})"
    code += "; import sys; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert output.stdout.strip() == "False"
