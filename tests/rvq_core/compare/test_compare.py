"""Comparisons of reports made by hand, and of checkpoints."""

import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from reports import make_report

from rvq_core.compare import Comparison, compare
from rvq_core.errors import ClipError, ReportError, SettingsError

K, CLIPS = 16, 8


def tokens_of(depth: int = 3, *, length: int = 40, seed: int = 0, codes: int = K) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(codes, size=(length + 3 * i, depth)) for i in range(CLIPS)]


def errors_of(depth: int = 3, *, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    """[M, Q + 2], lower with every quantizer; the last is unquantised."""
    rng = np.random.default_rng(seed)
    clip = rng.uniform(80, 200, size=(CLIPS, 1))
    return np.hstack([clip / np.arange(1, depth + 2), clip / (depth + 3)]) + shift


def made(name: str = "a", *, depth: int = 3, shift: float = 0.0, seed: int = 0, metrics=("mpjpe",), **more):
    given = {"tokens": tokens_of(depth, seed=seed), "codes": K, "name": name, "normalizer": "n"}
    given["errors"] = {metric: errors_of(depth, shift=shift) for metric in metrics}
    return make_report(**(given | more))


def refusals(comparison: Comparison) -> dict[str, str]:
    return {entry["what"]: entry["reason"] for entry in comparison.refused}


class TestInANotebook:
    """What a notebook shows of a comparison."""

    def test_the_differences_are_those_of_the_tables(self):
        comparison = compare([made("a"), made("b", shift=7.0)])
        page = ElementTree.fromstring(comparison._repr_html_())
        full, perplexity = ([[cell.text for cell in row] for row in table.iter("tr")] for table in page.iter("table"))
        (difference,) = [dict(zip(full[0], row, strict=True)) for row in full[1:]]
        assert (difference["checkpoint"], difference["n_active"], difference["delta"]) == ("b", "3", "7")
        usage = comparison.tables["usage"].query("checkpoint == 'b'").sort_values("layer")
        value = perplexity[0].index("value")
        assert [row[value] for row in perplexity[1:]] == [f"{each:.4g}" for each in usage["perplexity"]]

    def test_every_text_is_escaped(self):
        evil = "<script>alert(1)</script>"
        comparison = compare([made("a"), made(evil)])
        comparison.manifest["refused"].append({"checkpoint": evil, "what": "codes", "reason": evil})
        shown = comparison._repr_html_()
        assert "<script" not in shown
        assert shown.count("alert(1)") >= 5  # title, refusal and each row


class TestIdentical:
    """Identical checkpoints: every difference is exactly 0."""

    def test_every_difference_is_0(self):
        comparison = compare([made("a"), made("b")])
        for name in ("metrics", "layers", "equal_rate"):
            table = comparison.tables[name]
            assert len(table)
            assert (table["delta"] == 0).all()
            known = table.dropna(subset=["low"])
            assert (known[["low", "high"]] == 0).all(axis=None)
            assert set(table["words"]) == {"no difference"}
            assert not table["significant"].fillna(False).any()
        assert len(comparison.tables["config"]) == 0
        assert comparison.refused == []
        assert comparison.manifest["summary"][0].startswith("b: no difference. mpjpe ")

    def test_every_token_stands_on_its_own_code(self):
        tables = compare([made("a"), made("b")]).tables
        equal = tables["matching"].query("layer == baseline_layer")
        np.testing.assert_allclose(equal["ami"], 1)
        assert (equal[["match_share", "index_share"]] == 1).all(axis=None)
        matches = tables["code_matches"]
        assert (matches["code"] == matches["baseline_code"]).all()
        assert (matches[["share", "baseline_share"]] == 1).all(axis=None)
        assert set(matches["by"]) == {"number"}

    def test_layers_that_cost_nothing_change_nothing(self):
        """A collapsed layer stands at the rate of the one before it: the points are taken alike for both."""
        tokens = [np.where(np.arange(3) == 1, 0, each) for each in tokens_of()]
        table = compare([made("a", tokens=tokens), made("b", tokens=tokens)]).tables["equal_rate"]
        assert (table["delta"] == 0).all()
        assert table.query("rate == 'effective'")["n_active"].tolist() == [2, 3]

    def test_one_clip_alone(self):
        one = {"tokens": tokens_of()[:1], "errors": {"mpjpe": errors_of()[:1]}}
        comparison = compare([made("a", **one), made("b", **one)])
        assert (comparison.tables["metrics"]["delta"] == 0).all()
        assert comparison.tables["metrics"]["low"].isna().all()

    @pytest.mark.parametrize(("tokens", "codes"), [(np.zeros((1, 1), dtype=int), 1), (np.array([[2, 0]]), 3)])
    def test_one_token_one_code(self, tokens, codes):
        depth = tokens.shape[1]
        given = {"codes": codes, "depth": depth, "tokens": [tokens] * CLIPS}
        comparison = compare([made("a", **given), made("b", **given)])
        assert (comparison.tables["layers"]["delta"] == 0).all()
        assert (comparison.tables["metrics"]["delta"] == 0).all()


class TestErrors:
    def test_a_shift_is_told_with_its_sign(self):
        comparison = compare([made("a"), made("b", shift=4.0), made("c", shift=-4.0)])
        table = comparison.tables["metrics"]
        assert table.query("checkpoint == 'b'")["delta"].to_numpy() == pytest.approx(4.0)
        assert set(table.query("checkpoint == 'b'")["words"]) == {"worse"}
        assert set(table.query("checkpoint == 'c'")["words"]) == {"better"}
        assert [line.split(":")[0] for line in comparison.manifest["summary"]] == ["b", "c"]
        assert "c: better." in comparison.manifest["summary"][1]

    def test_values_are_those_of_the_reports(self):
        one, other = made("a"), made("b", shift=4.0)
        table = compare([one, other]).tables["metrics"]
        overall = other.overall.set_index("n_active")
        for row in table.itertuples():
            wanted = overall["reference"].iloc[0] if row.n_active == -1 else overall["value"][row.n_active]
            assert row.value == pytest.approx(wanted)
        assert table["n_active"].tolist() == [-1, 0, 1, 2, 3]
        assert set(table["clips"]) == {CLIPS}

    def test_noise_is_no_clear_difference(self):
        rng = np.random.default_rng(2)
        noisy = errors_of() + rng.normal(0, 10, size=(CLIPS, 5))
        row = compare([made("a"), made("b", errors={"mpjpe": noisy})]).tables["metrics"].query("n_active == 3").iloc[0]
        assert row["words"] == "no clear difference"
        assert row["low"] < 0 < row["high"]

    def test_another_depth_is_compared_at_equal_n_and_with_all(self):
        comparison = compare([made("a"), made("b", depth=2)])
        table = comparison.tables["metrics"]
        pairs = table[["n_active", "baseline_n_active"]].to_numpy().tolist()
        assert pairs == [[-1, -1], [0, 0], [1, 1], [2, 2], [2, 3]]
        assert table["delta"].tolist()[1:4] == pytest.approx([0, 0, 0])
        assert table["delta"].iloc[4] > 0
        assert any("equal bits" in note for note in comparison.manifest["notes"])
        assert comparison.manifest["results"]["metrics"][0]["baseline_n_active"] == 3

    def test_codebooks_of_other_sizes_are_told_once(self):
        comparison = compare([made("a"), made("b", depth=2), made("c"), made("d", depth=1)])
        told = [note for note in comparison.manifest["notes"] if "equal bits" in note]
        assert len(told) == 1
        assert told[0].startswith("b, d have codebooks of other sizes or another number of them than a")

    def test_curves_hold_every_checkpoint_with_its_own_interval(self):
        one, other = made("a"), made("b", depth=2)
        curves = compare([one, other]).tables["curves"]
        assert curves.groupby("checkpoint")["n_active"].max().to_dict() == {"a": 3, "b": 2}
        of_one = curves.query("checkpoint == 'a'").reset_index(drop=True)
        pd.testing.assert_frame_equal(of_one[["value", "low", "high"]], one.overall[["value", "low", "high"]])
        # 4 bits a layer and token of 2 frames at 30 a second
        assert of_one["nominal_bps"].tolist() == pytest.approx([0, 60, 120, 180])


class TestEqualRate:
    def test_half_the_stride_is_compared_at_equal_bits(self):
        """Two tokens where the baseline has one: its n layers cost what 2 n of the baseline do."""
        short = [each[: len(each) // 2] for each in tokens_of()]
        baseline = made("slow", tokens=short, stride=4)
        fast = made("fast", tokens=[np.repeat(each, 2, axis=0) for each in short], stride=2)
        table = compare([baseline, fast]).tables["equal_rate"].query("rate == 'nominal'")
        # One layer of it at 60 bits a second against two of the baseline; two would be beyond its three.
        (row,) = table.itertuples()
        assert (row.n_active, row.bits_per_second, row.bits_per_token) == (1, pytest.approx(60), pytest.approx(4))
        weights = [4 * len(each) for each in short]
        assert row.value == pytest.approx(np.average(errors_of()[:, 1], weights=weights))
        assert row.baseline == pytest.approx(np.average(errors_of()[:, 2], weights=weights))

    def test_other_sizes_are_interpolated(self):
        """Codebooks of 8 codes, 3 bits: the baseline's error between its points at 0, 4, 8 bits."""
        small = made("small", codes=8, tokens=tokens_of(codes=8))
        row = compare([made("a"), small]).tables["equal_rate"].query("rate == 'nominal' and n_active == 2").iloc[0]
        weights = [2 * len(each) for each in tokens_of()]
        wanted = 0.5 * errors_of()[:, 1] + 0.5 * errors_of()[:, 2]  # 6 bits
        assert row["baseline"] == pytest.approx(np.average(wanted, weights=weights))


class TestUsage:
    def test_a_collapsed_layer_is_told_lower(self):
        tokens = tokens_of()
        collapsed = [np.where(np.arange(3) == 1, each % 3, each) for each in tokens]
        comparison = compare([made("a", tokens=tokens), made("b", tokens=collapsed)])
        row = comparison.tables["layers"].query("layer == 2 and figure == 'perplexity'").iloc[0]
        assert row["words"] == "lower"
        assert row["high"] < 0
        usage = comparison.tables["usage"].query("checkpoint == 'b' and layer == 2").iloc[0]
        assert (row["value"], usage["unseen"]) == (usage["perplexity"], K - 3)

    def test_unseen_codes_have_no_interval(self):
        table = compare([made("a"), made("b", seed=5)]).tables["layers"]
        assert table.query("figure == 'unseen_share'")["low"].isna().all()
        assert table.query("figure == 'perplexity'")["low"].notna().all()


class TestRefused:
    def test_another_representation(self):
        comparison = compare([made("a"), made("b", representation="humanml3d")])
        assert "humanml3d" in refusals(comparison)["reconstruction errors"]
        assert len(comparison.tables["metrics"]) == 0
        assert len(comparison.tables["layers"])
        assert len(comparison.tables["matching"])
        assert comparison.manifest["summary"] == ["b: no reconstruction error can be compared with a."]

    def test_another_width_of_features(self):
        one, other = ({"config": {"input_dim": width}} for width in (330, 78))
        assert "330" in refusals(compare([made("a", **one), made("b", **other)]))["reconstruction errors"]

    def test_other_frames_per_second_leave_positions(self):
        metrics = ("feature_mse", "mpjpe", "velocity_error", "rotation_error")
        slow = made("b", fps=15.0, stride=1, metrics=metrics)
        comparison = compare([made("a", metrics=metrics), slow])
        assert refusals(comparison).keys() == {"feature_mse", "velocity_error"}
        assert "15" in refusals(comparison)["velocity_error"]
        assert set(comparison.tables["metrics"]["metric"]) == {"mpjpe", "rotation_error"}
        assert set(comparison.tables["curves"].query("checkpoint == 'b'")["metric"]) == {"mpjpe", "rotation_error"}

    @pytest.mark.parametrize(("normalizer", "part"), [("other", "by other means"), (None, "by other means")])
    def test_features_normalised_otherwise(self, normalizer, part):
        metrics = ("mpjpe", "feature_mse")
        comparison = compare([made("a", metrics=metrics), made("b", metrics=metrics, normalizer=normalizer)])
        assert part in refusals(comparison)["feature_mse"]
        assert set(comparison.tables["metrics"]["metric"]) == {"mpjpe"}

    def test_a_report_that_does_not_tell_its_normalizer(self):
        old = made("b", metrics=("feature_mse",))
        del old.manifest["checkpoint"]["normalizer_sha256"]
        assert "earlier version" in refusals(compare([made("a", metrics=("feature_mse",)), old]))["feature_mse"]

    def test_a_metric_of_one_alone(self):
        comparison = compare([made("a", metrics=("mpjpe", "rotation_error")), made("b")])
        assert refusals(comparison) == {"rotation_error": "measured for a alone"}

    def test_clips_that_one_does_not_have(self):
        names = [f"c{i}" for i in range(CLIPS)]
        comparison = compare([made("a"), made("b", names=[*names[:-1], "other"])])
        assert refusals(comparison) == {
            "clips c7": "not in this checkpoint's report", "clips other": "not in the report of a"
        }  # fmt: skip
        assert comparison.manifest["clips"]["count"] == CLIPS - 1
        assert set(comparison.tables["metrics"]["clips"]) == {CLIPS - 1}

    def test_other_clips_of_the_same_name(self):
        longer = tokens_of()
        longer[2] = np.concatenate([longer[2]] * 2)
        comparison = compare([made("a"), made("b", tokens=longer)])
        assert "not the same motion" in refusals(comparison)["clips c2"]

    def test_no_clip_in_common(self):
        with pytest.raises(ClipError, match="none of the same name and length"):
            compare([made("a"), made("b", names=[f"d{i}" for i in range(CLIPS)])])

    def test_one_alone(self):
        with pytest.raises(SettingsError, match="two checkpoints or reports"):
            compare([made("a")])
        with pytest.raises(SettingsError, match="seed"):
            compare([made("a"), made("b")], seed=-1)


class TestCodes:
    def test_renamed_codes_are_matched_by_moments(self):
        tokens, rng = tokens_of(), np.random.default_rng(9)
        renamed = np.stack([rng.permutation(K) for _ in range(3)], axis=1)
        other = [np.take_along_axis(renamed, each, axis=0) for each in tokens]
        comparison = compare([made("a", tokens=tokens), made("b", tokens=other)])
        matches = comparison.tables["code_matches"]
        assert set(matches["by"]) == {"moments"}
        assert (matches["code"] == renamed[matches["baseline_code"], matches["layer"] - 1]).all()
        assert (matches["share"] == 1).all()
        assert comparison.tables["matching"].query("layer == baseline_layer")["ami"].tolist() == pytest.approx([1] * 3)
        assert any("mean nothing across" in note for note in comparison.manifest["notes"])

    def test_two_steps_of_one_run_are_matched_by_number(self):
        tokens, rng = tokens_of(), np.random.default_rng(9)
        moved = [np.where(rng.random(each.shape) < 0.3, rng.integers(K, size=each.shape), each) for each in tokens]
        comparison = compare([made("a", tokens=tokens), made("b", tokens=moved)])
        matches = comparison.tables["code_matches"]
        assert set(matches["by"]) == {"number"}
        assert (matches["code"] == matches["baseline_code"]).all()
        assert matches.groupby("layer")["tokens"].sum().tolist() == [
            sum((a[:, q] == b[:, q]).sum() for a, b in zip(tokens, moved, strict=True)) for q in range(3)
        ]
        assert any("by number" in note for note in comparison.manifest["notes"])

    def test_shared_moments_are_the_contingency_table_of_the_most_frequent_pairs(self):
        first, second = tokens_of(), tokens_of(seed=3)
        tables = compare([made("a", tokens=first), made("b", tokens=second)]).tables
        cells = tables["shared_moments"]
        own, theirs = np.concatenate(second)[:, 1], np.concatenate(first)[:, 1]
        some = cells[cells["layer"] == 2]
        for row in some.itertuples():
            assert row.tokens == ((own == row.code) & (theirs == row.baseline_code)).sum() > 0
            assert row.share == pytest.approx(row.tokens / (own == row.code).sum())
        pairs = tables["code_matches"].query("layer == 2").set_index("code")["baseline_code"]
        assert some[some["matched"]].set_index("code")["baseline_code"].to_dict() == pairs.to_dict()
        inside = np.isin(own, pairs.index) & np.isin(theirs, pairs.to_numpy())
        assert some["tokens"].sum() == inside.sum()
        assert set(cells["checkpoint"]) == {"b"}

    def test_of_many_pairs_the_most_frequent_keep_their_moments(self, monkeypatch):
        monkeypatch.setattr("rvq_core.compare.codes.MOST_PAIRS", 3)
        tables = compare([made("a"), made("b", tokens=tokens_of(seed=3))]).tables
        for layer, matches in tables["code_matches"].groupby("layer"):
            cells = tables["shared_moments"]
            cells = cells[(cells["layer"] == layer) & cells["matched"]]
            assert sorted(cells["tokens"]) == sorted(matches["tokens"])[-3:]

    def test_every_pair_of_layers_has_its_agreement(self):
        table = compare([made("a"), made("b", depth=2, seed=4)]).tables["matching"]
        assert table[["layer", "baseline_layer"]].to_numpy().tolist() == [[a, b] for a in (1, 2) for b in (1, 2, 3)]
        assert table["ami"].abs().max() < 0.1
        assert table["match_share"].notna().tolist() == [True, False, False, False, True, False]

    def test_other_strides_are_matched_at_the_nearest_time(self):
        tokens = tokens_of()
        doubled = made("fast", tokens=[np.repeat(each, 2, axis=0) for each in tokens], stride=1)
        comparison = compare([made("a", tokens=tokens), doubled])
        assert comparison.tables["matching"].query("layer == baseline_layer")["ami"].tolist() == pytest.approx([1] * 3)
        assert any("nearest time" in note for note in comparison.manifest["notes"])

    def test_they_may_be_left_out(self):
        tables = compare([made("a"), made("b")], codes=False).tables
        assert len(tables["matching"]) == len(tables["code_matches"]) == 0
        assert len(tables["metrics"])


class TestTold:
    def test_only_differences_of_the_config(self):
        one, other = ({"config": {"nb_code": K, "mu": mu, "width": 8}} for mu in (0.99, 0.9))
        table = compare([made("a", **one), made("b", **other), made("c", **one)]).tables["config"]
        assert table.to_numpy().tolist() == [["mu", "a", "0.99"], ["mu", "b", "0.9"], ["mu", "c", "0.99"]]

    def test_settings_of_training_are_config(self):
        one, other = made("a"), made("b")
        one.manifest["checkpoint"]["training"] = {"commit": 0.02, "seed": 0}
        other.manifest["checkpoint"]["training"] = {"commit": 0.1, "seed": 0}
        table = compare([one, other]).tables["config"]
        assert table.to_numpy().tolist() == [["commit", "a", "0.02"], ["commit", "b", "0.1"]]

    def test_equal_names_are_told_apart(self):
        comparison = compare([made("a"), made("a", shift=1), made("a", shift=2)])
        assert comparison.names == ["a", "a (2)", "a (3)"]
        assert comparison.tables["metrics"]["checkpoint"].unique().tolist() == ["a (2)", "a (3)"]

    def test_clips_that_one_was_trained_on_are_told(self):
        kept = [True] * 4 + [False] * 4
        notes = compare([made("a", held_out=[True] * 8), made("b", held_out=kept)]).manifest["notes"]
        assert any(note.startswith("4 of the clips were trained on by one of") for note in notes)
        unknown = compare([made("a", held_out=[True] * 8), made("b")]).manifest["notes"]
        assert not any("trained on" in note for note in unknown)

    def test_json_holds_the_main_figures(self):
        comparison = compare([made("a"), made("b", shift=4.0)])
        told = json.loads(comparison.json())
        assert told["schema"] == "comparison-1"
        (row,) = told["results"]["metrics"]
        assert (row["checkpoint"], row["n_active"], row["words"], row["significant"]) == ("b", 3, "worse", True)
        assert {row["n_active"] for row in told["results"]["equal_rate"]} == {3}
        unseen = [row for row in told["results"]["layers"] if row["figure"] == "unseen_share"]
        assert unseen[0]["low"] is None


class TestFolder:
    def test_saved_and_loaded(self, tmp_path):
        comparison = compare([made("a"), made("b", shift=4.0)])
        loaded = Comparison.load(comparison.save(tmp_path / "out"))
        assert loaded.manifest == comparison.manifest
        for name, table in comparison.tables.items():
            pd.testing.assert_frame_equal(loaded.tables[name], table)

    def test_an_earlier_one_is_replaced_and_nothing_else(self, tmp_path):
        comparison = compare([made("a"), made("b")])
        comparison.save(tmp_path / "out")
        (tmp_path / "out" / "old.txt").touch()
        comparison.save(tmp_path / "out")
        assert not (tmp_path / "out" / "old.txt").exists()
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.tex").touch()
        with pytest.raises(ReportError, match="other files"):
            comparison.save(tmp_path / "mine")
        assert [path.name for path in tmp_path.iterdir()].count("mine") == 1

    def test_a_report_is_none(self, tmp_path):
        made("a").save(tmp_path / "report")
        with pytest.raises(ReportError, match="run rvq-lens compare again"):
            Comparison.load(tmp_path / "report")
        with pytest.raises(ReportError, match="rvq-lens compare wrote"):
            Comparison.load(tmp_path)

    def test_the_same_input_gives_the_same_bytes(self, tmp_path):
        for name in ("one", "two"):
            compare([made("a"), made("b", shift=4.0, seed=3)]).save(tmp_path / name)
        for path in sorted((tmp_path / "one").glob("*.parquet")):
            assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
