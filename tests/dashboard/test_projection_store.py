import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard import projection_store
from dashboard.settings import UmapSettings
from dashboard.store import LABEL, Store, _sums
from rvq_core.stats.projection import Projection

SETTINGS = UmapSettings(layers=(1, 3), n_neighbors=4, seed=2)


@pytest.fixture
def codebooks() -> list[np.ndarray]:
    return list(np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def fits(monkeypatch) -> list[dict]:
    """Calls of UMAP, which is replaced: what it computes is tested where it stands."""
    calls: list[dict] = []

    def project(books, progress=None, **settings) -> Projection:
        calls.append(settings | {"layers": len(books)})
        table = pd.DataFrame({"layer": np.repeat([1, 2], 5), "code": [*range(5)] * 2, "x": 0.1, "y": -2.5})
        return Projection(table, {"method": "umap", "scale": "raw", "metric": "euclidean"})

    monkeypatch.setattr(projection_store, "umap_projection", project)
    return calls


def compute_and_keep(store: Store, codebooks: list[np.ndarray]) -> Projection:
    computed = projection_store.compute(SETTINGS, codebooks)
    projection_store.keep(store, SETTINGS, codebooks, computed)
    return computed


def entry_of(store: Store, codebooks: list[np.ndarray]) -> Path:
    return store.folder / projection_store.KIND / projection_store.key(SETTINGS, codebooks)


def rewrite(entry: Path, text: str) -> None:
    """Put a text in the place of the coordinates, as if it had been written so."""
    (entry / projection_store.FILE).write_text(text)
    label = json.loads((entry / LABEL).read_text())
    sums = _sums(entry)
    sums.pop(LABEL)
    (entry / LABEL).write_text(json.dumps(label | {"files": sums}))


def test_what_was_computed_is_found_again(store, codebooks, fits):
    assert projection_store.find(store, SETTINGS, codebooks) is None
    computed = compute_and_keep(store, codebooks)
    found = projection_store.find(store, SETTINGS, codebooks)
    pd.testing.assert_frame_equal(found.table, computed.table)
    assert found.made_by == computed.made_by
    assert found.table["layer"].unique().tolist() == [1, 3]
    assert fits == [{"n_neighbors": 4, "min_dist": 0.1, "metric": "euclidean", "seed": 2, "scale": "raw", "layers": 2}]


def test_another_setting_and_one_changed_weight_are_not_found(store, codebooks, fits):
    compute_and_keep(store, codebooks)
    for change in ({"seed": 3}, {"n_neighbors": 5}, {"min_dist": 0.2}, {"metric": "cosine"}, {"layers": (1, 2)}):
        other = replace(SETTINGS, **change)
        assert projection_store.find(store, other, codebooks) is None
    codebooks[2][4, 3] += 1e-6
    assert projection_store.find(store, SETTINGS, codebooks) is None


def test_codes_of_other_layers_do_not_matter(store, codebooks, fits):
    compute_and_keep(store, codebooks)
    codebooks[1] += 1
    assert projection_store.find(store, SETTINGS, codebooks) is not None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"table": {"layer": [1]}, "made_by": {}}', "null"])
def test_an_entry_of_another_sort_counts_as_none_and_is_written_over(store, codebooks, fits, content):
    compute_and_keep(store, codebooks)
    rewrite(entry_of(store, codebooks), content)
    assert projection_store.find(store, SETTINGS, codebooks) is None
    compute_and_keep(store, codebooks)
    assert projection_store.find(store, SETTINGS, codebooks) is not None


@pytest.mark.parametrize("value", [None, "wide", float("nan")])
def test_a_coordinate_that_is_no_number_counts_as_none(store, codebooks, fits, value):
    compute_and_keep(store, codebooks)
    entry = entry_of(store, codebooks)
    told = json.loads((entry / projection_store.FILE).read_text())
    rewrite(entry, json.dumps(told))
    assert projection_store.find(store, SETTINGS, codebooks) is not None
    told["table"]["x"][3] = value
    rewrite(entry, json.dumps(told))
    assert projection_store.find(store, SETTINGS, codebooks) is None


def test_the_parameters_stand_beside_the_coordinates(store, codebooks, fits):
    compute_and_keep(store, codebooks)
    told = json.loads((entry_of(store, codebooks) / projection_store.FILE).read_text())
    assert told["settings"]["n_neighbors"] == 4
