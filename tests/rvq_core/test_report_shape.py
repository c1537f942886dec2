"""Tables of a report that were edited until they contradict themselves, or each other: told when they are read."""

import copy
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from reports import make_report, spread

from rvq_core import Report
from rvq_core.errors import ReportError

TOKENS, CODES = 40, 8


@pytest.fixture(scope="module")
def made() -> Report:
    """Two clips, three layers, errors of one metric and counts of the training corpus."""
    clips = [np.stack([spread(TOKENS + clip, CODES, 6)] * 3, axis=1) for clip in range(2)]
    errors = np.tile(np.array([9.0, 5.0, 3.0, 2.0, 1.0]), (2, 1))
    report = make_report(clips, CODES, errors={"mpjpe": errors}, train=[np.arange(CODES)] * 3)
    return Report(**{**vars_of(report), "clips": report.clips.assign(mpjpe=2.0)})


def vars_of(report: Report) -> dict[str, object]:
    return {name: getattr(report, name) for name in report.__dataclass_fields__}


def test_as_it_was_made_it_is_read(made, tmp_path):
    made.save(tmp_path / "out")
    assert len(Report.load(tmp_path / "out").layers) == 3


def without_first(table: pd.DataFrame) -> pd.DataFrame:
    return table.iloc[1:].reset_index(drop=True)


def with_first(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        values = table[column].tolist()
        return table.assign(**{column: [value, *values[1:]]})

    return change


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("layers", lambda table: table.drop(columns="perplexity"), "layers.parquet: perplexity: expected a column"),
        ("layers", lambda table: table.assign(perplexity="many"), "perplexity: expected a column of numbers"),
        ("layers", lambda table: table.assign(mine="x"), "layers.parquet: mine: expected a column of numbers"),
        ("codes", with_first("code", None), "codes.parquet: expected layer, code in every row, found rows without"),
        ("codes", with_first("code", 1), "codes.parquet: expected one row for each layer, code, found several"),
        ("clip_errors", with_first("clip", None), "clip_errors.parquet: expected clip, n_active, metric in every row"),
        ("layers", with_first("layer", 7), r"layers.parquet: expected layers 1, 2, ..., found \[7, 2, 3\]"),
        ("layers", lambda table: table.iloc[:0], r"layers.parquet: expected layers 1, 2, ..., found \[\]"),
        ("codes", without_first, "codes.parquet: expected a row for each code of each layer, found others"),
        ("codes", with_first("layer", 9), "codes.parquet: expected a row for each code of each layer, found others"),
        ("codes", with_first("code", CODES), "codes.parquet: expected a row for each code of each layer"),
        ("codes", with_first("share", None), "codes.parquet: share: expected that of every code that was chosen"),
        ("codes", lambda table: table.drop(columns="train_count"), "codes.parquet: expected train_count"),
        ("layers", with_first("train_perplexity", None), "layers.parquet: expected all figures of the train corpus"),
        ("clip_errors", with_first("clip", "nobody"), "clip_errors.parquet: expected errors of the clips in"),
        ("clip_errors", with_first("n_active", 4), "clip_errors.parquet: n_active: expected -1 to 3, found other"),
        ("reconstruction", with_first("n_active", -2), "reconstruction.parquet: n_active: expected -1 to 3"),
        ("clips", lambda table: table.drop(columns="mpjpe"), "clips.parquet: expected a column mpjpe, as it has"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_told_by_its_file(made, tmp_path, name, change, told):
    edited = Report(**{**vars_of(copy.deepcopy(made)), name: change(getattr(made, name))})
    edited.save(tmp_path / "out")
    with pytest.raises(ReportError, match=told):
        Report.load(tmp_path / "out")
