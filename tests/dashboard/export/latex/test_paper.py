import numpy as np
import pandas as pd

from dashboard.export.latex.paper import paper_table
from dashboard.export.text_table import Column, markdown, text_table

COLUMNS = (
    Column("name", "Name", key=True),
    Column("codes", "Codes", whole=True),
    Column("error", "error of all (mm)", "low", "high", best="min", paper="error (mm)", note="Of all joints."),
    Column("words", "In words", in_paper=False),
)


def rows(**columns) -> pd.DataFrame:
    values = {"name": ["a", "b", "c"], "codes": [256] * 3, "error": [3.0, 2.0, 1.0], "words": ["x", "y", "z"]}
    return pd.DataFrame(values | columns).assign(low=lambda t: t["error"] - 0.5, high=lambda t: t["error"] + 0.5)


def test_what_all_rows_share_goes_into_the_caption():
    table = text_table(rows(), COLUMNS, "Errors.")
    shown = paper_table(table)
    assert shown.headings == ["Name", "error (mm)"]
    assert shown.caption == "Errors. In all rows, Codes: 256. Of all joints. Brackets: 95 % interval. Bold: best."
    assert [row[0] for row in shown.cells] == ["a", "b", "c"]
    assert "In words" in markdown(table) and "Codes" in markdown(table)  # where there is room


def test_a_value_with_a_unit_is_told_with_it():
    shown = paper_table(text_table(rows(error=[2.0] * 3), COLUMNS, "E."))
    assert "error of all: 2.00 [1.50, 2.50] mm." in shown.caption
    assert "Bold" not in shown.caption


def test_one_row_and_rows_that_differ_keep_their_columns():
    assert "Codes" in paper_table(text_table(rows()[:1], COLUMNS, "E.")).headings
    assert "Codes" in paper_table(text_table(rows(codes=[256, 256, 512]), COLUMNS, "E.")).headings
    assert paper_table(text_table(rows(name=["a"] * 3), COLUMNS, "E.")).headings[0] == "Name"  # it names the row


def test_a_reference_without_its_interval_differs_not():
    last = rows(error=[2.0] * 3)
    last.loc[2, ["low", "high"]] = np.nan
    assert "error (mm)" not in paper_table(text_table(last, COLUMNS, "E.", references=1)).headings
    last.loc[2, "error"] = 2.5
    shown = paper_table(text_table(last, COLUMNS, "E.", references=1))
    assert "error (mm)" in shown.headings and shown.references == 1


def test_rows_of_a_section_stand_together_with_their_marks():
    columns = (
        Column("metric", "Metric", section=True),
        Column("unit", "Unit", section=True),
        Column("name", "Name", key=True),
        Column("error", "Error", best="min", among="metric"),
    )
    table = rows(name=["a", "b", "c"], metric=["m", "n", "m"], unit=["mm", "", "mm"])
    shown = paper_table(text_table(table, columns, "E."))
    assert shown.sections == ["m (mm)", "m (mm)", "n"]
    assert shown.cells == [["a", "3.00"], ["c", "1.00"], ["b", "2.00"]]
    assert shown.best == [[False, False], [False, True], [False, False]]


def test_cells_across_become_columns():
    columns = (Column("setting", "Setting", key=True), Column("name", "N", across=True), Column("value", "Value"))
    values = {"setting": ["mu", "mu", "k"], "name": ["a", "b", "b"], "value": ["0.9", "0.99", "256"]}
    shown = paper_table(text_table(pd.DataFrame(values), columns, "E."))
    assert shown.headings == ["Setting", "a", "b"]
    assert shown.cells == [["mu", "0.9", "0.99"], ["k", "", "256"]]
    assert shown.keys == 1
