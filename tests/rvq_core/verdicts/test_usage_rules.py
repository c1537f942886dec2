"""Every rule about codes: a case built to trigger it, and one built not to."""

import numpy as np
import pytest
from reports import make_report, spread

from rvq_core.verdicts import Thresholds, verdicts
from rvq_core.verdicts.facts import Facts

K = 32


def clips(*used: int, count: int = 8, tokens: int = 100) -> list[np.ndarray]:
    """Clips whose layers use so many codes, evenly."""
    return [np.stack([spread(tokens, K, n) for n in used], axis=1) for _ in range(count)]


def counts(*used: int, tokens: int = 10_000) -> list[np.ndarray]:
    return [np.bincount(spread(tokens, K, n), minlength=K) for n in used]


def rules(report, severity: str | None = None, thresholds=None) -> dict:
    return {found["rule"]: found for found in verdicts(report, thresholds) if severity in (None, found["severity"])}


def test_codes_used_evenly_give_nothing_but_what_cannot_be_known():
    assert set(rules(make_report(clips(K, K), K))) == {"ema_not_stored"}
    assert not rules(make_report(clips(K, K), K, ema=counts(K, K)))


class TestCollapsedLayer:
    def test_it_says_from_which_layer(self):
        found = rules(make_report(clips(K, K, 2, 1), K))["collapsed_layer"]
        assert (found["severity"], found["layers"]) == ("severe", [3, 4])
        assert "layers 3 to 4 (from layer 3 on)" in found["finding"]
        assert "Perplexity 1.0 of 32 codes in layer 4" in found["finding"]
        assert found["value"] == pytest.approx(1 / K, rel=0.05)
        assert found["low"] <= found["value"] <= found["high"] < found["threshold"] == 0.1
        assert found["measured_on"] == "800 tokens of 8 clips"

    def test_stored_counts_of_training_decide_over_few_clips(self):
        assert "collapsed_layer" not in rules(make_report(clips(K, 1), K, train=counts(K, K)))
        found = rules(make_report(clips(K, K), K, train=counts(K, 1)))["collapsed_layer"]
        assert (found["severity"], found["layers"]) == ("severe", [2])
        assert found["measured_on"].startswith("10,000 tokens of the training corpus")

    def test_few_tokens_are_no_collapse(self):
        # 16 tokens on 12 codes have a perplexity of 11 of 512: all that so few can show.
        tokens = [np.arange(16)[:, None] % 12]
        report = make_report(tokens, 512)
        assert report.layers["perplexity_ratio"].iloc[0] < 0.1
        assert "collapsed_layer" not in rules(report)

    def test_one_short_clip_is_a_warning_at_most(self):
        found = rules(make_report([np.zeros((40, 1), dtype=int)], K))["collapsed_layer"]
        assert found["severity"] == "warning"

    def test_clips_that_differ_make_it_a_warning(self):
        # One clip of many would lift it over the threshold: the interval reaches above it.
        mixed = [np.zeros((200, 1), dtype=int)] * 4 + [spread(50, K, K)[:, None]]
        found = rules(make_report(mixed, K))["collapsed_layer"]
        assert found["severity"] == "warning"
        assert found["high"] > 0.1

    def test_between_the_thresholds_it_is_a_warning(self):
        found = rules(make_report(clips(6), K))["collapsed_layer"]
        assert (found["severity"], found["threshold"]) == ("warning", 0.25)
        changed = Thresholds(low_perplexity_ratio=0.1)
        assert "collapsed_layer" not in rules(make_report(clips(6), K), thresholds=changed)


class TestUnseenCodes:
    def test_most_codes_unseen_is_severe(self):
        found = rules(make_report(clips(K), K, train=counts(10)))["unseen_codes"]
        assert (found["severity"], found["layers"], found["value"]) == ("severe", [1], pytest.approx(22 / K))
        assert "22 of 32 in layer 1 were never chosen" in found["finding"]
        assert "0.03 %" in found["caveat"]

    def test_some_unseen_is_a_warning_and_few_are_nothing(self):
        assert rules(make_report(clips(K), K, train=counts(20)))["unseen_codes"]["severity"] == "warning"
        assert "unseen_codes" not in rules(make_report(clips(K), K, train=counts(28)))

    def test_of_a_shared_codebook_other_layers_may_use_them(self):
        for shared in (True, False):
            report = make_report(clips(K), K, train=counts(20), config={"shared_codebook": shared})
            assert ("others, so they are not dead" in rules(report)["unseen_codes"]["caveat"]) == shared

    def test_what_few_tokens_cannot_show_does_not_count(self):
        rng = np.random.default_rng(0)
        report = make_report([rng.integers(512, size=(100, 1)) for _ in range(2)], 512)
        assert report.layers["unseen"].iloc[0] > 0.5 * 512
        assert "unseen_codes" not in rules(report)

    def test_on_few_tokens_it_is_a_warning(self):
        assert rules(make_report([spread(100, K, 8)[:, None]], K))["unseen_codes"]["severity"] == "warning"
        assert rules(make_report([spread(400, K, 8)[:, None]], K))["unseen_codes"]["severity"] == "severe"


class TestEma:
    def test_codes_below_the_reset_threshold_are_dead(self):
        dead = np.where(np.arange(K) < 20, 0.01, 40.0)
        found = rules(make_report(clips(K, K), K, ema=[np.full(K, 9.0), dead]))
        assert (found["dead_by_ema"]["severity"], found["dead_by_ema"]["layers"]) == ("severe", [2])
        assert found["dead_by_ema"]["value"] == 20 / K
        assert "too_large_for_batch" not in found

    def test_few_below_it_are_nothing(self):
        few = np.where(np.arange(K) < 5, 0.5, 9.0)
        assert not rules(make_report(clips(K), K, ema=[few]))

    def test_a_batch_that_is_too_small_for_the_codebook(self):
        ema = np.where(np.arange(K) < 20, 0.5, 3.0)
        found = rules(make_report(clips(K), K, ema=[ema]))
        assert "dead_by_ema" not in found
        assert found["too_large_for_batch"]["severity"] == "warning"
        assert "46 tokens a batch are shared by 32 codes, 1.4 each" in found["too_large_for_batch"]["finding"]

    def test_the_threshold_is_the_checkpoints_own_unless_it_never_resets(self):
        ema = [np.linspace(1.5, 30, K)]
        assert not rules(make_report(clips(K), K, ema=ema, config={"reset_threshold": 1.0}))
        assert not rules(make_report(clips(K), K, ema=ema, config={"reset_threshold": 0.0}))
        found = rules(make_report(clips(K), K, ema=ema, config={"reset_threshold": 12.0}))
        assert "threshold of 12" in found["too_large_for_batch"]["finding"]

    def test_small_batches_excuse_nothing_where_codes_are_never_reset(self):
        ema = [np.where(np.arange(K) < 20, 0.5, 3.0)]
        found = rules(make_report(clips(K), K, ema=ema, config={"reset_threshold": 0.0}))
        assert "too_large_for_batch" not in found
        assert (found["dead_by_ema"]["severity"], found["dead_by_ema"]["value"]) == ("severe", 20 / K)
        assert "without reset" in found["dead_by_ema"]["cause"]

    def test_a_file_without_ema_is_noted(self):
        assert rules(make_report(clips(K), K))["ema_not_stored"]["severity"] == "note"
        assert "ema_not_stored" not in rules(make_report(clips(K), K, ema=counts(K)))


class TestCodebooksThatFollowAGradient:
    """As of EMAGE: what is advised of EMA counts and of their reset is not for them."""

    def found(self, note: str) -> dict:
        report = make_report(clips(1, 1), K)
        report.manifest["checkpoint"]["notes"] = [note]
        return rules(report)

    def test_nothing_is_said_of_ema(self):
        found = self.found("its codebook is trained by gradient, not by EMA")
        assert {"collapsed_layer", "unseen_codes"} <= set(found)
        assert "ema_not_stored" not in found
        for rule in ("collapsed_layer", "unseen_codes"):
            assert "by gradient" not in found[rule]["advice"]
            assert "EMA count" not in found[rule]["advice"]
            assert "reset" not in found[rule]["advice"].lower()

    def test_others_are_told_of_the_reset(self):
        found = self.found("another note")
        assert "ema_not_stored" in found
        assert "EMA count" in found["collapsed_layer"]["advice"]
        assert "reset of dead codes" in found["unseen_codes"]["advice"]


class TestTooLargeForData:
    CORPUS = "3 clips and their mirror images, each in 8 headings"

    def test_views_of_the_same_motion_are_no_further_tokens(self):
        found = rules(make_report(clips(K), K, train=counts(K), corpora={"train": self.CORPUS}))["too_large_for_data"]
        assert (found["severity"], found["value"]) == ("warning", 10_000 / 16 / K)
        assert "625 tokens cannot judge 32 codes" in found["caveat"]
        assert "16 views each" in found["caveat"]

    def test_enough_tokens_are_nothing(self):
        assert "too_large_for_data" not in rules(make_report(clips(K), K, train=counts(K)))
        corpora = {"train": "3 clips, each in 8 headings"}
        assert "too_large_for_data" not in rules(make_report(clips(K), K, train=counts(K), corpora=corpora))

    def test_without_stored_counts_nobody_can_tell(self):
        assert "too_large_for_data" not in rules(make_report(clips(K, tokens=3), K))

    def test_the_views_are_read_from_what_a_checkpoint_says_of_its_corpora(self, tiny):
        training = {"code_counts": {"train": []}, "train_clips": ["a"], "mirrored": True, "headings_counted": 8}
        tiny.training.update(training)
        assert Facts(make_report(clips(K), K, corpora=tiny.corpora), Thresholds()).views == 16
        tiny.training.update(mirrored=False, headings_counted=1)
        assert Facts(make_report(clips(K), K, corpora=tiny.corpora), Thresholds()).views == 1


class TestDominatedLayer:
    def test_one_code_that_takes_much(self):
        tokens = [np.stack([np.where(np.arange(100) < 40, 0, clip[:, 0]), clip[:, 0]], axis=1) for clip in clips(K)]
        found = rules(make_report(tokens, K))["dominated_layer"]
        assert (found["severity"], found["layers"]) == ("warning", [1])
        assert 0.4 < found["value"] < 0.45

    def test_an_even_share_is_nothing_however_few_codes_there_are(self):
        two = [np.arange(100)[:, None] % 2 for _ in range(8)]
        assert not rules(make_report(two, 2, ema=[np.full(2, 9.0)]))
        one = [np.zeros((100, 1), dtype=int)] * 8
        assert not rules(make_report(one, 1, ema=[np.full(1, 9.0)]))


class TestDuplicateCodes:
    def test_codes_that_lie_on_others(self):
        codebook = np.random.default_rng(1).normal(size=(K, 4))
        codebook[1] = codebook[0]
        found = rules(make_report(clips(K), K, codebooks=[codebook]))["duplicate_codes"]
        assert (found["severity"], found["value"], found["layers"]) == ("warning", 2 / K, [1])
        lenient = rules(make_report(clips(K), K, codebooks=[codebook]), thresholds=Thresholds(max_duplicates=0.1))
        assert lenient["duplicate_codes"]["severity"] == "note"

    def test_none_is_nothing(self):
        assert "duplicate_codes" not in rules(make_report(clips(K), K))


class TestTooFewTokens:
    def test_under_ten_a_code(self):
        found = rules(make_report(clips(K, count=3), K))["too_few_tokens"]
        assert (found["severity"], found["value"]) == ("note", 300 / K)
        assert "300 tokens cannot judge 32 codes" in found["finding"]

    def test_ten_a_code_are_enough(self):
        assert "too_few_tokens" not in rules(make_report(clips(K, count=4), K))


class TestSharedCodebook:
    def test_it_says_which_layer_uses_which_part(self):
        tokens = [np.stack([np.arange(100) % 20, 12 + np.arange(100) % 20], axis=1) for _ in range(8)]
        found = rules(make_report(tokens, K, config={"shared_codebook": True}))["shared_codebook"]
        assert found["severity"] == "note"
        assert "layer 1: 20 (12 of them it alone); layer 2: 20 (12 of them it alone); 32 in any" in found["finding"]

    def test_codebooks_of_their_own_are_not_noted(self):
        assert "shared_codebook" not in rules(make_report(clips(K), K, config={"shared_codebook": False}))
