import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from rvq_core import analyze
from rvq_core.margins import unseen_margins
from rvq_core.search import nearest_codes


def quantize(latents: np.ndarray, codebooks: list[torch.Tensor]) -> np.ndarray:
    left, chosen = torch.from_numpy(latents), []
    for codebook in codebooks:
        chosen.append(nearest_codes(left, codebook))
        left = left - codebook[chosen[-1]]
    return torch.stack(chosen, dim=1).numpy()


def brute_force(latents: np.ndarray, tokens: np.ndarray, codebooks: list[torch.Tensor]) -> list[tuple]:
    """Margins of all codes from whole distance matrices."""
    left, found = latents.astype(np.float64), []
    for q, codebook in enumerate(codebooks):
        distances = cdist(left, codebook.double().numpy())
        won = distances[np.arange(len(left)), tokens[:, q], None]
        found.append(((distances**2 - won**2).min(axis=0), (distances - won).min(axis=0)))
        left -= codebook.numpy()[tokens[:, q]]
    return found


def example(count: int = 300, size: int = 40, layers: int = 3, seed: int = 0):
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(count, 6)).astype(np.float32)
    # Half of the codes lie far out, where none or few are chosen.
    spread = np.where(np.arange(size) % 2, 3.0, 0.8)[:, None]
    books = [torch.from_numpy((rng.normal(size=(size, 6)) * spread / 2**q).astype(np.float32)) for q in range(layers)]
    tokens = quantize(latents, books)
    seen = [np.isin(np.arange(size), tokens[:, q]) for q in range(layers)]
    return latents, tokens, books, seen


def test_they_are_those_of_whole_distance_matrices():
    latents, tokens, books, seen = example()
    found = unseen_margins(latents, tokens, books, seen)
    for margins, (squared, l2), known in zip(found, brute_force(latents, tokens, books), seen, strict=True):
        assert 5 < known.sum() < 38
        assert np.isnan(margins.squared).tolist() == np.isnan(margins.l2).tolist() == known.tolist()
        np.testing.assert_allclose(margins.squared[~known], squared[~known], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(margins.l2[~known], l2[~known], rtol=1e-4, atol=1e-6)
        assert (margins.squared[~known] >= 0).all() and (margins.l2[~known] >= 0).all()


def test_chunks_and_halves_give_the_whole_exactly(monkeypatch):
    latents, tokens, books, seen = example()
    whole = unseen_margins(latents, tokens, books, seen)
    halves = [unseen_margins(latents[part], tokens[part], books, seen) for part in (slice(100), slice(100, None))]
    monkeypatch.setattr("rvq_core.margins.CHUNK_SCORES", 500)
    small = unseen_margins(latents, tokens, books, seen)
    for q, margins in enumerate(whole):
        for name in ("squared", "l2"):
            values = getattr(margins, name)
            np.testing.assert_array_equal(getattr(small[q], name), values)
            np.testing.assert_array_equal(np.minimum(*(getattr(half[q], name) for half in halves)), values)


def test_a_duplicate_of_a_winner_lacks_nothing():
    books = [torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 5.0]])]
    latents = np.array([[1.25, 0.0]], dtype=np.float32)
    (margins,) = unseen_margins(latents, np.array([[0]]), books, [np.array([True, False, False])])
    np.testing.assert_array_equal(margins.squared, [np.nan, 0.0, 1.25**2 + 25 - 0.0625])
    np.testing.assert_allclose(margins.l2, [np.nan, 0.0, np.hypot(1.25, 5) - 0.25])


@pytest.mark.parametrize("count", [0, 1])
def test_one_latent_or_none(count):
    latents, tokens, books, _ = example(max(count, 1), 5, 1)
    seen = [np.isin(np.arange(5), tokens[:count, 0])]
    (margins,) = unseen_margins(latents[:count], tokens[:count], books, seen)
    assert np.isnan(margins.squared).sum() == (1 if count else 5)


def test_all_codes_seen_and_one_code():
    latents, tokens, books, _ = example(20, 1, 2)
    found = unseen_margins(latents, tokens, books, [np.array([True])] * 2)
    assert all(np.isnan(margins.l2).all() for margins in found)


def test_reports_hold_them_as_columns(tiny, make_clip):
    report = analyze(tiny, [make_clip(f"c{i}", 30, seed=i) for i in range(3)], device="cpu")
    codes = report.codes
    unseen = codes["count"] == 0
    assert unseen.any() and (~unseen).any()
    assert codes.loc[~unseen, ["margin", "margin_l2", "margin_relative"]].isna().all(axis=None)
    assert (codes.loc[unseen, ["margin", "margin_l2", "margin_relative"]] > 0).all(axis=None)
    usual = codes.groupby("layer")["nearest_distance"].transform("median")
    np.testing.assert_allclose(codes["margin_relative"], codes["margin_l2"] / usual)
    assert report.manifest["settings"]["margin_latents"] == report.layers["tokens"].iloc[0]
    assert not any("Margins" in note for note in report.manifest["notes"])


def test_a_subset_is_told(tiny, make_clip, monkeypatch):
    monkeypatch.setattr("rvq_core.stats.sample.LatentSample.__init__.__defaults__", (10, 0, 1.0))
    clips = [make_clip(f"c{i}", 30, seed=i) for i in range(3)]
    reports = [analyze(tiny, clips, device="cpu") for _ in range(2)]
    assert reports[0].manifest["settings"]["margin_latents"] == 10
    assert "Margins of unseen codes were measured on a random 10 of 45 latents." in reports[0].manifest["notes"]
    assert reports[0].codes.equals(reports[1].codes)
