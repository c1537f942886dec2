"""Two checkpoints on the Codebook map: placed by one fit where their latents have one dimension."""

import json
from pathlib import Path

import numpy as np
import published
import pytest
import torch
from plots import values
from streamlit.testing.v1 import AppTest

from dashboard import sources
from dashboard.launch import APP
from rvq_core import load_checkpoint
from rvq_core.stats.projection import pca


@pytest.fixture(autouse=True)
def given_at_start(own_places, tmp_path: Path, monkeypatch, checkpoints: Path, clips: Path):
    """Folders given at start are the test's own, and nothing is bundled."""
    monkeypatch.setattr(sources, "bundled_checkpoints", lambda: tmp_path / "none")
    monkeypatch.setenv(sources.CHECKPOINTS_VARIABLE, str(checkpoints))
    monkeypatch.setenv(sources.CLIPS_VARIABLE, str(clips))


def open_map(**query: str) -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in query.items():
        at.query_params[name] = value
    at = at.switch_page("app_pages/codebook_map.py").run()
    assert not at.exception and not at.error
    return at


def drawn(at: AppTest) -> list[dict]:
    return json.loads(at.get("plotly_chart")[0].proto.spec)["data"]


def outlined(at: AppTest) -> list[dict]:
    return [trace for trace in drawn(at) if trace.get("marker", {}).get("symbol") == "diamond-open"]


def test_another_checkpoint_is_placed_by_one_fit(checkpoints: Path):
    at = open_map(second="b.safetensors")
    (trace,) = outlined(at)
    books = [
        codebook.numpy() for name in "ab" for codebook in load_checkpoint(checkpoints / f"{name}.safetensors").codebooks
    ]
    expected = pca(books).table.query("layer > 2")
    np.testing.assert_allclose(values(trace["x"]), expected["x"], atol=1e-6)
    np.testing.assert_allclose(values(trace["y"]), expected["y"], atol=1e-6)
    assert trace["name"] == "b.safetensors (48)"
    assert drawn(at)[0]["type"] == "contour"  # what the encoder of the first gives, on the plane of both
    assert any("rotated against each other" in caption.value for caption in at.caption)
    assert "all 80 codes" in at.get("download_button")[0].proto.label


def test_one_layer_is_placed_with_the_same_layer_of_the_other():
    (trace,) = outlined(open_map(second="b.safetensors", map_layers="layer 2"))
    assert trace["name"] == "b.safetensors (16)" and trace["text"][0].startswith("<b>layer 2, code 0")


def test_a_layer_that_the_other_has_not_is_told():
    at = open_map(checkpoint="b.safetensors", second="a.safetensors", map_layers="layer 3")
    assert not outlined(at)
    assert "has no layer 3" in at.warning[0].value


def test_codes_of_another_dimension_are_told(checkpoints: Path):
    torch.save(published.with_layers(published.family_state(), published.codebooks()), checkpoints / "six.pt")
    at = open_map(checkpoint="a.safetensors", second="six.pt")
    assert not outlined(at)
    assert "have 6 dimensions, those of this checkpoint 4" in at.warning[0].value


def test_a_second_checkpoint_that_cannot_be_read_is_told(checkpoints: Path):
    (checkpoints / "bad.safetensors").write_bytes(b"not a checkpoint" * 40)
    at = open_map(checkpoint="a.safetensors", second="bad.safetensors")
    assert not outlined(at) and drawn(at)
    assert "bad.safetensors" in at.warning[0].value
