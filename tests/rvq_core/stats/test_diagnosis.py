import numpy as np
import pytest

from rvq_core.stats.diagnosis import causes, statuses
from rvq_core.stats.layer_facts import LayerFacts


def facts(counts, codebook=None, **more) -> LayerFacts:
    counts = np.asarray(counts)
    if codebook is None:
        codebook = np.random.default_rng(0).normal(size=(len(counts), 16))
    known = {"residual_energy": 0.5, "logged_perplexity": 2.0, "ema_count": None, "reset_threshold": 1.0, "corpora": {}}
    return LayerFacts(codebook=codebook, by_clip=counts[None], **{**known, **more})


def causes_of(one: LayerFacts) -> list[str | None]:
    return causes(statuses(one), one)


def kinds(one: LayerFacts) -> list[str | None]:
    return [cause and cause.split(":")[0] for cause in causes_of(one)]


def test_status_is_the_first_that_fits_and_its_cause_says_why():
    codebook = np.eye(6) * 4
    codebook[[1, 3]] = codebook[0]  # 0, 1 and 3 lie on each other
    one = facts([0, 1, 2, 900, 0, 97], codebook)  # N = 1000, K = 6: rare is below 16.7 tokens
    assert statuses(one).tolist() == ["unseen", "duplicate", "rare", "duplicate", "unseen", "used"]
    assert causes_of(one)[1] in ("duplicate: lies on code 0", "duplicate: lies on code 3")
    assert causes_of(one)[0] in (f"duplicate: lies on code {k}, which takes its latents" for k in (1, 3))
    assert causes_of(one)[2] == "rare: 2 of 1,000 tokens, an even share is 167"
    assert causes_of(one)[5] is None


def test_training_counts_go_before_ema_counts():
    train = np.array([1000, 0, 0, 12])
    one = facts([9, 0, 0, 0], ema_count=np.array([5.0, 0.4, 3.0, 0.4]), corpora={"train": train})
    assert causes_of(one) == [
        None,
        "dead: EMA count 0.4 is below the reset threshold 1",
        "dead: none of 1,012 tokens of the training corpus is on it",
        "not exercised by these clips: 12 tokens of the training corpus are on it",
    ]


def test_ema_counts_alone():
    one = facts([9, 0, 0], ema_count=np.array([5.0, 0.4, 3.0]))
    assert kinds(one) == [None, "dead", "not exercised by these clips"]


def test_nothing_stored_is_said_not_guessed():
    assert kinds(facts([9, 0, 0])) == [None, "unknown", "unknown"]


class TestResetRows:
    def test_a_dead_row_off_its_mean_was_put_there_by_a_reset(self):
        codebook = np.random.default_rng(1).normal(size=(4, 16))
        mean = codebook.copy()
        mean[[1, 3]] += 0.5
        one = facts([9, 0, 0, 0], codebook, ema_count=np.array([5.0, 0.4, 0.4, 2.0]), ema_mean=mean)
        assert kinds(one) == [None, "frozen at reset noise", "dead", "not exercised by these clips"]
        assert "EMA count 0.4," in str(causes_of(one)[1])

    def test_counts_that_have_faded_away_tell_nothing(self):
        codebook = np.random.default_rng(1).normal(size=(2, 16))
        one = facts([9, 0], codebook, ema_count=np.array([5.0, 1e-40]), ema_mean=np.zeros((2, 16)))
        assert kinds(one) == [None, "dead"]


class TestTiledRows:
    @staticmethod
    def tiled(rng: np.random.Generator, spread: float) -> np.ndarray:
        """Eight codes well apart, then three copies of one latent with the noise of a tiled batch."""
        copies = rng.normal(size=16) * spread + rng.normal(size=(3, 16)) * (0.01 / 4)
        return np.concatenate([rng.normal(size=(8, 16)) * spread, copies])

    def test_copies_of_one_latent_are_known_without_ema(self):
        one = facts([*[9] * 8, 0, 0, 0], self.tiled(np.random.default_rng(0), 1.0))
        assert kinds(one) == [*[None] * 8, *["frozen at reset noise"] * 3]

    def test_a_codebook_of_short_codes_is_not_taken_for_copies(self):
        rng = np.random.default_rng(0)
        one = facts([*[9] * 8, 0, 0, 0], rng.normal(size=(11, 16)) * 0.003)
        assert set(kinds(one)[8:]) == {"unknown"}

    def test_copies_that_are_chosen_are_used(self):
        one = facts([9] * 11, self.tiled(np.random.default_rng(0), 1.0))
        assert set(kinds(one)) == {None}


def test_codes_of_a_shared_codebook_may_be_for_other_layers():
    one = facts(
        [9, 0, 0, 0],
        ema_count=np.array([5.0, 5.0, 5.0, 0.1]),
        other_layers={1: np.array([0, 7, 0, 0]), 3: np.array([1, 2, 0, 0])},
    )
    assert kinds(one) == [None, "used by other layers", "not exercised by these clips", "dead"]
    assert "layer 1 (7 tokens), layer 3 (2 tokens)" in str(causes_of(one)[1])


@pytest.mark.parametrize("counts", [[0], [1], [5, 0], [0, 0, 500, 0]])
def test_degenerate_layers(counts):
    one = facts(counts, np.ones((len(counts), 2)))
    assert len(causes_of(one)) == len(counts)
    assert statuses(one).tolist()[0] in ("unseen", "duplicate", "used")
