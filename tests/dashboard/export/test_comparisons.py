import dataclasses
import json
import re

import numpy as np
import pytest
import reports

from dashboard.export.build import Choice, export_files
from dashboard.export.comparisons import comparison_figures
from dashboard.export.latex.table import latex
from dashboard.export.sources import figures_of, read_source, tables_of
from dashboard.export.text_table import text_table
from dashboard.paper.draw import draw
from dashboard.paper.style import PRESETS, drawing
from rvq_core.compare import Comparison, compare


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Two reports on the same six clips, the second with fewer errors."""
    rng = np.random.default_rng(0)
    tokens = [rng.integers(0, 8, size=(20, 2)) for _ in range(6)]
    errors = {"feature_mse": np.abs(rng.normal(size=(6, 4))) + 1}
    first = reports.make_report(tokens, 8, errors=errors)
    second = reports.make_report(tokens, 8, errors={"feature_mse": errors["feature_mse"] * 0.5})
    manifest = second.manifest | {"checkpoint": second.manifest["checkpoint"] | {"name": "<b>other</b>"}}
    return compare([first, dataclasses.replace(second, manifest=manifest)])


def test_all_formats_of_a_comparison(comparison, tmp_path):
    comparison.save(tmp_path / "c")
    files = export_files(read_source(tmp_path / "c"), Choice(), "rvq-lens export c --out e")
    assert {"figures/compared_feature_mse.pdf", "figures/compared_perplexity.csv", "tables/errors.tex"} <= set(files)
    manifest = json.loads(files["manifest.json"])
    assert len(manifest["report"]["checkpoints"]) == 2
    assert "same 6 clips" in manifest["figures"][0]["caption"]
    page = files["report.html"].decode()
    assert len(page) < 8_000_000
    assert re.findall(r'id="figure-(\w+)"', page) == [
        "compared_perplexity",
        "compared_feature_mse",
        "compared_bits_feature_mse",
        "differences_feature_mse",
        "agreement_1",
        "matching_1_1",
    ]
    # Plotly's own text is markup of few harmless tags; everywhere else names are escaped.
    assert "&lt;b&gt;other&lt;/b&gt;" in page


def test_lines_are_those_of_the_tables(comparison):
    shown = {entry.name: entry.draw(table, comparison) for entry, table in figures_of(comparison)}
    curves = comparison.tables["curves"]
    for name, rows in curves.groupby("checkpoint"):
        (line,) = [trace for trace in shown["compared_feature_mse"].data if trace.name == name]
        assert list(line.y) == pytest.approx(rows.sort_values("n_active")["value"].tolist())
    shown_values = [value for trace in shown["compared_perplexity"].data for value in trace.y]
    assert sorted(shown_values) == pytest.approx(sorted(comparison.tables["usage"]["perplexity"]))


def test_the_agreement_of_layers_is_that_of_the_table_on_the_page_and_on_paper(comparison):
    ((entry, table),) = figures_of(comparison, ["agreement_1"])
    figure = entry.draw(table, comparison)
    (image,) = figure.data
    for row in comparison.tables["matching"].itertuples():
        assert image.z[list(image.y).index(row.layer)][list(image.x).index(row.baseline_layer)] == row.ami
    assert image.z.shape == (2, 2)
    with drawing(PRESETS["single"]):
        axes = draw(figure, PRESETS["single"]).axes[0]
    cells = np.concatenate([each.get_array() for each in axes.collections])
    assert sorted(set(cells)) == sorted(set(np.ravel(image.z)))
    assert [text.get_text() for text in axes.texts] == [f"{value:.2f}" for value in np.ravel(image.z)]


def test_matched_codes_are_those_of_the_table_on_the_page_and_on_paper(comparison):
    ((entry, table),) = figures_of(comparison, ["matching_1_2"])
    assert set(table["layer"]) == {2}
    figure = entry.draw(table, comparison)
    (image,) = figure.data
    for row in table.itertuples():
        place = list(image.y).index(str(row.code)), list(image.x).index(str(row.baseline_code))
        assert image.z[place] == row.share
        assert image.customdata[place] == row.tokens
        assert row.matched == (place[0] == place[1])
    with drawing(PRESETS["single"]):
        axes = draw(figure, PRESETS["single"]).axes[0]
    cells = np.concatenate([each.get_array() for each in axes.collections])
    assert set(np.ravel(image.z)) == set(cells)


def test_a_comparison_of_an_earlier_version_has_no_matching_and_is_read(comparison, tmp_path):
    comparison.save(tmp_path / "c")
    (tmp_path / "c/shared_moments.parquet").unlink()
    names = [entry.name for entry, _ in figures_of(read_source(tmp_path / "c"))]
    assert "agreement_1" in names
    assert not [name for name in names if name.startswith("matching")]


def test_the_manifest_tells_the_clips_by_their_fingerprints(comparison):
    manifest = json.loads(export_files(comparison, Choice(("csv",), ("agreement_1",)), "x")["manifest.json"])
    told = manifest["report"]
    assert told["clips"]["fingerprint"] == comparison.manifest["clips"]["fingerprint"]
    assert len(told["clips"]["fingerprint"]) == 64
    assert [each["clips_fingerprint"] for each in told["checkpoints"]] == ["f"] * 2


def test_the_table_of_errors_holds_the_baseline_and_marks_the_best_of_each_metric(sweep):
    printed = {entry.name: (entry, table) for entry, table in tables_of(sweep)}
    entry, table = printed["errors"]
    assert table["checkpoint"].tolist() == ["k8", "k16", "k32"]
    metrics = sweep.tables["metrics"].query("n_active >= 0").groupby("checkpoint", sort=False).last()
    assert table["value"].tolist() == pytest.approx([metrics["baseline"].iloc[0], *metrics["value"]])
    text = text_table(table, entry.columns(sweep), "c")
    at = text.headings.index("Error")
    assert [row[at] for row in text.best] == (table["value"] == table["value"].min()).tolist()
    assert text.cells[0][text.headings.index("In words")] == "baseline"
    assert text.cells[0][text.headings.index("Metric")] == "feature MSE"
    written = latex(text, "errors")
    assert "$-$" in written and r"\emph{feature MSE}" in written


def test_in_latex_settings_that_differ_have_a_column_a_checkpoint(sweep):
    ((entry, table),) = [each for each in tables_of(sweep) if each[0].name == "config"]
    lines = latex(text_table(table, entry.columns(sweep), "c"), "config").splitlines()
    assert r"Setting & k8 & k16 & k32 \\" in lines
    assert r"nb\_code & 8 & 16 & 32 \\" in lines


def test_names_are_unique(comparison):
    entries = comparison_figures(comparison)
    assert len({entry.name for entry in entries}) == len({entry.title for entry in entries}) == len(entries)


@pytest.fixture(scope="module")
def sweep(comparison: Comparison) -> Comparison:
    """Three checkpoints of codebooks of 8, 16 and 32 codes on the same clips."""
    rng = np.random.default_rng(1)
    made = []
    for size in (8, 16, 32):
        tokens = [rng.integers(0, size, size=(20, 2)) for _ in range(6)]
        report = reports.make_report(tokens, size, errors={"feature_mse": rng.random((6, 4)) + 8 / size})
        checkpoint = report.manifest["checkpoint"] | {
            "name": f"k{size}",
            "config": {"nb_code": size, "norm": f"n{size}"},
        }
        made.append(dataclasses.replace(report, manifest=report.manifest | {"checkpoint": checkpoint}))
    return compare(made)


def test_a_sweep_is_a_line_a_checkpoint_with_the_values_of_its_table(sweep):
    ((entry, table),) = figures_of(sweep, ["sweep"])
    assert table["checkpoint"].tolist() == ["k8", "k16", "k32"]
    assert table["nb_code"].tolist() == [8, 16, 32]
    full = sweep.tables["metrics"].query("n_active >= 0").groupby("checkpoint", sort=False)["value"].last()
    assert table["error"].tolist()[1:] == pytest.approx(full[["k16", "k32"]].tolist())
    figure = entry.draw(table, sweep)
    (lines,) = figure.data
    assert [each.label for each in lines.dimensions] == list(table)
    assert list(lines.dimensions[0].ticktext) == ["k16", "k32", "k8"]
    with drawing(PRESETS["single"]):
        (axes,) = draw(figure, PRESETS["single"]).axes
    drawn = [line for line in axes.lines if len(line.get_ydata()) == len(lines.dimensions)]
    for row, line in enumerate(drawn):
        for place, name in enumerate(table):
            values = table[name]
            values = values if values.dtype.kind in "fiu" else values.rank() - 1
            span = values.max() - values.min()
            assert line.get_ydata()[place] == pytest.approx((values[row] - values.min()) / span)
    texts = {text.get_text() for text in axes.texts}
    assert {"8", "16", "32", "n8", "k8", "k16", "k32"} <= texts


def test_two_checkpoints_are_no_sweep(comparison):
    assert "sweep" not in {entry.name for entry, _ in figures_of(comparison)}
