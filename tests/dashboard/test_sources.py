import gc
from io import BytesIO
from pathlib import Path

import pytest

from dashboard import sources


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("walk_01.npz", "walk_01.npz"),
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\best model.pt", "best_model.pt"),
        (".hidden", "hidden"),
        ("naïve;rm -rf.npy", "na_ve_rm_-rf.npy"),
        ("..", "file"),
        ("", "file"),
        ("x" * 300 + ".npz", "x" * 116 + ".npz"),
    ],
)
def test_uploaded_names_become_safe(name, kept):
    assert sources.safe_name(name) == kept


def test_uploads_stay_in_their_folder_and_go_with_it():
    folder = sources.UploadFolder()
    root = folder.path
    path = folder.keep("clips", "../../x.npz", "id/../1", BytesIO(b"abc"))
    assert path.is_relative_to(root)
    assert path.read_bytes() == b"abc"
    del folder
    gc.collect()
    assert not root.exists()


def test_uploads_of_one_name_stay_apart():
    folder = sources.UploadFolder()
    first, second = (folder.keep("clips", "x.npz", number, BytesIO(number.encode())) for number in ("1", "2"))
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")


def test_an_upload_is_copied_in_pieces_that_are_told_and_a_broken_one_leaves_nothing(monkeypatch):
    monkeypatch.setattr(sources, "PIECE", 4)
    folder, told = sources.UploadFolder(), []
    content = BytesIO(b"0123456789")
    content.read()  # as a file that was read before
    path = folder.keep("clips", "x.npy", "1", content, told.append)
    assert path.read_bytes() == b"0123456789" and told == [4, 4, 2]

    def stopped(_size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.keep("clips", "y.npy", "2", content, stopped)
    assert [file.name for file in folder.path.rglob("*") if file.is_file()] == ["x.npy"]


def test_the_folder_given_at_start_comes_before_the_bundled_one(tmp_path: Path, monkeypatch):
    bundled = tmp_path / "bundled"
    given = tmp_path / "given"
    for path in (bundled / "a.safetensors", bundled / "healthy.safetensors", given / "run" / "best.pth.tar",
                 given / ".trash" / "old.pt", given / "notes.txt"):  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setattr(sources, "bundled_checkpoints", lambda: bundled)
    monkeypatch.setenv(sources.CHECKPOINTS_VARIABLE, str(given))
    assert list(sources.list_checkpoints()) == ["run/best.pth.tar", "healthy", "a"]
    monkeypatch.delenv(sources.CHECKPOINTS_VARIABLE)
    assert list(sources.list_checkpoints()) == ["healthy", "a"]


def test_what_all_checkpoints_of_a_folder_lie_in_is_no_part_of_their_names(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sources, "bundled_checkpoints", lambda: tmp_path / "none")
    monkeypatch.setenv(sources.CHECKPOINTS_VARIABLE, str(tmp_path / "given"))
    model = tmp_path / "given" / "t2m" / "rvq_nq6" / "model"
    model.mkdir(parents=True)
    for name in ("latest.tar", "net_best_fid.tar"):
        (model / name).touch()
    assert list(sources.list_checkpoints()) == ["latest.tar", "net_best_fid.tar"]
    (tmp_path / "given" / "t2m" / "other.tar").touch()
    assert list(sources.list_checkpoints()) == [
        "other.tar",
        "rvq_nq6/model/latest.tar",
        "rvq_nq6/model/net_best_fid.tar",
    ]


def test_a_link_out_of_the_folder_is_no_checkpoint_of_it(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sources, "bundled_checkpoints", lambda: tmp_path / "none")
    monkeypatch.setenv(sources.CHECKPOINTS_VARIABLE, str(tmp_path / "given"))
    for path in (tmp_path / "given" / "own.pt", tmp_path / "secret.pt"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "given" / "out.pt").symlink_to(tmp_path / "secret.pt")
    (tmp_path / "given" / "latest.pt").symlink_to("own.pt")
    assert list(sources.list_checkpoints()) == ["latest.pt", "own.pt"]


def test_a_changed_clip_has_another_stamp(tmp_path: Path):
    clip = tmp_path / "sub" / "one.npy"
    clip.parent.mkdir()
    clip.write_bytes(b"1")
    before = sources.clip_stamps([tmp_path])
    clip.write_bytes(b"12")
    assert [stamp.size for stamp in before] == [1]
    assert sources.clip_stamps([tmp_path]) != before


def test_a_missing_file_has_a_stamp_too(tmp_path: Path):
    assert sources.clip_stamps([tmp_path / "none.npz"])[0].size == -1


@pytest.fixture
def given(tmp_path: Path, monkeypatch) -> Path:
    """A folder of clips given at start, with groups and a split that are given too."""
    for name, variable in zip(("clips", "g.csv", "s.txt"), sources.VARIABLES[1:], strict=True):
        monkeypatch.setenv(variable, str(tmp_path / name))
    (tmp_path / "clips").mkdir()
    return tmp_path / "clips"


def test_split_and_groups_given_at_start_are_of_the_clips_given_at_start(given: Path, tmp_path: Path):
    assert (sources.groups_file([given]), sources.split_file([given])) == (tmp_path / "g.csv", tmp_path / "s.txt")
    for others in ([sources.clip_folders()["bundled"]], [given / "upload.npz", given / "another.npz"]):
        assert (sources.groups_file(others), sources.split_file(others)) == (None, None)


def test_groups_that_lie_with_the_clips_are_found_unless_others_are_given(given: Path, tmp_path: Path, monkeypatch):
    (given / "groups.csv").touch()
    assert sources.groups_file([given]) == tmp_path / "g.csv"
    monkeypatch.delenv(sources.GROUPS_VARIABLE)
    assert sources.groups_file([given]) == given / "groups.csv"
