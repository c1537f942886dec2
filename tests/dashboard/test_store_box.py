"""Stored results in the sidebar, and that nothing is computed twice."""

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import data, store_box
from dashboard.jobs.perform import Performer
from dashboard.launch import APP

pytestmark = pytest.mark.usefixtures("own_places")


@pytest.fixture
def computed(monkeypatch) -> list[str]:
    """Keys of what is computed."""
    keys: list[str] = []
    perform = Performer.perform
    monkeypatch.setattr(Performer, "perform", lambda self, request, key, progress: (
        keys.append(key), perform(self, request, key, progress),
    ))  # fmt: skip
    return keys


def open_page() -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not at.exception and not at.error
    return at


def test_nothing_is_computed_twice_in_a_session_in_another_and_after_a_restart(computed):
    at = open_page()
    at.run()
    open_page()
    st.cache_resource.clear()  # as a restart does
    assert open_page().get("plotly_chart")
    assert len(computed) == 1


def test_changed_clips_and_a_changed_checkpoint_are_computed_anew(computed, clips, checkpoints, save_checkpoint):
    at = open_page()
    (clips / "one.npy").unlink()
    at.run()
    assert len(set(computed)) == 2
    save_checkpoint(checkpoints / "a.safetensors", quantizers=1)
    at.run()
    assert len(set(computed)) == 3
    assert not at.error


def test_it_is_looked_at_only_when_it_is_open_and_can_be_cleared(computed, monkeypatch):
    at = open_page()
    assert not [button for button in at.button if button.key == "store_clear"]
    at.session_state["stored_results"] = True
    at.run()
    told = next(caption.value for caption in at.sidebar.caption if "Nothing is computed twice" in caption.value)
    assert told.startswith("1 analysis, 0.") and "MB, in " in told
    at.button(key="store_clear").click().run()
    assert data.store().held().kinds == {"reports": 1}  # that of the page, computed again
    assert len(computed) == 2 and len(set(computed)) == 1


def test_the_limit_can_be_changed():
    at = open_page()
    at.session_state["stored_results"] = True
    at.run()
    assert at.number_input(key="store_limit").value == 4.0
    at.number_input(key="store_limit").set_value(1.5).run()
    assert data.store().most_bytes == 1_500_000_000


def test_amounts_in_words():
    assert store_box.counted({}) == "Nothing yet"
    assert store_box.counted({"reports": 2, "projections": 1}) == "1 map and 2 analyses"
    assert store_box.size(1_234_000) == "1.2 MB" and store_box.size(2_340_000_000) == "2.3 GB"


def test_options_that_change_beside_a_checkpoint_are_noticed(computed, checkpoints, tmp_path, monkeypatch):
    import published
    import torch

    from dashboard import sources

    given = tmp_path / "given"
    given.mkdir()
    state = published.with_layers(published.family_state(dim=12), published.codebooks())
    torch.save({"vq_model": state}, given / "m.tar")
    monkeypatch.setenv(sources.CHECKPOINTS_VARIABLE, str(given))
    at = open_page()
    (given / "opt.txt").write_text("vq_act: silu\n")
    at.run()
    assert len(set(computed)) == 2
    assert any("silu" in text.value for text in at.markdown)
