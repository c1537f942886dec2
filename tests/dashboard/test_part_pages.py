"""A set of body parts in the dashboard: one choice in the sidebar, of which pages show one part or all."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import app, sources
from dashboard.launch import APP
from dashboard.player import unpack
from rvq_core import Report, analyze, load_checkpoint, load_clips
from rvq_core.parts import PartsReport, analyze_parts, load_part_set

pytestmark = pytest.mark.slow

PAGES = [file.removesuffix(".py") for file, *_ in app.PAGES]
NAME = "body (body parts)"


@pytest.fixture(scope="module", autouse=True)
def given(places_of_a_file, save_body) -> Path:
    """The set and its clips are given at start, to all tests; the bundled checkpoints are of raw features."""
    place, patch = places_of_a_file
    (place / "sets").mkdir()
    part_set, body_clips = save_body(place / "sets")
    patch.setenv(sources.CHECKPOINTS_VARIABLE, str(part_set.parent))
    patch.setenv(sources.CLIPS_VARIABLE, str(body_clips))
    return part_set


def open_page(page: str, **query: str) -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in query.items():
        at.query_params[name] = value
    at.switch_page(f"app_pages/{page}.py").run()
    assert not at.exception and not at.error, (at.exception, at.error)
    return at


@pytest.fixture(scope="module")
def report(save_body, tmp_path_factory) -> PartsReport:
    """What the library tells of the set and its clips."""
    part_set, body_clips = save_body(tmp_path_factory.mktemp("body"))
    return analyze_parts(load_part_set(part_set), load_clips(body_clips), device="cpu")


def part_choice(at: AppTest):
    return next((choice for choice in at.sidebar.button_group if choice.label == "Body part"), None)


def test_a_folder_of_parts_is_one_choice_before_its_files(given: Path):
    at = open_page("docs")
    (choice,) = [box for box in at.selectbox if box.label == "Checkpoint"]
    assert choice.value == NAME
    assert choice.options[:4] == [NAME, "hands.safetensors", "lower.safetensors", "upper.safetensors"]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens(page):
    at = open_page(page)
    assert not [box.value for box in at.warning if "is left out" not in box.value]


def test_the_part_is_chosen_in_the_sidebar_and_kept_in_the_link(report):
    at = open_page("usage")
    assert part_choice(at).value == "upper" and list(part_choice(at).options) == ["upper", "hands", "lower"]
    assert shown_perplexity(at) == pytest.approx(report.parts["upper"].layers["perplexity"].tolist())
    part_choice(at).set_value("hands").run()
    assert shown_perplexity(at) == pytest.approx(report.parts["hands"].layers["perplexity"].tolist())
    at = open_page("usage", checkpoint=NAME, part="lower")
    assert shown_perplexity(at) == pytest.approx(report.parts["lower"].layers["perplexity"].tolist())
    # Kept from page to page.
    at.switch_page("app_pages/code.py").run()
    assert part_choice(at).value == "lower"


def shown_perplexity(at: AppTest) -> list[float]:
    return next(table.value for table in at.dataframe if "perplexity_corrected" in table.value)["perplexity"].tolist()


def test_one_part_is_as_its_own_file_is(given: Path, body_clips: Path):
    part = analyze(load_checkpoint(given / "upper.safetensors"), load_clips(body_clips), device="cpu")
    at = open_page("usage", checkpoint="upper.safetensors")
    assert part_choice(at) is None
    assert shown_perplexity(at) == pytest.approx(part.layers["perplexity"].tolist())
    assert isinstance(part, Report)


def test_a_set_of_other_statistics_is_refused(given: Path):
    from dashboard import data
    from dashboard.settings import Reading
    from rvq_core.errors import SettingsError

    with pytest.raises(SettingsError, match="expected one checkpoint, found a set of body parts"):
        data.subject(given, Reading(mean="mean.npy", std="std.npy"))


class TestWholeBody:
    def test_the_overview_shows_the_parts_together(self, report):
        at = open_page("overview")
        health = next(frame.value for frame in at.dataframe if "interval" in frame.value)
        assert health["part"].tolist() == ["upper"] * 3 + ["hands"] * 2 + ["lower"] * 3
        perplexities = [value for own in report.parts.values() for value in own.layers["perplexity"]]
        assert health["perplexity"].tolist() == pytest.approx(perplexities)
        body = report.of_body.query("metric == 'mpjpe' and n_active == 3")["value"].item()
        assert at.metric[0].value == f"{body:,.1f} mm"
        assert [metric.label for metric in at.metric[1:]] == [f"Codes unseen, {part}" for part in report.parts]
        marked = [text.value for text in at.markdown if "-badge[" in text.value]
        assert len(marked) == len(report.manifest["verdicts"])
        for text, verdict in zip(marked, report.manifest["verdicts"], strict=True):
            assert f":gray-badge[{verdict['part']}]" in text

    def test_errors_by_part_and_of_the_whole_body(self, report):
        for page in ("overview", "reconstruction"):
            at = open_page(page, part="lower")
            shown = next(frame.value for frame in at.dataframe if "posed" in frame.value)
            assert set(shown["part"]) == {"whole body", "upper", "hands", "lower"}
            row = shown[(shown["part"] == "upper") & (shown["posed"] == "alone")].iloc[0]
            # Named after the joints that it is taken over: those of hands are no body's.
            named = shown[shown["metric"].str.contains("MPJPE")].groupby("part")["metric"].unique()
            assert named["hands"].tolist() == ["canonical-skeleton MPJPE, hands (mm)"]
            assert named["whole body"].tolist() == [
                "canonical-skeleton MPJPE, body (mm)",
                "canonical-skeleton MPJPE, hands (mm)",
            ]
            own = report.parts["upper"].overall.query("metric == 'mpjpe' and n_active == 3").iloc[0]
            assert (row["value"], row["reference"]) == pytest.approx((own["value"], own["reference"]))
        assert [header.value for header in at.header] == ["Lower, alone"]

    def test_the_clip_page_plays_the_whole_body(self, report):
        at = open_page("clip", clip="wave")
        header, arrays = unpack(at.get("bidi_component")[0].proto.bytes)
        layers = [(part, layer) for part, count in (("upper", 3), ("hands", 2), ("lower", 3)) for layer in range(count)]
        assert header["rows"] == [{"name": f"{part} {layer + 1}", "layer": layer + 1} for part, layer in layers]
        assert len(header["figure"]["names"]) == 55 and header["depths"] == [0, 1, 2, 3, -1]
        # Tokens and shares are those of the parts' reports.
        place = report.clips["clip"].tolist().index("wave")
        for column, (part, layer) in enumerate(layers):
            tokens = report.parts[part].tokens[place][:, layer]
            repeated = tokens.repeat(len(arrays["tokens"]) // len(tokens))
            assert arrays["tokens"][:, column].tolist() == repeated.tolist()
            codes = report.parts[part].codes.query("layer == @layer + 1").set_index("code")["share"]
            assert arrays["shares"][:, column] == pytest.approx(codes[repeated].to_numpy(), rel=1e-5)
        body = report.clip_errors.query("clip == 'wave' and metric == 'mpjpe' and n_active == 3")["value"].item()
        assert header["errors"][3] == pytest.approx(body, rel=1e-4)
        assert "held out" in " ".join(text.value for text in at.markdown)

    def test_held_out_clips_are_those_of_all_parts(self):
        at = open_page("overview", split="held-out")
        assert any("**64 frames** of 1 clip" in caption.value for caption in at.caption)

    def test_the_export_has_all_parts(self):
        at = open_page("export")
        (figures,) = [box for box in at.multiselect if box.label == "Figures"]
        assert "Error by part: canonical-skeleton MPJPE, body" in figures.value
        assert {"Upper: perplexity per layer", "Hands: perplexity per layer"} <= set(figures.value)


class TestBeside:
    """Where checkpoints are compared, a set stands for its part."""

    @pytest.fixture
    def second(self, given: Path) -> Iterator[str]:
        import shutil

        shutil.copytree(given, given.parent / "later")
        (given.parent / "later" / "hands.safetensors").unlink()
        yield "later (body parts)"
        shutil.rmtree(given.parent / "later")

    def test_of_two_sets_the_same_part_is_compared(self, second):
        at = open_page("compare", compare=second, part="lower", checkpoint=NAME)
        assert part_choice(at).value == "lower"
        table = next(frame.value for frame in at.dataframe if "delta" in frame.value)
        assert table["checkpoint"].tolist() == [NAME, second]
        assert table["delta"].iloc[1] == 0  # the same file

    def test_a_set_is_first_compared_with_a_set_and_a_file_with_a_file(self, second):
        assert open_page("compare", checkpoint=NAME).multiselect(key="compare").value == [second]
        at = open_page("compare", checkpoint="body/lower.safetensors")
        assert at.multiselect(key="compare").value == ["body/hands.safetensors"]

    def test_the_only_set_is_compared_with_nothing_that_was_not_chosen(self):
        at = open_page("compare", checkpoint=NAME)
        assert at.multiselect(key="compare").value == []
        assert any("Choose at least one checkpoint" in info.value for info in at.info)

    def test_a_part_that_the_other_set_has_not_is_told(self, second):
        at = open_page("compare", compare=second, part="hands", checkpoint=NAME)
        (told,) = [box.value for box in at.warning if "left out" in box.value]
        assert "a set with the part hands" in told and "upper, lower" in told

    def test_a_set_is_not_compared_with_one_file(self, second):
        at = open_page("compare", compare=second, checkpoint="body/lower.safetensors")
        (told,) = [box.value for box in at.warning if "left out" in box.value]
        assert "choose a set in the sidebar too, or the file of one part" in told

    def test_the_map_and_the_training_page_too(self, second):
        at = open_page("codebook_map", checkpoint=NAME, second=second, part="lower")
        assert any("Outlined" in caption.value for caption in at.caption)
        at = open_page("training", checkpoint=NAME, overlay=second, part="lower")
        assert any("have the same settings" in box.value for box in at.info)
