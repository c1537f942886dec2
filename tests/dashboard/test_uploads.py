"""Uploads: kept, chosen, taken away again, and what is said when they cannot be kept."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import sources, uploads

pytestmark = pytest.mark.usefixtures("own_places")


def script():
    from types import SimpleNamespace

    import streamlit as st

    from dashboard import uploads

    def asked(label, *, key, accept_multiple_files=False, help):
        del label, help
        return st.session_state.get(key, [] if accept_multiple_files else None)

    # AppTest cannot drop files: what the widget would give is put into its place.
    uploads.st = SimpleNamespace(**{**vars(st), "file_uploader": asked})
    try:
        uploads.show()
    finally:
        uploads.st = st
    st.write(
        {kind: {name: str(path) for name, path in uploads.named(kind).items()} for kind in ("checkpoint", "clips")}
    )


def upload(name: str, content: bytes):
    from streamlit.proto.Common_pb2 import FileURLs
    from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

    number = f"{name}-{len(content)}"
    return UploadedFile(UploadedFileRec(number, name, "application/octet-stream", content), FileURLs())


def run(at: AppTest) -> dict:
    at.run()
    assert not at.exception, at.exception
    import json

    return json.loads(at.json[0].value)


@pytest.fixture
def at() -> AppTest:
    return AppTest.from_function(script, default_timeout=30)


def test_nothing_uploaded_changes_nothing(at):
    at.session_state["checkpoint"] = "a"
    assert run(at) == {"checkpoint": {}, "clips": {}}
    assert at.session_state["checkpoint"] == "a"


def test_a_new_checkpoint_is_kept_and_chosen_and_gone_with_its_file(at):
    at.session_state["checkpoint_upload"] = upload("../best model.tar", b"abc")
    ((name, path),) = run(at)["checkpoint"].items()
    assert name == at.session_state["checkpoint"] == "best_model.tar (uploaded)"
    assert Path(path).read_bytes() == b"abc"
    at.session_state["checkpoint"] = "a"  # another choice stays: the upload is not new any more
    run(at)
    assert at.session_state["checkpoint"] == "a"
    at.session_state["checkpoint_upload"] = None
    assert run(at)["checkpoint"] == {}
    assert "checkpoint" not in at.session_state


def test_clips_of_one_upload_lie_together_and_companions_do_not_count(at):
    files = [upload("01_01.amc", b"1"), upload("01.asf", b"22"), upload("01_01.AMC", b"333")]
    at.session_state["clips_upload"] = files
    paths = [Path(path) for path in run(at)["clips"].values()]
    assert [path.read_bytes() for path in paths] == [b"1", b"22", b"333"]
    assert paths[0].parent == paths[1].parent != paths[2].parent
    assert at.session_state["clips"] == "uploaded (2)"


def test_a_full_disk_is_told_and_nothing_is_chosen(at, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sources.UploadFolder, "keep", full)
    at.session_state["checkpoint_upload"] = upload("big.pt", b"abc")
    assert run(at)["checkpoint"] == {}
    assert "No space left on device" in at.error[0].value and "Make room" in at.error[0].value
    assert "checkpoint" not in at.session_state


def test_the_way_of_a_large_upload_to_disk_is_told_with_the_time_left(monkeypatch):
    def script():
        import itertools
        from types import SimpleNamespace

        import streamlit as st

        from dashboard import uploads

        uploads.time = SimpleNamespace(monotonic=itertools.count(0, 10).__next__)
        copying = uploads._Copying([SimpleNamespace(size=400 * uploads.MEGABYTE)], st.empty())
        copying(100 * uploads.MEGABYTE)

    monkeypatch.setattr(uploads, "time", uploads.time)
    at = AppTest.from_function(script).run()
    (bar,) = at.get("progress")
    assert bar.proto.text == "Taking the upload: 100 of 400 MB, about 30 s left" and bar.proto.value == 25
