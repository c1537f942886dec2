import numpy as np
import pytest

from rvq_core.stats.sample import LatentSample


def clip(name: str, length: int) -> tuple[str, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(len(name) + length)
    return name, rng.normal(size=(length, 3)).astype(np.float32), rng.integers(9, size=(length, 2))


CLIPS = [clip("a", 40), clip("bb", 1), clip("ccc", 70), clip("dddd", 0), clip("eeeee", 25)]


def sample(clips, size=50, seed=0) -> LatentSample:
    kept = LatentSample(size, seed)
    for one in clips:
        kept.add(*one)
    return kept


def rows(kept: LatentSample) -> set[tuple[float, ...]]:
    return {tuple(row) for row in np.concatenate(kept.latents(), axis=1).tolist()}


def test_all_are_kept_where_they_are_few():
    kept = sample(CLIPS, size=136)
    assert kept.seen == 136
    expected = np.concatenate([np.concatenate([latents, tokens], axis=1) for _, latents, tokens in CLIPS])
    assert rows(kept) == {tuple(row) for row in expected.tolist()}


def test_a_sample_is_of_the_size_asked_for_and_latents_stay_with_their_tokens():
    kept = sample(CLIPS)
    latents, tokens = kept.latents()
    assert (len(latents), len(tokens), kept.seen) == (50, 50, 136)
    assert rows(kept) < rows(sample(CLIPS, size=136))


def test_order_and_halves_do_not_show():
    whole = sample(CLIPS)
    np.testing.assert_array_equal(whole.latents()[0], sample(CLIPS[::-1]).latents()[0])
    left, right = sample(CLIPS[:2]), sample(CLIPS[2:])
    left.merge(right)
    assert left.seen == whole.seen
    for merged, at_once in zip(left.latents(), whole.latents(), strict=True):
        np.testing.assert_array_equal(merged, at_once)
    assert right.seen == 95


def test_the_seed_decides():
    assert rows(sample(CLIPS, seed=1)) != rows(sample(CLIPS))
    with pytest.raises(ValueError, match="seed"):
        sample([], seed=1).merge(sample([]))


def test_every_latent_has_the_same_chance():
    length, size, draws = 20, 5, 2000
    latents = np.arange(length, dtype=np.float32)[:, None]
    times = np.zeros(length)
    for seed in range(draws):
        kept = LatentSample(size, seed)
        kept.add("one", latents[:8], np.zeros((8, 1), dtype=int))
        kept.add("two", latents[8:], np.zeros((12, 1), dtype=int))
        times[kept.latents()[0][:, 0].astype(int)] += 1
    # Each is binomial(2000, 1/4): five standard deviations are 97.
    assert np.abs(times - draws * size / length).max() < 97


def test_nothing_added():
    latents, tokens = LatentSample().latents()
    assert latents.shape[0] == tokens.shape[0] == 0
