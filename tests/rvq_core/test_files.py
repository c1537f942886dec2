import hashlib
import os
import stat
import sys
from pathlib import Path
from unittest import mock

import pytest

from rvq_core.files import exchange, leads_into, sha256_of, written_whole


def test_what_is_written_takes_the_place_of_the_file(tmp_path):
    path = tmp_path / "new" / "file.txt"
    for text in ("one", "two"):
        with written_whole(path) as temporary:
            temporary.write_text(text)
        assert path.read_text() == text
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("earlier", [True, False])
def test_when_the_block_fails_the_file_stays_as_it_was(tmp_path, error, earlier):
    path = tmp_path / "file.txt"
    if earlier:
        path.write_text("before")
    with pytest.raises(error), written_whole(path) as temporary:
        temporary.write_text("half")
        raise error
    assert [p.read_text() for p in tmp_path.iterdir()] == (["before"] if earlier else [])


def test_the_file_is_as_readable_as_any_other(tmp_path):
    mask = os.umask(0o027)
    try:
        with written_whole(tmp_path / "file") as temporary:
            temporary.write_bytes(b"x")
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(mask)


def test_sha256_is_hashlibs(tmp_path):
    (tmp_path / "file").write_bytes(b"a" * 300_000)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"a" * 300_000).hexdigest()


swaps = pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="this system exchanges no names")


@swaps
def test_folders_change_places(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this disk exchanges no names")
    assert (tmp_path / "a" / "b").exists() and (tmp_path / "b" / "a").exists()


@swaps
@pytest.mark.parametrize("error", [None, OSError("no such library")])
def test_a_system_without_the_call_changes_nothing(tmp_path: Path, error):
    for name in ("a", "b"):
        (tmp_path / name).touch()
    found = mock.Mock(side_effect=error, return_value=mock.Mock(spec=[]))
    with mock.patch("ctypes.CDLL", found):
        assert not exchange(tmp_path / "a", tmp_path / "b")
    found.assert_called_once()


def test_where_one_is_missing_nothing_changes(tmp_path: Path):
    (tmp_path / "a").mkdir()
    assert not exchange(tmp_path / "a", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_link_lies_where_it_leads(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "file").touch()
    (inside / "out").symlink_to(outside / "file")
    (inside / "in").symlink_to(inside / "file")
    (tmp_path / "root").symlink_to(inside)
    assert leads_into(inside / "file", inside) and leads_into(inside / "in", inside)
    assert not leads_into(inside / "out", inside) and not leads_into(inside / ".." / "outside" / "file", inside)
    assert leads_into(inside / "file", tmp_path / "root")  # the folder itself may be named by a link
