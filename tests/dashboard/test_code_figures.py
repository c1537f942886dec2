import numpy as np
import pandas as pd
import pytest

from dashboard import code_facts
from dashboard.figures.code_usage import MAX_CLIPS, code_usage_figure, usage_over_clips
from dashboard.figures.poses import pose_strip, pose_table

NAMES, PARENTS = ("pelvis", "left_hip", "head", "jaw"), (-1, 0, 0, 2)


def joints(poses: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(poses, 4, 3))


class TestPoses:
    def test_bones_keep_their_length_where_they_lie_in_the_picture(self):
        one = np.array([[[5.0, 1, 3], [6.0, 0.5, 3], [5.0, 2, 3], [5.0, 2.1, 3]]])
        table = pose_table(one, NAMES, PARENTS, facing=0.5)  # turned back, so seen from the front
        assert table["joint"].tolist() == ["left_hip", "head"]  # the root has no bone, the jaw is not drawn
        np.testing.assert_allclose(table[["x0", "y0", "x1", "y1"]], [[0, 0.5, 1, 0], [0, 0.5, 0, 1.5]], atol=1e-12)

    def test_lengths_are_those_of_the_bones_seen_from_the_side(self):
        turned = [pose_table(joints(), NAMES, PARENTS, facing=angle) for angle in (0.3, 0.3 - np.pi / 2)]
        across = [table["x1"] - table["x0"] for table in turned]
        up = turned[0]["y1"] - turned[0]["y0"]
        j = joints()
        expected = np.stack([j[:, 1] - j[:, 0], j[:, 2] - j[:, 0]], axis=1).reshape(-1, 3)
        np.testing.assert_allclose(np.sqrt(across[0] ** 2 + across[1] ** 2 + up**2), np.linalg.norm(expected, axis=1))

    def test_figures_stand_beside_each_other_and_over_their_reference(self):
        table = pose_table(joints(), NAMES, PARENTS)
        figure = pose_strip(table, ["a", "b", "c"], x="frames", name="code", reference=table, reference_name="without")
        assert [trace.name for trace in figure.data] == ["without", "code"]
        ticks = np.diff(figure.layout.xaxis.tickvals)
        np.testing.assert_allclose(ticks, ticks[0])
        width = table[["x0", "x1"]].to_numpy()
        assert ticks[0] > width.max() - 0 and list(figure.layout.xaxis.ticktext) == ["a", "b", "c"]
        np.testing.assert_allclose(np.array(figure.data[1].x)[0::3], table["x0"] + ticks[0] * table["pose"])

    def test_one_pose_of_a_root_alone(self):
        figure = pose_strip(pose_table(np.zeros((1, 1, 3)), ("root",), (-1,)), ["a"], x="frames", name="code")
        assert len(figure.data) == 1 and len(figure.data[0].x) == 0


class TestUsageOverClips:
    TOKENS = (np.array([[0, 1], [0, 2], [1, 1], [0, 1]]), np.array([[1, 1]]), np.zeros((2, 2), dtype=int))

    def test_shares_are_of_the_clips_own_tokens(self):
        table = usage_over_clips(self.TOKENS, ["a", "b", "c"], 2, 1)
        assert table["clip"].tolist() == ["b", "a"]
        assert table["tokens"].tolist() == [1, 3]
        assert table["share"].tolist() == [1.0, 0.75]

    def test_an_unseen_code_has_no_clip(self):
        assert usage_over_clips(self.TOKENS, ["a", "b", "c"], 1, 7).empty

    def test_the_largest_are_drawn_from_the_top(self):
        table = pd.DataFrame(
            {"clip": [f"c{i}" for i in range(30)], "tokens": 1, "of": 30, "share": np.linspace(1, 0.1, 30)}
        )
        figure = code_usage_figure(table, 0.2)
        assert len(figure.data[0].y) == MAX_CLIPS
        assert figure.data[0].y[-1] == "c0"
        assert figure.layout.shapes[0].x0 == 0.2


class TestSentence:
    def test_unseen_tells_on_how_many_tokens_and_the_bound(self, make_report):
        report = make_report()
        row = report.codes[report.codes["status"] == "unseen"].iloc[0].copy()
        row["cause"] = "dead: EMA count 0.10"
        tokens = int(report.layers.set_index("layer")["tokens"][row["layer"]])
        text = code_facts.sentence(row, report.layers)
        assert f"in {tokens:,} tokens (true share below {3 / tokens:.2%}, 95 %)" in text
        assert text.endswith("Dead: EMA count 0.10.")

    def test_a_used_code_needs_no_cause(self, make_report):
        report = make_report()
        row = report.codes[report.codes["status"] == "used"].iloc[0]
        assert code_facts.sentence(row, report.layers) == ":blue-badge[used] "

    def test_what_is_not_known_is_left_out(self, make_codes):
        row = make_codes(1, 8, corpora=False).iloc[0]
        labels = [label for label, *_ in code_facts.numbers(row)]
        assert "EMA count" not in labels and "Training tokens" not in labels and "Norm" in labels

    @pytest.mark.parametrize(("seconds", "label"), [(1.25, "walk at 1.2 s"), (np.nan, "walk, token 7")])
    def test_a_window_is_named_by_its_time(self, seconds, label):
        assert code_facts.window_label(pd.Series({"clip": "walk", "token": 7, "seconds": seconds})) == label
