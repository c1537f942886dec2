"""What a comparison tells: its settings and notes, as JSON, in a notebook, and in a folder."""

import json
from xml.etree import ElementTree

import pandas as pd
import pytest
from compared import K, made

from rvq_core.compare import Comparison, compare
from rvq_core.errors import ReportError


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
        (tmp_path / "out" / "old.parquet").touch()
        (tmp_path / "out" / "mine.txt").touch()
        comparison.save(tmp_path / "out")
        assert not (tmp_path / "out" / "old.parquet").exists()
        assert (tmp_path / "out" / "mine.txt").exists()
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.tex").touch()
        with pytest.raises(ReportError, match="other files"):
            comparison.save(tmp_path / "mine")
        assert [path.name for path in tmp_path.iterdir()].count("mine") == 1

    def test_a_report_is_none(self, tmp_path):
        made("a").save(tmp_path / "report")
        with pytest.raises(
            ReportError, match=r"expected a comparison of .*, found the report of .* rvq-lens compare wrote$"
        ):
            Comparison.load(tmp_path / "report")
        with pytest.raises(ReportError, match=r"found no such file in it; .* rvq-lens compare wrote$"):
            Comparison.load(tmp_path)
        made("a").save(tmp_path / "report")
        (tmp_path / "report/report.json").write_text('{"schema": "comparison-99"}')
        with pytest.raises(ReportError, match=r"schema: expected comparison-1, found 'comparison-99'"):
            Comparison.load(tmp_path / "report")

    def test_the_same_input_gives_the_same_bytes(self, tmp_path):
        for name in ("one", "two"):
            compare([made("a"), made("b", shift=4.0, seed=3)]).save(tmp_path / name)
        for path in sorted((tmp_path / "one").glob("*.parquet")):
            assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


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
