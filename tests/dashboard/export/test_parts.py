"""The export of a set of body parts: of the body together, and of each part what its report has."""

import json

import pandas as pd
import pytest
from latex_pages import CLASSES, complaints, log_of

from dashboard.export.build import Choice, export_files
from dashboard.export.parts import parts_figures
from dashboard.export.sources import figures_of, name_of, read_source, tables_of
from rvq_core import load_clips
from rvq_core.parts import PartsReport, analyze_parts, load_part_set

pytestmark = pytest.mark.xdist_group("export_parts")  # one report for all


@pytest.fixture(scope="module")
def report(save_body, tmp_path_factory) -> PartsReport:
    part_set, clips = save_body(tmp_path_factory.mktemp("body"))
    return analyze_parts(load_part_set(part_set), load_clips(clips), device="cpu")


def test_names_tell_the_part(report):
    own = {part: {entry.name for entry, _ in figures_of(one)} for part, one in report.parts.items()}
    found = [entry.name for entry, _ in figures_of(report)]
    assert set(found) >= {f"{part}_{name}" for part, names in own.items() for name in names}
    assert found[0].startswith("body_error_") and "body_error_mpjpe" in found
    assert len(found) == len(set(found)) and len(parts_figures(report)) >= len(found)


def test_a_part_s_figure_is_that_of_its_report(report):
    ((entry, table),) = figures_of(report, ["hands_perplexity"])
    ((plain, direct),) = figures_of(report.parts["hands"], ["perplexity"])
    pd.testing.assert_frame_equal(table, direct)
    assert entry.draw(table, report) == plain.draw(direct, report.parts["hands"])


def test_the_body_s_figure_has_a_line_a_part_in_its_colour(report):
    ((entry, table),) = figures_of(report, ["body_error_mpjpe"])
    lines = {trace.name: trace for trace in entry.draw(table, report).data}
    assert list(lines) == ["whole body", "upper", "lower"]  # the hands have a metric of their own
    whole = report.of_body.query("metric == 'mpjpe'").sort_values("n_active")
    assert list(lines["whole body"].y) == whole["value"].tolist()
    assert len({line.line.color for line in lines.values()}) == 3


def test_the_table_of_errors(report):
    tables = {entry.name: table for entry, table in tables_of(report)}
    assert {"errors", "upper_layers", "hands_layers", "lower_clips"} <= set(tables)
    full = tables["errors"].query("part == 'hands' and posed == 'alone'")
    assert full["n_active"].unique().tolist() == [2]


def test_a_folder_is_exported_with_all_its_checkpoints(report, tmp_path):
    report.save(tmp_path / "report")
    again = read_source(tmp_path / "report")
    assert isinstance(again, PartsReport) and name_of(again) == "body"
    choice = Choice(("svg", "csv", "md", "html"), ("body_error_mpjpe", "upper_perplexity"))
    files = export_files(again, choice, "x")
    assert {"figures/upper_perplexity.svg", "tables/errors.md", "tables/lower_layers.csv"} <= set(files)
    manifest = json.loads(files["manifest.json"])
    assert [each["file"] for each in manifest["report"]["checkpoints"]] == [
        f"{part}.safetensors" for part in report.parts
    ]
    page = files["report.html"].decode()
    frames = int(report.clips["frames"].sum())
    assert f"{frames} frames" in manifest["figures"][0]["caption"]
    for verdict in report.manifest["verdicts"]:
        assert f"</span> {verdict['part']}: <b>" in page


@pytest.mark.parametrize("options", CLASSES)
def test_its_tables_fit_a_page_of_article(report, options, tmp_path):
    files = export_files(report, Choice(("tex",), ()), "x")
    texts = [content.decode() for name, content in files.items() if name.endswith(".tex")]
    assert complaints(log_of("Text.\n\n" + "\n".join(texts), tmp_path, options)) == []
