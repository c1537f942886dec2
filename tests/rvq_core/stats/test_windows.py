import itertools

import numpy as np
import pytest

from rvq_core import Report, analyze
from rvq_core.stats.windows import ClosestWindows


def clip(name: str, length: int, codes: int = 4, layers: int = 2, seed: int = 0):
    rng = np.random.default_rng([seed, length])
    tokens = np.repeat(rng.integers(codes, size=(length, layers)), 2, axis=0)[:length]
    # Distances that repeat, so that ties are met.
    return name, tokens, rng.integers(1, 20, size=(length, layers)) / 4.0, 0.1


CLIPS = [clip(name, length) for name, length in (("d", 30), ("b", 1), ("c", 44), ("a", 0), ("e", 12))]


def windows(clips, size=3, codes=4, layers=2) -> ClosestWindows:
    found = ClosestWindows([codes] * layers, size)
    for one in clips:
        found.add(*one)
    return found


def by_hand(clips, layer: int, code: int, size: int) -> list[tuple[float, str, int]]:
    """Nearest token of each run, by loops: those of different clips first."""
    picked = []
    for name, tokens, distances, _ in clips:
        runs, place = [], 0
        for key, run in itertools.groupby(tokens[:, layer].tolist()):
            length = len(list(run))
            if key == code:
                runs.append(min((distances[t, layer], name, t) for t in range(place, place + length)))
            place += length
        picked += [(number, *one) for number, one in enumerate(sorted(runs))]
    return sorted(one[1:] for one in sorted(picked)[:size])


@pytest.mark.parametrize("size", [1, 3, 50])
def test_they_are_those_found_by_hand(size):
    table = windows(CLIPS, size).table()
    for layer, code in itertools.product(range(2), range(4)):
        rows = table[(table["layer"] == layer + 1) & (table["code"] == code)]
        found = list(zip(rows["distance"], rows["clip"], rows["token"], strict=True))
        assert found == by_hand(CLIPS, layer, code, size)
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        assert rows["distance"].is_monotonic_increasing


def test_different_clips_go_first():
    tokens = np.array([[0], [1], [0], [1], [0]])
    near, far = np.full((5, 1), 1.0), np.full((5, 1), 9.0)
    rows = windows([("near", tokens, near, None), ("far", tokens, far, None)], 2, 2, 1).table().query("code == 0")
    assert rows["clip"].tolist() == ["near", "far"]
    assert rows["seconds"].isna().all()


def test_the_run_and_the_time_are_told():
    tokens = np.array([[2], [2], [2], [0]])
    row = windows([("one", tokens, np.array([[3.0], [1.0], [2.0], [5.0]]), 0.25)], codes=4, layers=1).table().iloc[1]
    assert (row["code"], row["token"], row["run_tokens"], row["seconds"], row["distance"]) == (2, 1, 3, 0.25, 1.0)


def test_halves_and_order_do_not_show(monkeypatch):
    whole = windows(CLIPS).table()
    left, right = windows(CLIPS[:2]), windows(CLIPS[2:])
    left.merge(right)
    assert left.table().equals(whole)
    assert windows(CLIPS[::-1]).table().equals(whole)
    monkeypatch.setattr("rvq_core.stats.windows._FOLD_AT", 1)
    assert windows(CLIPS * 1).table().equals(whole)
    with pytest.raises(ValueError, match="sizes"):
        left.merge(windows([], 4))


def test_no_clip_no_token_one_token_one_code():
    assert len(windows([]).table()) == 0
    assert len(windows([clip("a", 0)]).table()) == 0
    assert windows([clip("a", 1, 1, 1)], codes=1, layers=1).table()["token"].tolist() == [0]
    assert windows([]).table().dtypes.equals(windows(CLIPS).table().dtypes)


def test_reports_hold_them(tiny, make_clip, oracle, tmp_path):
    clips = [make_clip(f"c{i}", 30, seed=i) for i in range(3)]
    report = analyze(tiny, clips, device="cpu")
    table = report.tables["windows"]
    plain = oracle(tiny.path)
    names = report.clips["clip"].tolist()
    latents = [plain.encode(plain.normalise(clip.features.astype(np.float64))) for clip in clips]
    sums = [plain.quantize(z, tokens.astype(int))[1] for z, tokens in zip(latents, report.tokens, strict=True)]
    for row in table.itertuples():
        number, layer = names.index(row.clip), row.layer
        assert report.tokens[number][row.token, layer - 1] == row.code
        left = latents[number][row.token] - sums[number][layer][row.token]
        assert row.distance == pytest.approx(np.linalg.norm(left), rel=1e-3, abs=1e-5)
        assert row.seconds == pytest.approx(row.token * 2 / 30)
    seen = report.codes[report.codes["count"] > 0]
    assert set(zip(seen["layer"], seen["code"], strict=True)) == set(zip(table["layer"], table["code"], strict=True))
    assert Report.load(report.save(tmp_path / "out")).tables["windows"].equals(table)
