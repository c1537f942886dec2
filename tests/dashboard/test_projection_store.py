import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard import projection_store
from dashboard.projection_store import UmapSettings
from rvq_core.stats.projection import Projection


@pytest.fixture
def codebooks() -> list[np.ndarray]:
    return list(np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(projection_store, "user_cache_dir", lambda name: str(tmp_path / name))
    return tmp_path / "rvq-lens" / "projections"


@pytest.fixture
def fits(monkeypatch) -> list[dict]:
    """Calls of UMAP, which is replaced: what it computes is tested where it stands."""
    calls: list[dict] = []

    def project(books, **settings) -> Projection:
        calls.append(settings | {"layers": len(books)})
        table = pd.DataFrame({"layer": np.repeat([1, 2], 5), "code": [*range(5)] * 2, "x": 0.1, "y": -2.5})
        return Projection(table, {"method": "umap", "scale": "raw", "metric": "euclidean"})

    monkeypatch.setattr(projection_store, "umap_projection", project)
    return calls


SETTINGS = UmapSettings(layers=(1, 3), n_neighbors=4, seed=2)


def test_what_was_computed_is_found_again(codebooks, fits):
    assert projection_store.find(SETTINGS, codebooks) is None
    computed = projection_store.compute(SETTINGS, codebooks)
    found = projection_store.find(SETTINGS, codebooks)
    assert found is not None
    pd.testing.assert_frame_equal(found.table, computed.table)
    assert found.made_by == computed.made_by
    assert found.table["layer"].unique().tolist() == [1, 3]
    assert fits == [{"n_neighbors": 4, "min_dist": 0.1, "metric": "euclidean", "seed": 2, "scale": "raw", "layers": 2}]


def test_other_settings_or_codes_are_not_taken_for_it(codebooks, fits):
    projection_store.compute(SETTINGS, codebooks)
    for other in (replace(SETTINGS, seed=3), replace(SETTINGS, scale="per_layer"), replace(SETTINGS, layers=(1, 2))):
        assert projection_store.find(other, codebooks) is None
    codebooks[2][4, 3] += 1e-6
    assert projection_store.find(SETTINGS, codebooks) is None


def test_codes_of_other_layers_do_not_matter(codebooks, fits):
    projection_store.compute(SETTINGS, codebooks)
    codebooks[1] += 1
    assert projection_store.find(SETTINGS, codebooks) is not None


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"table": {"layer": [1]}, "made_by": {}}', "null"])
def test_a_damaged_entry_counts_as_none_and_is_written_over(codebooks, fits, cache, damage):
    projection_store.compute(SETTINGS, codebooks)
    (path,) = cache.iterdir()
    path.write_text(damage)
    assert projection_store.find(SETTINGS, codebooks) is None
    projection_store.compute(SETTINGS, codebooks)
    assert projection_store.find(SETTINGS, codebooks) is not None
    assert list(cache.iterdir()) == [path]


@pytest.mark.parametrize("value", [None, "wide", float("nan")])
def test_a_coordinate_that_is_no_number_counts_as_none(codebooks, fits, cache, value):
    projection_store.compute(SETTINGS, codebooks)
    (path,) = cache.iterdir()
    entry = json.loads(path.read_text())
    entry["table"]["x"][3] = value
    path.write_text(json.dumps(entry))
    assert projection_store.find(SETTINGS, codebooks) is None


def test_the_parameters_stand_beside_the_coordinates(codebooks, fits, cache):
    projection_store.compute(SETTINGS, codebooks)
    (path,) = cache.iterdir()
    assert json.loads(path.read_text())["settings"]["n_neighbors"] == 4
