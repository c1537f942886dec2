"""Every page in every state: it says what it can show and what it needs, and is never blank."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from plots import values
from streamlit.testing.v1 import AppTest

from dashboard import app, data, sources
from dashboard.launch import APP
from rvq_core import load_checkpoint
from rvq_core.loading.formats.native import NativeHeader, save_native

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_places")]

PAGES = [file.removesuffix(".py") for file, *_ in app.PAGES]
WITHOUT_CHECKPOINT = ("docs",)
WITHOUT_REPORT = ("docs", "training", "codebook_map")
"""Pages that show something where no clip can be run through the checkpoint."""

SHOWN = ("plotly_chart", "bidi_component", "dataframe", "arrow_data_frame", "imgs", "alert", "download_button")


def open_page(page: str, **query: str) -> AppTest:
    """The page with its query, by way of the first one, as every page is."""
    at = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in query.items():
        at.query_params[name] = value
    at.switch_page(f"app_pages/{page}.py").run()
    assert not at.exception, at.exception
    assert [title.value for title in at.title], "every page says its name"
    return at


def says_something(at: AppTest) -> bool:
    """Whether the page shows more than its title and the sidebar."""
    boxes = len(at.main.info) + len(at.main.error) + len(at.main.warning)
    return boxes > 0 or any(at.main.get(kind) for kind in SHOWN) or sum(len(md.value) for md in at.main.markdown) > 500


@pytest.fixture
def given(tmp_path: Path, monkeypatch) -> Path:
    """An empty folder of checkpoints that is given at start."""
    folder = tmp_path / "given"
    folder.mkdir()
    monkeypatch.setenv(sources.CHECKPOINTS_VARIABLE, str(folder))
    return folder


@pytest.fixture
def motion(tmp_path: Path, monkeypatch) -> Path:
    """An empty folder of clips that is given at start."""
    folder = tmp_path / "motion"
    folder.mkdir()
    monkeypatch.setenv(sources.CLIPS_VARIABLE, str(folder))
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_all_is_well(page):
    at = open_page(page)
    assert not at.error
    assert says_something(at)


@pytest.mark.parametrize("page", PAGES)
def test_nothing_chosen(page, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sources, "bundled_checkpoints", lambda: tmp_path / "none")
    at = open_page(page)
    assert not at.error and says_something(at)
    if page not in WITHOUT_CHECKPOINT:
        assert "no checkpoint" in at.info[0].value and "rvq-lens dash" in at.info[0].value


@pytest.mark.parametrize("page", PAGES)
def test_codebooks_only(page, given: Path):
    layer = {"embed": torch.randn(1, 12, 5), "initted": torch.tensor(True), "cluster_size": torch.full((1, 12), 2.0)}
    torch.save({f"layers.{q}._codebook.{name}": value for q in range(3) for name, value in layer.items()},
               given / "rvq.pt")  # fmt: skip
    at = open_page(page)
    assert not at.error and says_something(at)
    if page not in WITHOUT_REPORT:
        assert "without an encoder" in at.info[0].value
    if page == "training":
        assert "no training history" in at.info[0].value


@pytest.mark.parametrize("page", PAGES)
def test_a_single_layer(page, given: Path, save_checkpoint):
    save_checkpoint(given / "one.safetensors", quantizers=1)
    at = open_page(page)
    assert not at.error and says_something(at)


@pytest.mark.parametrize("page", PAGES)
def test_index_files_only(page, motion: Path):
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        np.save(motion / f"{name}.npy", rng.integers(0, 16, (40, 2)).astype(np.int64))
    at = open_page(page)
    # The other checkpoint has three layers: where they are compared, a box says that these indices are of two.
    assert all("What to do" in box.value for box in at.error) and (page == "compare" or not at.error)
    assert says_something(at)
    if page == "codebook_map":
        assert any("indices of codes" in caption.value for caption in at.caption) and at.get("plotly_chart")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("broken", ["checkpoint", "clips"])
def test_failed(page, broken, given: Path, motion: Path, save_checkpoint):
    if broken == "checkpoint":
        (given / "bad.safetensors").write_bytes(b"not a checkpoint" * 40)
        np.save(motion / "one.npy", np.zeros((40, 12), np.float32))
    else:
        save_checkpoint(given / "good.safetensors")
        np.save(motion / "one.npy", np.full((40, 12), np.nan, np.float32))
    at = open_page(page)
    if page not in WITHOUT_CHECKPOINT and not (broken == "clips" and page == "training"):
        (box,) = at.error
        assert all(word in box.value for word in ("Expected", "Found", "What to do"))
    assert says_something(at)


@pytest.mark.parametrize("page", PAGES)
def test_partly_left_out(page, clips: Path):
    np.save(clips / "bad.npy", np.full((40, 12), np.nan, np.float32))
    at = open_page(page)
    assert not at.error and says_something(at)
    if page == "overview":
        assert [e.label for e in at.expander if "left out" in e.label] == ["1 left out, the rest is analysed"]


@pytest.mark.parametrize("page", PAGES)
def test_analysing_can_be_cancelled_and_taken_up_again(page):
    data.jobs().all_cancelled = True
    at = open_page(page)
    assert not at.error and says_something(at)
    if page == "overview":
        assert "was cancelled" in at.info[0].value and not at.get("plotly_chart")
        data.jobs().all_cancelled = False
        at.button[0].click().run()
        assert at.get("plotly_chart") and not at.info


NONSENSE = {
    "checkpoint": ["../../etc/passwd", "", "x" * 10_000, "\x00\n<script>alert(1)</script>"],
    "clips": ["/etc", "bundled"], "split": ["half"], "clip": ["../one"], "n": ["-1", "99"], "code": ["-1", "1e9"],
    "layer": ["99", "-1", "two"], "seed": ["-5", "1e400"], "n_neighbors": ["0"], "min_dist": ["nan"],
    "map_layers": ["layer 99"], "projection": ["TSNE"], "overlay": ["gone"], "topic": ["../../README"],
    "section": ["none"], "activation": ["tanh"], "dilation": ["-3"], "order": ["x"], "status_filter": ["dead"],
}  # fmt: skip


@pytest.mark.parametrize(("turn", "page"), [*enumerate(PAGES), *((turn, "codebook_map") for turn in range(4))])
def test_nonsense_in_a_link_is_told_and_ignored(page, turn):
    query = {key: values[turn % len(values)] for key, values in NONSENSE.items()}
    at = open_page(page, **query)
    assert not at.error
    assert at.warning and all(len(box.value) < 1500 for box in at.warning)
    assert says_something(at)


GROUPED = {
    "usage": "Perplexity of each group of clips",
    "reconstruction": "Error of each group of clips, all quantizers",
}


@pytest.mark.parametrize("page", GROUPED)
def test_groups_beside_the_clips_are_shown(page, motion: Path):
    rng = np.random.default_rng(0)
    for number in range(6):
        np.save(motion / f"c{number}.npy", rng.normal(size=(40, 12)).astype(np.float32))
    at = open_page(page)
    assert GROUPED[page] not in [heading.value for heading in at.subheader]
    (motion / "groups.csv").write_text(
        "clip,group\n" + "".join(f"c{n},{'calm' if n < 5 else 'angry'}\n" for n in range(6))
    )
    at.run()
    assert not at.error and not at.warning
    assert GROUPED[page] in [heading.value for heading in at.subheader]
    (motion / "groups.csv").write_text("clip,group\nnobody,calm\n")
    at.run()
    assert GROUPED[page] not in [heading.value for heading in at.subheader]
    (warning,) = at.warning
    assert "No groups are shown" in warning.value and "nobody" in warning.value and not at.error


def test_a_split_given_at_start_leaves_the_other_clips_out(motion: Path, tmp_path: Path, monkeypatch):
    for name in ("one", "two"):
        np.save(motion / f"{name}.npy", np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32))
    (tmp_path / "test.txt").write_text("two\nthree\n")
    monkeypatch.setenv(sources.SPLIT_VARIABLE, str(tmp_path / "test.txt"))
    at = open_page("reconstruction")
    assert "of 1 clip " in at.caption[0].value
    assert any("1 of the 2 names in test" in warning.value for warning in at.warning)


def test_before_clips_are_analysed_the_usage_that_the_checkpoint_stores_is_shown(checkpoints: Path):
    ckpt = load_checkpoint(checkpoints / "a.safetensors")
    counts = [[4] * 16, [8] * 8 + [0] * 8]  # equal use of 16 and of 8 codes
    training = {"code_counts": {"train": counts}, "train_clips": ["one", "two"]}
    save_native(
        checkpoints / "a.safetensors", ckpt.model, ckpt.normalizer, NativeHeader(ckpt.config, None, 30.0, training)
    )
    data.jobs().all_cancelled = True
    at = open_page("overview", checkpoint="a.safetensors")
    (chart,) = at.get("plotly_chart")
    figure = json.loads(chart.proto.spec)
    marks = next(trace for trace in figure["data"] if trace["name"].startswith("training"))
    np.testing.assert_allclose(values(marks["y"]), [16, 8])
    assert marks["name"] == "training, 64 tokens"
    assert any("train: 2 clips" in caption.value for caption in at.caption)
    data.jobs().all_cancelled = False
    at.button[0].click().run()
    assert len(at.get("plotly_chart")) == 2
