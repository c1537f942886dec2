import numpy as np
import pytest

from dashboard import projection_store
from dashboard.export import maps
from dashboard.export.build import Choice, export_files
from dashboard.export.maps import density_figure, umap_figures
from dashboard.paper.draw import draw
from dashboard.paper.style import PRESETS, drawing
from dashboard.settings import UmapSettings
from dashboard.store import Store
from rvq_core.stats.projection import Projection, pca


@pytest.fixture
def codebooks(report):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(64, 4)).astype(np.float32) for _ in range(report.layers["layer"].max())]


def test_umap_is_computed_once_for_all_colours_and_its_seed_is_told(report, codebooks, monkeypatch):
    asked = []

    def compute(settings, given):
        asked.append(settings)
        found = pca(given)
        return Projection(found.table, {"method": "umap", "seed": settings.seed, "trustworthiness": 0.5})

    monkeypatch.setattr(projection_store, "compute", compute)
    entries = umap_figures(codebooks, 7, None)
    assert asked == []  # not before a figure is drawn
    files = export_files(report, Choice(("csv",), ()), "x", further=entries)
    assert len(asked) == 1
    assert asked[0].seed == 7
    assert b"seed = 7" in files["manifest.json"]
    assert {"figures/umap_usage.csv", "figures/umap_layer.csv", "figures/umap_norm.csv"} <= set(files)


def test_what_the_dashboard_computed_is_taken(report, codebooks, tmp_path, monkeypatch):
    store = Store(tmp_path)
    settings = UmapSettings(tuple(range(1, len(codebooks) + 1)), seed=3)
    kept = Projection(pca(codebooks).table, {"method": "umap", "seed": 3, "trustworthiness": 0.5})
    projection_store.keep(store, settings, codebooks, kept)
    monkeypatch.setattr(projection_store, "compute", None)  # calling it would fail
    table = umap_figures(codebooks, 3, store)[0].table(report)
    assert table[["x", "y"]].to_numpy() == pytest.approx(kept.table[["x", "y"]].to_numpy())


def test_what_is_computed_is_kept_where_the_dashboard_finds_it(report, codebooks, tmp_path, monkeypatch):
    store = Store(tmp_path)
    made = Projection(pca(codebooks).table, {"method": "umap", "seed": 3, "trustworthiness": 0.5})
    monkeypatch.setattr(projection_store, "compute", lambda *_: made)
    umap_figures(codebooks, 3, store)[0].table(report)
    # As the Codebook map asks: all layers, its first settings, and that seed.
    settings = UmapSettings(tuple(range(1, len(codebooks) + 1)), 15, 0.1, "euclidean", 3, "raw")
    found = projection_store.find(store, settings, codebooks)
    assert found is not None
    assert found.table[["x", "y"]].to_numpy() == pytest.approx(made.table[["x", "y"]].to_numpy())


def test_a_store_without_room_is_told_and_the_export_goes_on(report, codebooks, tmp_path, monkeypatch, caplog):
    made = Projection(pca(codebooks).table, {"method": "umap", "seed": 0, "trustworthiness": 0.5})
    monkeypatch.setattr(projection_store, "compute", lambda *_: made)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(projection_store, "keep", full)
    assert umap_figures(codebooks, 0, Store(tmp_path))[0].table(report) is not None
    assert "could not be kept: No space left on device" in caplog.text


def test_the_density_places_codes_where_the_other_maps_have_them(report, codebooks, monkeypatch):
    monkeypatch.setattr("rvq_core.residuals.residual_sample", lambda *_: [codes[:30] * 0.5 for codes in codebooks])
    table = density_figure(None, (), codebooks).table(report)
    own = table[table["what"] == "code"].merge(pca(codebooks).table, on=["layer", "code"], suffixes=("", "_alone"))
    assert len(own) == 64 * len(codebooks)
    assert own[["x", "y"]].to_numpy() == pytest.approx(own[["x_alone", "y_alone"]].to_numpy(), abs=1e-9)


def test_the_density_on_paper_is_that_of_the_page_without_a_raster(report, codebooks, monkeypatch):
    vectors = [codes[:30] * 0.5 for codes in codebooks]
    monkeypatch.setattr("rvq_core.residuals.residual_sample", lambda *_: vectors)
    entry = density_figure(None, (), codebooks)
    table = entry.table(report)
    assert (table["what"] == maps.ENCODER).sum() == 30 * len(codebooks)
    assert (table["what"] == "code").sum() == 64 * len(codebooks)
    figure = entry.draw(table, report)
    density = figure.data[0]
    assert density.type == "contour"
    with drawing(PRESETS["single"]):
        axes = draw(figure, PRESETS["single"]).axes[0]
    areas = axes.collections[0]
    wanted = np.arange(density.contours.start, density.contours.end + 1e-9, density.contours.size)
    assert areas.levels[:-1] == pytest.approx(wanted)
    files = export_files(report, Choice(("svg", "csv"), ()), "x", further=[entry])
    assert b"<image" not in files["figures/map_density.svg"]
    assert files["figures/map_density.csv"].count(b"\n") == len(table) + 1
