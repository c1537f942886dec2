import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from rvq_core import Report, analyze, load_checkpoint
from rvq_core.clips.representations import SMPLX_ROT6D
from rvq_core.clips.smplx import HANDS, LOWER, UPPER, canonical_skeleton
from rvq_core.errors import CheckpointError, ClipError, ReportError
from rvq_core.parts import PartsReport, WholeBody, analyze_parts, checkpoint_files, load_part_set, parts_named
from rvq_core.playback import motion_of

QUICK = ("--device", "cpu", "--detail-frames", "0")
NUMBERS = {"upper": UPPER, "hands": HANDS, "lower": LOWER}


def part_writer(make_checkpoint, place: Path):
    def write(part: str, folder: str = "set", name: str | None = None, **settings):
        path = make_checkpoint(
            name or part, input_dim=6 * len(NUMBERS[part]), representation=f"smplx_rot6d_{part}", **settings
        )
        (place / folder).mkdir(parents=True, exist_ok=True)
        return path.rename(place / folder / path.name)

    return write


@pytest.fixture
def write_part(make_checkpoint, tmp_path):
    return part_writer(make_checkpoint, tmp_path)


@pytest.fixture(scope="module")
def whole_set(checkpoints_in, tmp_path_factory) -> Path:
    """A set whose parts differ in everything that they may differ in; not to be changed."""
    place = tmp_path_factory.mktemp("parts")
    write = part_writer(checkpoints_in(place), place)
    write("upper", num_quantizers=3, seed=1)
    write("hands", num_quantizers=2, down_t=2, seed=2)
    return write("lower", num_quantizers=3, nb_code=8, seed=3).parent


@pytest.fixture
def folder(whole_set, tmp_path) -> Path:
    """That set, in a folder of the test's own."""
    return shutil.copytree(whole_set, tmp_path / "set")


class TestLoading:
    def test_the_parts_are_told_by_what_they_take(self, folder):
        found = load_part_set(folder)
        assert (found.name, list(found.parts), found.depth, found.notes) == ("set", ["upper", "hands", "lower"], 3, ())
        assert found.joints == {part: tuple(joints) for part, joints in NUMBERS.items()}

    def test_what_is_no_part_is_left_aside_and_told(self, folder, make_checkpoint):
        make_checkpoint("whole").rename(folder / "whole.safetensors")
        (folder / "broken.pth").write_bytes(b"broken")
        found = load_part_set(folder)
        assert list(found.parts) == ["upper", "hands", "lower"]
        assert len(found.notes) == 2
        assert "left aside broken.pth: " in found.notes[0]
        assert found.notes[1] == "left aside whole.safetensors: no model of one body part (330 columns)"

    def test_folders_with_a_checkpoint_each(self, write_part, tmp_path):
        (tmp_path / "vq").mkdir()
        for part in ("upper", "lower"):
            write_part(part, f"vq/{part}", "model")
        assert [path.name for path in checkpoint_files(tmp_path / "vq")] == ["lower", "upper"]
        assert list(load_part_set(tmp_path / "vq").parts) == ["upper", "lower"]

    def test_the_folder_of_one_checkpoint_is_no_set(self, write_part):
        assert checkpoint_files(write_part("upper", name="model").parent) == []

    def test_what_is_said_of_the_files_is_said_of_all(self, folder):
        parts = load_part_set(folder, activation="gelu").parts
        assert {checkpoint.config.activation for checkpoint in parts.values()} == {"gelu"}

    def test_names_tell_a_set_before_anything_is_opened(self, tmp_path):
        def named(*names: str) -> tuple[str, ...]:
            folder = tmp_path / "_".join(names).replace("/", "_")
            for name in names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).touch()
            return parts_named(folder)

        published = [f"net_300000_{part}.pth" for part in ("upper", "lower_trans", "hands", "lower")]
        assert named(*published) == ("upper", "hands", "lower")
        assert named("RVQVAE_lower/net_1.pth", "RVQVAE_hands/net_1.pth", "face/x.bin") == ("hands", "lower")
        assert named("upper.pth", "whole.pth") == ()  # one part is no set
        assert named("upper_1.pth", "upper_2.pth", "lower.pth") == ()  # nor is a choice between two
        assert named("flower.pth", "uppercase.pth") == ()

    def test_a_clip_is_held_out_where_no_part_was_trained_on_it(self, write_part):
        write_part("upper", training={"train_clips": ["a"], "held_out_clips": ["b", "c"]})
        write_part("hands", training={"train_clips": ["b"], "held_out_clips": ["a", "c"]})
        found = load_part_set(write_part("lower", training={"train_clips": [], "held_out_clips": ["c"]}).parent)
        assert [found.held_out(name) for name in "abcd"] == [False, False, True, None]
        assert found.trained_on == ({"a", "b"}, {"a", "b", "c"})

    def test_it_is_known_by_its_files(self, folder, write_part):
        before = load_part_set(folder)
        assert (before.path, before.sha256) == (folder, load_part_set(folder).sha256)
        write_part("lower", seed=9)
        assert load_part_set(folder).sha256 != before.sha256

    def test_two_of_one_part_are_refused(self, folder, write_part):
        write_part("upper", name="upper_later")
        with pytest.raises(
            CheckpointError, match=r"one checkpoint of the upper body, found upper\.saf.* and upper_lat"
        ):
            load_part_set(folder)
        assert list(load_part_set([folder / "upper.safetensors", folder / "lower.safetensors"]).parts) == [
            "upper",
            "lower",
        ]

    def test_fewer_than_two_parts_are_none(self, write_part, make_checkpoint):
        folder = write_part("upper").parent
        make_checkpoint("whole").rename(folder / "whole.safetensors")
        found = (
            r"found 2 checkpoints \(upper\.saf\S* whole\.saf\S*, of which only upper\.safetensors is of one body part"
        )
        with pytest.raises(CheckpointError, match=rf"two or more body parts, {found}; name one of them$"):
            load_part_set(folder)
        with pytest.raises(
            CheckpointError, match=r"1 checkpoint \(upper.*; name the checkpoints of the other parts too$"
        ):
            load_part_set([folder / "upper.safetensors"])

    def test_checkpoints_of_the_whole_body_are_no_set_and_told_by_name(self, make_checkpoint, tmp_path):
        (tmp_path / "several").mkdir()
        for number in range(8):
            make_checkpoint("whole").rename(tmp_path / f"several/{number}.safetensors")
        with pytest.raises(CheckpointError) as told:
            load_part_set(tmp_path / "several")
        names = ", ".join(f"{number}.safetensors" for number in range(6))
        assert told.value.found == f"8 checkpoints ({names} and 2 more)"
        assert told.value.do == "name one of them"

    def test_one_that_cannot_be_opened_is_told(self, make_checkpoint, tmp_path):
        (tmp_path / "two").mkdir()
        make_checkpoint("whole").rename(tmp_path / "two/a.safetensors")
        (tmp_path / "two/b.pth").touch()
        with pytest.raises(CheckpointError) as told:
            load_part_set(tmp_path / "two")
        assert told.value.found.startswith("2 files (a.safetensors, b.pth), of which 1 cannot be opened (")
        assert "found an empty file" in told.value.found

    def test_folders_of_parts_whose_weights_lie_one_level_down(self, write_part, tmp_path):
        for part in ("upper", "lower"):
            write_part(part, f"vq/{part}/checkpoints", "last")
        assert list(load_part_set(tmp_path / "vq").parts) == ["upper", "lower"]

    def test_a_file_that_is_named_must_open(self, folder, tmp_path):
        with pytest.raises(CheckpointError, match=r"gone\.safetensors"):
            load_part_set([folder / "upper.safetensors", tmp_path / "gone.safetensors"])

    def test_parts_of_other_frame_rates_do_not_go_together(self, folder, write_part):
        write_part("lower", fps=20.0)
        with pytest.raises(CheckpointError, match=r"parts of one frame rate, found upper 30, hands 30, lower 20"):
            WholeBody(load_part_set(folder))


class TestWholeBody:
    def test_what_each_part_decodes_stands_in_its_joints(self, folder, make_clip):
        part_set = load_part_set(folder)
        body = WholeBody(part_set, "cpu")
        clip = body.fit(make_clip(frames=43, hands=True))
        assert clip.frames == 40  # whole tokens of all parts: 4 frames
        encoded = body.encode(clip)
        found = {n: body.restore(features) for n, features in body.decode(encoded)}
        assert list(found) == [0, 1, 2, 3, -1]
        for part, joints in NUMBERS.items():
            pipeline = body.pipelines[part]
            alone = dict(pipeline.decode(pipeline.encode(pipeline.fit(clip))))
            for n in found:
                expected = pipeline.restore(alone[min(n, 2) if part == "hands" else n])
                columns = found[n].reshape(40, 55, 6)[:, list(joints)].flatten(1)
                torch.testing.assert_close(columns, expected)
        face = found[3].reshape(40, 55, 6)[:, 22:25]
        assert torch.equal(face, torch.tensor([1.0, 0, 0, 0, 1, 0]).expand(40, 3, 6))

    def test_indices_have_a_column_for_each_layer_of_each_part(self, folder, make_clip):
        body = WholeBody(load_part_set(folder), "cpu")
        encoded = body.encode(body.fit(make_clip(frames=40)))
        assert body.layers == [
            *[("upper", layer) for layer in (1, 2, 3)],
            *[("hands", layer) for layer in (1, 2)],
            *[("lower", layer) for layer in (1, 2, 3)],
        ]
        assert (encoded.indices.shape, body.stride(encoded.clip)) == ((20, 8), 2)
        hands = encoded.parts["hands"].indices  # of 4 frames each, the others of 2
        assert np.array_equal(encoded.indices[:, 3:5], hands.repeat(2, axis=0))
        assert np.array_equal(encoded.indices[:, 5:], encoded.parts["lower"].indices)

    def test_joints_of_no_part_are_at_rest_in_original_and_reconstruction(self, write_part, make_clip):
        write_part("upper")
        body = WholeBody(load_part_set(write_part("lower").parent), "cpu")
        clip = body.fit(make_clip(frames=20, hands=True))
        assert clip.notes[-1] == "put at rest, as no part has them: 33 joints (jaw, ...)"
        report = analyze_parts(body.part_set, [make_clip(frames=20, hands=True)], device="cpu", detail_frames=0)
        assert "mpjpe_hands" not in set(report.errors["metric"])

    def test_motion_without_rotations_is_refused(self, folder, make_clip):
        import dataclasses

        clip = dataclasses.replace(make_clip(), features=np.ones((40, 263), np.float32), representation="humanml3d")
        with pytest.raises(ClipError, match="give motion with SMPL-X rotations"):
            analyze_parts(load_part_set(folder), [clip])

    def test_it_can_be_watched(self, folder, make_clip):
        found = motion_of(WholeBody(load_part_set(folder), "cpu"), make_clip(frames=40, hands=True))
        assert found.depths == (0, 1, 2, 3, -1) and found.tokens.shape == (20, 8)
        assert found.figure is not None and found.figure.reconstructions.shape == (5, 40, 55, 3)


class TestReport:
    @pytest.fixture(scope="class")
    @classmethod
    def clips(cls, clip_of):
        return [clip_of(f"c{i}", 40 + 8 * i, seed=i, hands=True) for i in range(3)]

    @pytest.fixture(scope="class")
    @classmethod
    def report(cls, whole_set, clips):
        return analyze_parts(load_part_set(whole_set), clips, device="cpu", detail_frames=0)

    def test_the_whole_body_s_error_by_another_formula(self, folder, clips, report):
        part_set = load_part_set(folder)
        body = WholeBody(part_set, "cpu")
        errors, weights = [], []
        for clip in clips:
            fitted = body.fit(clip)
            by_depth = dict(body.decode(body.encode(fitted)))
            posed = [
                canonical_skeleton().forward_kinematics(SMPLX_ROT6D.rotations(raw).double()).numpy()
                for raw in (body.restore(by_depth[3]), torch.from_numpy(fitted.features))
            ]
            apart = np.linalg.norm((posed[0] - posed[0][:, :1]) - (posed[1] - posed[1][:, :1]), axis=-1) * 1000
            errors.append([apart[:, :22].mean(), *(apart[:, list(NUMBERS[part])].mean() for part in NUMBERS)])
            weights.append(fitted.frames)
        expected = np.average(errors, axis=0, weights=weights)
        table = report.errors.query("posed == 'together' and n_active == 3").set_index(["part", "metric"])["value"]
        rows = [("whole body", "mpjpe"), ("upper", "mpjpe"), ("hands", "mpjpe_hands"), ("lower", "mpjpe")]
        np.testing.assert_allclose([table[row] for row in rows], expected, rtol=1e-4)

    def test_each_part_alone_is_that_part_s_own_report(self, folder, clips, report):
        for part, own in report.parts.items():
            direct = analyze(load_checkpoint(folder / f"{part}.safetensors"), [*clips], device="cpu", detail_frames=0)
            assert own.layers["perplexity"].tolist() == pytest.approx(direct.layers["perplexity"].tolist())
            rows = report.errors.query("part == @part and posed == 'alone'")
            assert rows["value"].tolist() == pytest.approx(direct.overall["value"].tolist(), nan_ok=True)

    def test_errors_of_some_clips_are_of_the_same_ones_in_every_part(self, folder, clips):
        report = analyze_parts(load_part_set(folder), clips, device="cpu", error_clips=2, detail_frames=0)
        names = set(report.clip_errors["clip"])
        assert len(names) == 2 and len(report.clips) == 3
        for part in report.parts.values():
            assert set(part.clip_errors["clip"]) == names and len(part.clips) == 3
        assert any("2 of 3 clips" in note for note in report.manifest["notes"])

    def test_it_is_written_and_read_whole(self, folder, clips, tmp_path):
        groups = {"c0": "calm", "c1": "calm", "c2": "angry"}
        report = analyze_parts(
            load_part_set(folder), clips, device="cpu", groups=groups, max_frames=80, detail_frames=0
        )
        report.save(tmp_path / "out")
        again = PartsReport.load(tmp_path / "out")
        assert again.manifest == report.manifest and list(again.parts) == ["upper", "hands", "lower"]
        assert again.errors["value"].equals(report.errors["value"])
        assert again.clips["frames"].sum() <= 80 and set(again.errors["group"].dropna()) <= {"calm", "angry"}
        assert all((part.clips["frames"] == again.clips["frames"]).all() for part in again.parts.values())
        with pytest.raises(ReportError, match=r"found that of a set of body parts \(upper, hands, lower\); name one"):
            Report.load(tmp_path / "out")
        with pytest.raises(ReportError, match=r"found that of one checkpoint; read it with Report\.load"):
            PartsReport.load(tmp_path / "out" / "upper")


class TestCommand:
    def test_a_folder_of_parts_is_analysed_as_a_set(self, run_cli, folder, write_clips, tmp_path):
        out = tmp_path / "out"
        code, text, err = run_cli("analyze", folder, write_clips(2, hands=True), "--out", out, *QUICK)
        assert (code, err) == (0, "")
        errors = PartsReport.load(out).errors
        whole = errors.query("part == 'whole body' and metric == 'mpjpe' and n_active == 3")["value"].item()
        assert any(line.startswith("  whole body ") and f"{whole:.4g} mm" in line for line in text.splitlines())
        assert "upper, alone" in text and "lower: perplexity by layer" in text
        # The report of a set is replaced like any other.
        assert run_cli("analyze", folder, tmp_path / "clips", "--out", out, *QUICK)[0] == 0

    def test_json_and_left_out(self, run_cli, folder, write_clips):
        clips = write_clips(2)
        (clips / "bad.npz").write_bytes(b"bad")
        code, text, err = run_cli("analyze", folder, clips, "--json", *QUICK)
        assert code == 0 and "left out" in err
        assert list(json.loads(text)["parts"]) == ["upper", "hands", "lower"]

    def test_options_of_one_file_are_refused(self, run_cli, folder, write_clips):
        code, _, err = run_cli("analyze", folder, write_clips(1), "--json", "--mean", "mean.npy")
        assert (code, err.count("\n")) == (2, 1)
        assert "--mean: expected one checkpoint, found a folder of several" in err


class TestOtherCommands:
    def test_inspect_tells_each_part(self, run_cli, folder):
        code, text, err = run_cli("inspect", folder, "--json")
        facts = json.loads(text)
        assert (code, err, facts["name"], list(facts["parts"])) == (0, "", "set", ["upper", "hands", "lower"])
        alone = json.loads(run_cli("inspect", folder / "hands.safetensors", "--json")[1])
        assert facts["parts"]["hands"] == alone
        code, text, _ = run_cli("inspect", folder)
        assert code == 0 and [line.split(":")[0] for line in text.splitlines() if line.endswith(".safetensors")] == [
            "upper", "hands", "lower",
        ]  # fmt: skip

    def test_check_passes_where_each_part_does(self, run_cli, folder, write_clips):
        loose = ("--max-unseen", "1", "--min-perplexity-ratio", "0", "--device", "cpu", "--json")
        clips = write_clips(3, hands=True)
        code, text, _ = run_cli("check", folder, clips, *loose)
        told = json.loads(text)
        assert (code, told["passed"], list(told["parts"])) == (0, True, ["upper", "hands", "lower"])
        own = json.loads(run_cli("check", folder / "lower.safetensors", clips, *loose)[1])
        named = [check["check"] for check in own["checks"]]
        assert [check["check"] for check in told["parts"]["lower"]["checks"]] == named
        errors = {part: own["checks"] for part, own in told["parts"].items()}
        assert len({json.dumps(each) for each in errors.values()}) == 3  # each is measured by itself
        code, text, _ = run_cli("check", folder, clips, "--max-mpjpe", "0", "--device", "cpu")
        assert code == 1 and all(f"{part}: failed: max_mpjpe" in text for part in told["parts"])

    def test_compare_says_what_to_do_with_a_set(self, run_cli, folder, write_clips):
        code, text, err = run_cli("compare", folder, folder, "--clips", write_clips(1), "--json")
        assert (code, text, err.count("\n")) == (2, "", 1)
        assert "found a folder of several checkpoints; compare part with part" in err
