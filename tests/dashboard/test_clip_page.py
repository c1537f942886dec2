"""The Clip page in its states, without a browser."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.launch import APP
from dashboard.player import unpack, window

pytestmark = pytest.mark.usefixtures("own_places")


def open_clip(**query: str) -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=60)
    at.switch_page("app_pages/clip.py")
    for name, value in query.items():
        at.query_params[name] = value
    return at.run()


def healthy(at: AppTest) -> AppTest:
    assert not at.exception, at.exception
    assert not at.error, [box.value for box in at.error]
    return at


def shown(at: AppTest):
    return unpack(at.get("bidi_component")[0].proto.bytes)


def badges(at: AppTest) -> str:
    return " ".join(element.value for element in at.markdown)


def test_the_first_clip_of_the_report_is_shown_with_its_tokens_and_errors():
    at = healthy(open_clip())
    header, arrays = shown(at)
    assert header["clip"]["name"] == at.selectbox(key="clip_chosen").value
    assert arrays["tokens"].shape[1] == 2
    assert header["depths"] == [0, 1, 2, -1]
    # Raw features: no joints are known, so the error is that of features.
    assert header["figure"] is None and header["metric"] == {"name": "feature MSE", "unit": "1"}
    assert at.query_params["clip"] == header["clip"]["name"]


def test_training_clips_are_marked_in_the_list_and_beside_it():
    at = healthy(open_clip(clip="one"))
    assert set(at.selectbox(key="clip_chosen").options) == {"one · trained on", "two · trained on", "three · held out"}
    assert "trained on" in badges(at) and "held out" not in badges(at)
    at.selectbox(key="clip_chosen").select("three").run()
    assert "held out" in badges(healthy(at)) and "trained on" not in badges(at)
    assert shown(at)[0]["clip"]["name"] == "three"
    assert at.query_params["clip"] == "three"


def test_the_chosen_clip_stays_when_another_checkpoint_marks_it_otherwise():
    at = healthy(open_clip(clip="two"))
    at.selectbox(key="checkpoint").select("b").run()
    header, arrays = shown(healthy(at))
    assert header["clip"]["name"] == at.selectbox(key="clip_chosen").value == "two"
    assert arrays["tokens"].shape[1] == 3
    assert "trained on or held out: not known" in badges(at)
    assert set(at.selectbox(key="clip_chosen").options) == {"one", "two", "three"}


def test_a_link_restores_clip_and_view():
    at = healthy(open_clip(clip="three", n="1", layout="over", paint="error", tokens="code"))
    header, _ = shown(at)
    assert header["clip"]["name"] == "three"
    told = {"n": "1", "layout": "over", "paint": "error", "place": "own", "tokens": "code"}
    assert header["view"] == told


def test_a_link_to_a_clip_that_is_not_here_says_so():
    at = healthy(open_clip(clip="<b>gone</b>"))
    assert "not among" in at.warning[0].value and "gone" not in at.warning[0].value
    assert shown(at)[0]["clip"]["name"] in ("one", "two", "three")


def test_the_shares_are_those_of_the_report():
    header, arrays = shown(healthy(open_clip(clip="one", split="all")))
    assert header["clip"]["total"] == 40 and arrays["tokens"].shape == (20, 2)
    # 67 tokens of three clips: a share is a whole number of them, and those of this clip are counted at least.
    counts = arrays["shares"] * 67
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-3)
    for q in range(2):
        codes, here = np.unique(arrays["tokens"][:, q], return_counts=True)
        for code, count in zip(codes, here, strict=True):
            assert counts[arrays["tokens"][:, q] == code, q].min() >= count - 1e-3


def test_a_clip_too_long_to_be_sent_at_once_has_a_slider_for_its_start(monkeypatch):
    monkeypatch.setattr("dashboard.player.window", partial(window, most_bytes=400))
    at = healthy(open_clip(clip="two"))
    header, _ = shown(at)
    assert header["clip"]["frames"] < header["clip"]["total"] == 64
    at.slider(key="start").set_value(1).run()
    assert shown(healthy(at))[0]["clip"]["start"] == 30


def test_motion_has_figures_that_follow_the_clips_path(smplx: Path, save_motion):
    save_motion(smplx / "walk.npz", 30)
    at = healthy(open_clip())
    header, arrays = shown(at)
    assert header["metric"] == {"name": "canonical-skeleton MPJPE, body", "unit": "mm"}
    assert arrays["joints"].shape == (5, 30, 55, 3)
    assert header["figure"]["travels"] and not header["figure"]["drifts"]
    assert any("moves both figures alike" in caption.value for caption in at.caption)


def test_a_clip_of_one_token_is_shown(smplx: Path, save_motion):
    save_motion(smplx / "short.npz", 2)
    header, arrays = shown(healthy(open_clip()))
    assert header["clip"]["frames"] == 2 and arrays["tokens"].shape == (1, 2)


def test_latents_show_their_tokens_alone(smplx: Path):
    np.save(smplx / "latents.npy", np.random.default_rng(0).normal(size=(1, 4, 9)).astype(np.float32))
    header, arrays = shown(healthy(open_clip()))
    assert header["depths"] == [] and header["figure"] is None
    assert arrays["tokens"].shape == (9, 2)
