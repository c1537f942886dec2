"""Tiny checkpoints and clips, and a second implementation in plain numpy to hold the first one against."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from scipy.spatial.transform import Rotation, Slerp

from rvq_core.autoencoder import RVQVAE, RVQVAEConfig
from rvq_core.clips.clip import Clip
from rvq_core.clips.smplx import canonical_skeleton
from rvq_core.loading import Checkpoint, Normalizer, load_checkpoint
from rvq_core.loading.formats.native import NativeHeader, save_native

TINY = {"input_dim": 330, "width": 16, "code_dim": 8, "nb_code": 16, "num_quantizers": 3}


def checkpoint_maker(folder: Path) -> Callable[..., Path]:
    """What writes native checkpoints with random weights into a folder."""

    def make(
        name: str = "tiny",
        *,
        representation: str | None = "smplx_rot6d",
        fps: float | None = 30.0,
        training: dict[str, Any] | None = None,
        normalizer: bool = True,
        ema: bool = True,
        change: Callable[[RVQVAE], object] | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> Path:
        torch.manual_seed(seed)
        config = RVQVAEConfig(**{**TINY, **settings})
        model = RVQVAE(config)
        statistics = None
        if normalizer:
            statistics = Normalizer(0.1 * torch.randn(config.input_dim), 0.3 + torch.rand(config.input_dim))
        _codes_from_motion(model, statistics)
        for layer in model.quantizer.ema_layers():
            layer.code_sum.copy_(layer.codebook)
            layer.code_count.copy_(torch.linspace(0.2, 5, config.nb_code))
            layer.init.fill_(True)
            layer.ema_known = ema
        if change is not None:
            with torch.no_grad():
                change(model)
        path = folder / f"{name}.safetensors"
        save_native(path, model, statistics, NativeHeader(config, representation, fps, training or {}))
        return path

    return make


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Write a native checkpoint with random weights; keywords are the model's settings."""
    return checkpoint_maker(tmp_path)


@pytest.fixture
def tiny(make_checkpoint: Callable[..., Path]) -> Checkpoint:
    return load_checkpoint(make_checkpoint())


@torch.no_grad()
def _codes_from_motion(model: RVQVAE, normalizer: Normalizer | None) -> None:
    """Fill each codebook with what motion leaves over before it, so that many codes are in use."""
    dim = model.config.input_dim
    features = torch.randn(400, dim)
    if dim == 330:
        features = torch.from_numpy(rotation_rows(_smooth(400, 165, np.random.default_rng(9), False))).float()
    if normalizer is not None:
        features = normalizer.apply(features)
    residual = model.encode(features[None])[0].T
    for layer in model.quantizer.ema_layers():
        chosen = residual[torch.randperm(len(residual))[: model.config.nb_code]]
        # Beside the tokens, not on them: else the next layer has nothing left to do for these.
        layer.codebook.copy_(chosen + 0.1 * residual.std() * torch.randn_like(chosen))
        residual = residual - layer.dequantize(layer.quantize(residual))


def _smooth(frames: int, columns: int, rng: np.random.Generator, hands: bool) -> np.ndarray:
    """Slow waves, as motion is; hands at rest unless asked for."""
    time = np.arange(frames)[:, None] / 30
    poses = 0.4 * np.sin(2 * np.pi * (rng.uniform(0.2, 2, columns) * time + rng.random(columns)))
    if not hands:
        poses[:, 75:] = 0
    return poses


def clip_writer(folder: Path) -> Callable[..., Path]:
    """What writes BEAT2-like .npz of smooth random poses into a folder."""

    def write(name: str, frames: int = 40, *, fps: float = 30.0, seed: int = 0, hands: bool = False, **arrays) -> Path:
        folder.mkdir(exist_ok=True)
        content = {"poses": _smooth(frames, 165, np.random.default_rng(seed), hands), "mocap_frame_rate": fps} | arrays
        np.savez(folder / f"{name}.npz", **content)
        return folder / f"{name}.npz"

    return write


@pytest.fixture
def write_clip(tmp_path: Path) -> Callable[..., Path]:
    """Write a BEAT2-like .npz of smooth random poses into the folder ``clips`` of the test."""
    return clip_writer(tmp_path / "clips")


def several(write_clip: Callable[..., Path], count: int = 6, **arrays: Any) -> Path:
    """Write clips of different lengths (one of them odd); their folder."""
    paths = [write_clip(f"c{i}", 20 + 13 * i, seed=i, **arrays) for i in range(count)]
    return paths[0].parent


@pytest.fixture
def write_clips(write_clip: Callable[..., Path]) -> Callable[..., Path]:
    """Write several clips of different lengths (one of them odd) and return their folder."""
    return partial(several, write_clip)


@pytest.fixture(scope="session")
def analysed(tmp_path_factory) -> Path:
    """The report that ``analyze`` writes of ``make_checkpoint()`` on ``write_clips(6)``: made once, to be copied."""
    from rvq_core.cli import run

    place = tmp_path_factory.mktemp("analysed")
    checkpoint, clips = checkpoint_maker(place)(), several(clip_writer(place / "clips"))
    assert run(["analyze", str(checkpoint), str(clips), "--out", str(place / "report"), "--device", "cpu"]) == 0
    return place / "report"


@pytest.fixture(scope="session")
def checkpoints_in() -> Callable[[Path], Callable[..., Path]]:
    """What ``make_checkpoint`` is, for a folder that several tests share."""
    return checkpoint_maker


@pytest.fixture(scope="session")
def clips_in() -> Callable[[Path], Callable[..., Path]]:
    """What ``write_clip`` is, for a folder that several tests share."""
    return clip_writer


@pytest.fixture
def make_clip(clip_of: Callable[..., Clip]) -> Callable[..., Clip]:
    return clip_of


@pytest.fixture(scope="session")
def clip_of() -> Callable[..., Clip]:
    """A clip in memory; smplx_rot6d unless told otherwise."""

    def make(name: str = "clip", frames: int = 40, *, fps: float = 30.0, seed: int = 0, hands: bool = False) -> Clip:
        poses = _smooth(frames, 165, np.random.default_rng(seed), hands)
        features = rotation_rows(poses).astype(np.float32)
        return Clip(name, fps, features, "smplx_rot6d", canonical_skeleton())

    return make


def rotation_rows(poses: np.ndarray) -> np.ndarray:
    """Axis-angle values [T, 165] -> the first two rows of each matrix [T, 330]."""
    matrices = Rotation.from_rotvec(poses.reshape(-1, 3)).as_matrix()
    return matrices[:, :2].reshape(len(poses), -1)


class Oracle:
    """The model, the metrics and forward kinematics again, in float64 numpy, from the file's own bytes."""

    def __init__(self, path: Path) -> None:
        with safe_open(path, framework="np") as file:
            self.weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is not a mapping
            header = json.loads(file.metadata()["rvq-lens"])
        self.weights = {key: np.asarray(value, dtype=np.float64) for key, value in self.weights.items()}
        self.config = header["config"]
        self.training = header["training"]
        self.fps = header["fps"]
        count = self.config["num_quantizers"]
        shared = self.config["shared_codebook"]
        self.codebooks = [self.weights[f"quantizer.layers.{0 if shared else q}.codebook"] for q in range(count)]
        self.mean = self.weights.get("normalizer.mean", np.zeros(self.config["input_dim"]))
        std = self.weights.get("normalizer.std", np.ones(self.config["input_dim"]))
        self.scale = np.where(std < 1e-4, 1.0, std)

    def features(self, npz: Path) -> np.ndarray:
        """Raw features [T, 330] of a BEAT2-like file at the checkpoint's fps, cut to whole tokens."""
        with np.load(npz) as archive:
            poses, fps = archive["poses"].astype(np.float64), float(archive["mocap_frame_rate"])
        if abs(fps - self.fps) > 1e-4 * self.fps:
            poses = self._resampled(poses, fps)
        stride = self.config["stride_t"] ** self.config["down_t"]
        return rotation_rows(poses[: len(poses) - len(poses) % stride])

    def _resampled(self, poses: np.ndarray, fps: float) -> np.ndarray:
        joints = poses.reshape(len(poses), -1, 3)
        times = np.arange(len(poses)) / fps
        wanted = np.arange(int(np.floor(times[-1] * self.fps + 1e-6)) + 1) / self.fps
        wanted = np.minimum(wanted, times[-1])
        turned = [Slerp(times, Rotation.from_rotvec(joints[:, j]))(wanted).as_rotvec() for j in range(joints.shape[1])]
        return np.stack(turned, axis=1).reshape(len(wanted), -1)

    def normalise(self, features: np.ndarray) -> np.ndarray:
        return (features - self.mean) / self.scale

    def encode(self, normalised: np.ndarray) -> np.ndarray:
        """[T, D] -> latents [T', C]."""
        stride, down = self.config["stride_t"], self.config["down_t"]
        x = np.maximum(self._conv(normalised.T, "encoder.model.0", padding=1), 0)
        for i in range(2, 2 + down):
            x = self._conv(x, f"encoder.model.{i}.0", stride=stride, padding=stride // 2)
            x = self._blocks(x, f"encoder.model.{i}.1")
        return self._conv(x, f"encoder.model.{2 + down}", padding=1).T

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """[T', C] -> normalised features [T, D]."""
        down = self.config["down_t"]
        x = np.maximum(self._conv(latents.T, "decoder.model.0", padding=1), 0)
        for i in range(2, 2 + down):
            x = np.repeat(self._blocks(x, f"decoder.model.{i}.0"), 2, axis=1)
            x = self._conv(x, f"decoder.model.{i}.2", padding=1)
        x = np.maximum(self._conv(x, f"decoder.model.{2 + down}", padding=1), 0)
        return self._conv(x, f"decoder.model.{4 + down}", padding=1).T

    def quantize(self, latents: np.ndarray, chosen: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Indices [T', Q] and the sums of the first 0..Q codes [Q + 1, T', C]; follows ``chosen`` where given."""
        indices, sums = [], [np.zeros_like(latents)]
        for q, codebook in enumerate(self.codebooks):
            nearest = self.distances(latents - sums[-1], codebook).argmin(axis=1)
            indices.append(nearest)
            sums.append(sums[-1] + codebook[nearest if chosen is None else chosen[:, q]])
        return np.stack(indices, axis=1), np.stack(sums)

    @staticmethod
    def distances(points: np.ndarray, codebook: np.ndarray) -> np.ndarray:
        return np.sqrt(np.square(points[:, None] - codebook[None]).sum(axis=-1))

    def errors(self, raw: np.ndarray, decoded: np.ndarray, fps: float) -> dict[str, float]:
        """feature_mse, mpjpe, velocity_error and rotation_error of one normalised reconstruction [T, D]."""
        restored = decoded * self.scale + self.mean
        found, wanted = joints_22(restored), joints_22(raw)
        turns = [_matrices(x)[:, :22] for x in (restored, raw)]
        between = Rotation.from_matrix((turns[0] @ turns[1].transpose(0, 1, 3, 2)).reshape(-1, 3, 3))
        steps = np.diff(found, axis=0) - np.diff(wanted, axis=0)
        return {
            "feature_mse": float(np.mean((decoded - self.normalise(raw)) ** 2)),
            "mpjpe": float(np.mean(np.sqrt(((found - wanted) ** 2).sum(-1)))) * 1000,
            "velocity_error": float(np.mean(np.sqrt((steps**2).sum(-1)))) * fps * 1000,
            "rotation_error": float(np.degrees(between.magnitude()).mean()),
        }

    def _blocks(self, x: np.ndarray, prefix: str) -> np.ndarray:
        for j in range(self.config["depth"]):
            dilation = self.config["dilation_growth_rate"] ** (self.config["depth"] - 1 - j)
            y = self._conv(np.maximum(x, 0), f"{prefix}.model.{j}.conv1", padding=dilation, dilation=dilation)
            x = x + self._conv(np.maximum(y, 0), f"{prefix}.model.{j}.conv2")
        return x

    def _conv(self, x: np.ndarray, name: str, stride: int = 1, padding: int = 0, dilation: int = 1) -> np.ndarray:
        """[I, T] -> [O, T']: the sum over taps of weight times shifted input."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        padded = np.pad(x, ((0, 0), (padding, padding)))
        taps = weight.shape[2]
        length = (padded.shape[1] - dilation * (taps - 1) - 1) // stride + 1
        out = np.repeat(bias[:, None], length, axis=1)
        for k in range(taps):
            out += weight[:, :, k] @ padded[:, k * dilation :][:, : (length - 1) * stride + 1 : stride]
        return out


def _matrices(features: np.ndarray) -> np.ndarray:
    """[T, 6 J] -> [T, J, 3, 3]: Gram-Schmidt on two rows."""
    rows = features.reshape(len(features), -1, 2, 3)
    first = rows[:, :, 0] / np.linalg.norm(rows[:, :, 0], axis=-1, keepdims=True)
    second = rows[:, :, 1] - (rows[:, :, 1] * first).sum(-1, keepdims=True) * first
    second /= np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-2)


def joints_22(features: np.ndarray) -> np.ndarray:
    """Body joints [T, 22, 3] of features [T, 330]: a chain of 4 x 4 matrices a joint, the pelvis at the origin."""
    skeleton = canonical_skeleton()
    turns = _matrices(features)
    positions = np.zeros((len(features), 22, 3))
    for frame in range(len(features)):
        chain: list[np.ndarray] = []
        for joint in range(22):
            local = np.eye(4)
            local[:3, :3] = turns[frame, joint]
            local[:3, 3] = skeleton.offsets[joint] if joint else 0
            chain.append(local if joint == 0 else chain[skeleton.parents[joint]] @ local)
            positions[frame, joint] = chain[joint][:3, 3]
    return positions


@pytest.fixture
def oracle() -> Callable[[Path], Oracle]:
    return Oracle


@pytest.fixture
def numpy_joints() -> Callable[[np.ndarray], np.ndarray]:
    return joints_22


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: exit code, stdout, stderr."""
    from rvq_core.cli import run

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call
