from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import reports
from pandas.testing import assert_frame_equal

import rvq_core.compare
from dashboard.comparison_store import KIND, compared
from dashboard.store import Store
from rvq_core.compare import compare
from rvq_core.report import Report

NAMES = ("first", "second")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def pair() -> list[Report]:
    rng = np.random.default_rng(0)
    tokens = [rng.integers(0, 8, size=(20, 2)) for _ in range(6)]
    return [
        reports.make_report(tokens, 8, errors={"feature_mse": scale * (np.abs(rng.normal(size=(6, 4))) + 1)})
        for scale in (1.0, 0.5)
    ]


@pytest.fixture
def made(monkeypatch) -> list[tuple[str, ...]]:
    """Names of the comparisons that were computed."""
    calls: list[tuple[str, ...]] = []

    def noted(subjects, **settings):
        calls.append(tuple(settings["names"]))
        return compare(subjects, **settings)

    monkeypatch.setattr(rvq_core.compare, "compare", noted)
    return calls


def test_a_comparison_is_made_once_and_found_after_a_restart(store, pair, made):
    first = compared(store, NAMES, ["a", "b"], pair)
    again = compared(Store(store.folder), NAMES, ["a", "b"], pair)
    assert made == [NAMES]
    plain = compare(pair, names=NAMES, codes=False)
    for found in (first, again):
        assert found.names == list(NAMES) and found.refused == plain.refused
        assert set(found.tables) == set(plain.tables)
        for name, table in plain.tables.items():
            assert_frame_equal(found.tables[name], table, check_dtype=False)


@pytest.mark.parametrize(("names", "contents"), [
    (("first", "other"), ["a", "b"]), (NAMES, ["a", "c"]), (NAMES[::-1], ["b", "a"]),
])  # fmt: skip
def test_other_names_reports_or_baseline_are_another_comparison(store, pair, made, names, contents):
    compared(store, NAMES, ["a", "b"], pair)
    compared(store, names, contents, pair)
    assert made == [NAMES, names]


def test_a_damaged_one_is_made_anew(store, pair, made):
    compared(store, NAMES, ["a", "b"], pair)
    (entry,) = (store.folder / KIND).iterdir()
    (entry / "curves.parquet").write_bytes(b"no table")
    found = compared(store, NAMES, ["a", "b"], pair)
    assert made == [NAMES, NAMES] and len(found.tables["curves"])


def test_without_room_it_is_shown_all_the_same(tmp_path, pair, caplog):
    (tmp_path / "store").write_text("a file where the store's folder should be")
    found = compared(Store(tmp_path / "store"), NAMES, ["a", "b"], pair)
    assert found.names == list(NAMES)
    assert "a comparison is not kept" in caplog.text


def test_an_error_of_comparing_is_told_and_nothing_is_kept(store, pair):
    other = replace(pair[1], clips=pair[1].clips.assign(clip=[f"other {i}" for i in range(6)]))
    with pytest.raises(rvq_core.errors.RVQLensError):
        compared(store, NAMES, ["a", "b"], [pair[0], other])
    assert not (store.folder / KIND).exists() or not list((store.folder / KIND).iterdir())
