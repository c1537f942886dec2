import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
import reports
from latex_pages import CLASSES, complaints, log_of

from dashboard.export.build import Choice, export_files
from dashboard.export.latex.table import WAITING, latex
from dashboard.export.tables import REPORT_TABLES
from dashboard.export.text_table import Column, TextTable, text_table
from rvq_core.compare import compare
from rvq_core.report import Report

NAMES = ["a_b", "50 % & more", "$x^2$ {~}", "#1 \\end", "走る", '"q" <b> |', "a_name_of_a_clip_" * 6]
SIZES = {
    "feature_mse": 0.1, "mpjpe": 40.0, "mpjpe_hands": 90.0, "velocity_error": 400.0, "acceleration_error": 13000.0,
    "rotation_error": 11.0, "foot_skating": 500.0, "foot_skating_original": 50.0,
}  # fmt: skip
"""Every metric of motion, about as large as it is."""


def with_all_metrics(clips: int, name: str = "model") -> Report:
    """Six layers of random codes, with every metric."""
    rng = np.random.default_rng(clips)
    tokens = [rng.integers(0, 200, size=(20, 6)) for _ in range(clips)]
    errors = {metric: size * rng.lognormal(size=(clips, 8)) for metric, size in SIZES.items()}
    errors["foot_skating_original"] = np.repeat(errors["foot_skating_original"][:, :1], 8, axis=1)
    names = [*NAMES, *(f"subject_{at:03d}_walk" for at in range(clips))][:clips]
    report = reports.make_report(tokens, 256, errors=errors, names=names, name=name)
    per_clip = {metric: values[:, -2] for metric, values in errors.items()}
    return dataclasses.replace(report, clips=report.clips.assign(seconds=1.5, tokens=20, **per_clip))


def tables_in_latex(source) -> dict[str, str]:
    files = export_files(source, Choice(("tex",), ()), "x")
    return {name: content.decode() for name, content in files.items() if name.endswith(".tex")}


def many(rows: int) -> TextTable:
    """Names from short to very long, and nine numbers with intervals."""
    rng = np.random.default_rng(0)
    names = ["".join(rng.choice(list("abcdefghij_-/MWQ "), rng.integers(1, 90))).strip() + "." for _ in range(rows)]
    table = pd.DataFrame({"name": names, **{f"m{n}": 10 ** rng.uniform(-3, 6, rows) for n in range(9)}})
    ends = {f"{end}{n}": table[f"m{n}"] * by for n in range(9) for end, by in (("low", 0.9), ("high", 1.1))}
    columns = [
        Column("name", "Name", key=True),
        *(Column(f"m{n}", f"metric number {n} (mm/s^2)", f"low{n}", f"high{n}", best="min") for n in range(9)),
    ]
    return text_table(table.assign(**ends), columns, "A caption of " + "x" * 90 + " and " + "a_b/" * 20)


@pytest.mark.parametrize("options", CLASSES)
def test_tables_of_reports_and_of_their_comparison_fit_article(options, tmp_path):
    first, second = (
        with_all_metrics(30, "a_model/of-a-rather-long-name_with_its_settings_0.99"),
        with_all_metrics(30, "b"),
    )
    texts = list(tables_in_latex(first).values())
    assert len(texts) == len(REPORT_TABLES)
    texts += [text for name, text in tables_in_latex(compare([first, second])).items() if "config" not in name]
    log = log_of("Text.\n\n" + "\n".join(texts), tmp_path, options)
    assert complaints(log) == []


@pytest.mark.parametrize("options", CLASSES)
def test_a_table_of_many_rows_and_columns_fits_article_in_parts(options, tmp_path):
    text = latex(many(60), "t")
    labels = re.findall(r"\\label\{(.*)\}", text)
    assert labels == ["tab:t", *(f"tab:t-{number}" for number in range(2, len(labels) + 1))]
    assert len(labels) > WAITING and f"Part {len(labels)} of {len(labels)}." in text
    assert complaints(log_of(f"Text.\n\n{text}", tmp_path, options)) == []


@pytest.mark.parametrize("options", CLASSES)
def test_no_table_is_higher_than_a_page(options, tmp_path):
    columns = [Column("name", "Name", key=True), Column("value", "Value of it (mm)")]
    tables = [
        text_table(
            pd.DataFrame({"name": [f"n{at}" for at in range(rows)], "value": 1.5 + np.arange(rows)}), columns, text
        )
        for rows in range(34, 58)
        for text in ("Short.", "A caption that takes many lines in a column. " * 6)
    ]
    body = "".join(latex(table, f"t{number}") + "\\clearpage\n" for number, table in enumerate(tables))
    assert complaints(log_of(body, tmp_path, options)) == []


def test_every_number_of_the_columns_shown_is_there():
    table = many(50)
    text = latex(table, "t")
    for row in table.cells:
        for cell in row[1:]:
            assert cell.replace("[", "{[}").replace("]", "{]}") in text


def test_the_first_line_says_what_it_needs_and_packages_are_no_more():
    for text in tables_in_latex(with_all_metrics(20)).values():
        assert text.splitlines()[0] == r"% needs \usepackage{booktabs}"
        assert r"\resizebox" not in text and "longtable" not in text


def test_the_table_of_layers_stays_whole_and_says_in_the_caption_what_is_the_same():
    text = tables_in_latex(with_all_metrics(20))["tables/layers.tex"]
    assert text.count(r"\begin{tabular}{") == 1
    (caption,) = re.findall(r"\\caption\{(.*)\}", text)
    assert "In all rows, Codes: 256; Tokens: 400;" in caption
    assert "Tokens &" not in text


def test_the_reference_stands_behind_a_rule_in_each_panel():
    text = tables_in_latex(with_all_metrics(20))["tables/reconstruction.tex"]
    assert re.search(r"In all rows, foot skating of the original: \d.* mm/s\.", text)
    panels = re.findall(r"\\begin\{tabular\}\{.*?\\bottomrule", text, re.DOTALL)
    assert len(panels) == 2
    assert all(re.search(r"\\midrule\nunquantised & ", panel) and panel.count(r"\midrule") == 2 for panel in panels)
    assert "unquantised & \\textbf" not in text


def test_the_same_table_the_same_bytes():
    assert latex(many(30), "t") == latex(many(30), "t")


@pytest.mark.parametrize("entry", REPORT_TABLES, ids=lambda entry: entry.name)
def test_of_few_columns_each_row_stands_once(report, entry):
    table = entry.table(report)
    text = latex(text_table(table, entry.columns(report), entry.title, references=entry.references), entry.name)
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == (len(table) + 1) * text.count(r"\begin{tabular}{")
