import numpy as np
import pandas as pd
import pytest

from dashboard.export.digits import decimals, with_interval
from dashboard.export.tables import REPORT_TABLES
from dashboard.export.text_table import Column, markdown, text_table

COLUMNS = (
    Column("name", "Name"),
    Column("error", "error (mm/s^2)", "low", "high", best="min"),
    Column("n", "n", whole=True),
)


@pytest.fixture
def table() -> pd.DataFrame:
    values = {"name": ["a_b", "50 % & more", "reference"], "error": [84.52, 31.234, 1.0], "n": [1, 2, 3]}
    return pd.DataFrame(values).assign(low=[54.1, 31.20, np.nan], high=[103.2, 31.28, np.nan], empty=np.nan)


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (84.52, 54.1, 103.2, "85 [54, 103]"),
        (0.0331239, 0.0312, 0.0350, "0.0331 [0.0312, 0.0350]"),
        (12345.6, 10400.0, 15300.0, "12300 [10400, 15300]"),
        (5.0, 5.0, 5.0, "5.00"),
        (0.0, np.nan, np.nan, "0.00"),
        (1412.0, np.nan, np.nan, "1412"),
    ],
    ids=str,
)
def test_digits_follow_from_the_interval(value, low, high, text):
    assert with_interval(value, low, high) == text


def test_the_half_width_keeps_two_digits():
    rng = np.random.default_rng(0)
    for low, width in zip(rng.normal(size=200) * 100, 10 ** rng.uniform(-6, 6, 200), strict=True):
        places = decimals(low, low + width)
        assert places is not None
        assert 10 <= width / 2 * 10.0**places < 100 * (1 + 1e-9)


def test_the_best_is_marked_and_the_reference_is_not(table):
    printed = text_table(table, COLUMNS, "c", references=1)
    assert printed.cells[1][1] == "31.234 [31.200, 31.280]"
    assert [row[1] for row in printed.best] == [False, True, False]
    assert markdown(printed).splitlines()[3] == r"| 50 % & more | **31.234 \[31.200, 31.280\]** | 2 |"


def test_what_prints_the_same_is_marked_too_and_nothing_where_all_do():
    column = Column("x", "x", "low", "high", best="max")
    rows = pd.DataFrame({"x": [0.451, 0.452, 0.2], "low": [0.2, 0.2, 0.1], "high": [0.7, 0.7, 0.3]})
    assert [row[0] for row in text_table(rows, [column], "c").best] == [True, True, False]
    assert [row[0] for row in text_table(rows[:2], [column], "c").best] == [False, False]


def test_the_best_of_each_group_is_marked():
    rows = pd.DataFrame({"metric": ["a", "a", "b", "b", "c"], "x": [2.0, 1.0, 30.0, 40.0, 5.0]})
    column = Column("x", "x", best="min", among="metric")
    assert [row[0] for row in text_table(rows, [column], "c").best] == [False, True, True, False, False]


def test_columns_that_hold_nothing_are_left_out(table):
    columns = (*COLUMNS, Column("empty", "empty"), Column("absent", "absent"))
    assert text_table(table, columns, "c").headings == ["Name", "error (mm/s^2)", "n"]


def test_names_are_escaped(table):
    assert r"a\_b" in markdown(text_table(table, COLUMNS, "c"))


@pytest.mark.parametrize("entry", REPORT_TABLES, ids=lambda entry: entry.name)
def test_markdown_has_every_column_of_the_report(report, entry):
    table, columns = entry.table(report), entry.columns(report)
    heading = markdown(text_table(table, columns, entry.title, references=entry.references)).splitlines()[0]
    shown = [column for column in columns if column.name in table and table[column.name].notna().any()]
    assert heading.count(" |") == len(shown)
    assert all(column.heading.split(" (")[0] in heading for column in shown)
