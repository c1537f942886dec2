"""Small reports made by hand, tiny checkpoints and clips for the pages."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st
import torch
from analysed_once import analysed_anew, analysed_once
from jobs_at_once import JobsAtOnce
from streamlit.components.v2 import manifest_scanner

from dashboard import analyses, data, sources, store
from rvq_core.autoencoder import RVQVAE, RVQVAEConfig
from rvq_core.loading import Normalizer
from rvq_core.loading.formats.native import NativeHeader, save_native
from rvq_core.report import SCHEMA, Report

METRICS = {"feature_mse": "1", "mpjpe": "mm", "velocity_error": "mm/s", "rotation_error": "deg"}


def synthetic_codes(quantizers: int, size: int, *, corpora: bool = True, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    layers = []
    for layer in range(1, quantizers + 1):
        counts = np.floor(rng.pareto(1.0, size) * 3).astype(int)
        counts[rng.random(size) < 0.2] = 0
        layers.append(pd.DataFrame({"layer": layer, "code": np.arange(size), "count": counts}))
    codes = pd.concat(layers, ignore_index=True)
    codes["share"] = codes["count"] / codes.groupby("layer")["count"].transform("sum")
    codes["norm"] = rng.random(len(codes)) + 0.5
    codes["nearest_code"] = pd.array(rng.integers(size, size=len(codes)), dtype="Int64")
    codes["nearest_distance"] = rng.random(len(codes))
    codes["ema_count"] = np.nan
    codes["status"] = np.where(codes["count"] == 0, "unseen", np.where(codes["count"] == 1, "rare", "used"))
    codes.loc[codes.index % 17 == 3, "status"] = "duplicate"
    codes["cause"] = None
    for corpus in ("train", "held_out"):
        stored = codes["count"] * 40 + 1 if corpora else [None] * len(codes)
        codes[f"{corpus}_count"] = pd.array(stored, dtype="Int64")
    return codes


def synthetic_layers(codes: pd.DataFrame, *, corpora: bool = True, interval: bool = True) -> pd.DataFrame:
    rows = []
    for key, group in codes.groupby("layer"):
        layer = int(str(key))
        share = group["share"][group["share"] > 0]
        perplexity = float(np.exp(-(share * np.log(share)).sum()))
        rows.append(
            {
                "layer": layer, "codes": len(group), "tokens": int(group["count"].sum()),
                "used": int((group["count"] > 0).sum()), "unseen": int((group["count"] == 0).sum()), "rare": None,
                "perplexity": perplexity, "perplexity_low": perplexity * 0.8 if interval else np.nan,
                "perplexity_high": perplexity * 1.3 if interval else np.nan, "perplexity_corrected": perplexity * 1.2,
                "perplexity_logged": perplexity * 0.9, "perplexity_ratio": perplexity / len(group),
                "ceiling": min(len(group), int(group["count"].sum())), "entropy_bits": np.log2(perplexity),
                "top1_share": group["share"].max(), "unseen_mass": 0.1, "duplicates": 1,
                "residual_energy": 0.5**layer,
                "train_tokens": 5000 if corpora else None, "train_unseen": 2 if corpora else None,
                "train_perplexity": perplexity * 1.5 if corpora else np.nan,
                "held_out_tokens": 900 if corpora else None, "held_out_unseen": 5 if corpora else None,
                "held_out_perplexity": perplexity * 1.1 if corpora else np.nan,
            }
        )  # fmt: skip
    table = pd.DataFrame(rows)
    whole = ["rare", "train_tokens", "train_unseen", "held_out_tokens", "held_out_unseen"]
    return table.astype(dict.fromkeys(whole, "Int64"))


def synthetic_reconstruction(quantizers: int, *, worse_at: int | None = None, interval: bool = True) -> pd.DataFrame:
    rows = []
    for metric, unit in METRICS.items():
        values = [100.0 / (n + 1) for n in range(quantizers + 1)]
        if worse_at is not None:
            values[worse_at] = values[worse_at - 1] + 5
        for n, value in enumerate(values):
            gain = values[n - 1] - value if n else np.nan
            low, high = (value * 0.9, value * 1.1) if interval else (np.nan, np.nan)
            rows.append((n, metric, value, low, high, unit, 8.0, gain, bool(n and gain < 0)))
    names = ["n_active", "metric", "value", "low", "high", "unit", "reference", "gain", "worse"]
    return pd.DataFrame(rows, columns=names)


def synthetic_clips(count: int, held_out: list[bool | None]) -> tuple[pd.DataFrame, pd.DataFrame]:
    clips = pd.DataFrame(
        {
            "clip": [f"clip_{i}" for i in range(count)], "frames": 100, "seconds": 100 / 30, "fps": 30.0, "tokens": 50,
            "held_out": pd.array([held_out[i % len(held_out)] for i in range(count)], dtype="boolean"), "notes": "",
            "representation": "raw",
        }
    )  # fmt: skip
    errors = []
    for m, metric in enumerate(METRICS):
        clips[metric] = [10.0 * (m + 1) + i for i in range(count)]
        errors += [(clip, -1, metric, 5.0 + i, 100.0) for i, clip in enumerate(clips["clip"])]
        errors += [(clip, 3, metric, 10.0 * (m + 1) + i, 100.0 + i) for i, clip in enumerate(clips["clip"])]
    return clips, pd.DataFrame(errors, columns=["clip", "n_active", "metric", "value", "weight"])


def synthetic_report(quantizers: int = 3, size: int = 64, *, corpora: bool = True, interval: bool = True) -> Report:
    codes = synthetic_codes(quantizers, size, corpora=corpora)
    clips, clip_errors = synthetic_clips(6, [True, False, None])
    manifest = {
        "schema": SCHEMA, "rvq_lens": "0", "created": "2026-01-01T00:00:00+00:00", "command": "test",
        "checkpoint": {
            "name": "test", "file": "test.safetensors", "format": "rvq-lens", "sha256": "0" * 64, "corpora": {},
        },
        "clips": {"count": 6, "frames": 600, "seconds": 20.0, "fingerprint": "1" * 64},
        "settings": {}, "left_out": [], "warnings": [], "notes": [], "verdicts": [],
    }  # fmt: skip
    return Report(
        manifest=manifest, layers=synthetic_layers(codes, corpora=corpora, interval=interval), codes=codes,
        reconstruction=synthetic_reconstruction(quantizers), clips=clips, clip_errors=clip_errors,
    )  # fmt: skip


@pytest.fixture
def report() -> Report:
    return synthetic_report()


@pytest.fixture
def make_report() -> Callable[..., Report]:
    return synthetic_report


@pytest.fixture
def make_codes() -> Callable[..., pd.DataFrame]:
    return synthetic_codes


@pytest.fixture
def make_reconstruction() -> Callable[..., pd.DataFrame]:
    return synthetic_reconstruction


def save_tiny_checkpoint(path: Path, *, quantizers: int = 2, size: int = 16, training: dict | None = None) -> Path:
    """A whole model of a few kilobytes on raw features, its codes drawn at random."""
    torch.manual_seed(quantizers)
    config = RVQVAEConfig(input_dim=12, width=8, code_dim=4, nb_code=size, num_quantizers=quantizers, depth=1)
    model = RVQVAE(config)
    for number, layer in enumerate(model.quantizer.ema_layers()):
        layer.codebook.copy_(torch.randn(size, 4) * 0.3 / 2**number)
        layer.init.fill_(True)
    path.parent.mkdir(parents=True, exist_ok=True)
    normalizer = Normalizer(torch.zeros(12), torch.ones(12))
    save_native(path, model, normalizer, NativeHeader(config, None, 30.0, training or {}))
    return path


HISTORY = [
    {"iteration": step, "reconstruction": 1 / step, "commit": 0.1, "perplexity": [4.0 + n, 5.0], "unseen": [8 - n, 2],
     "held_out_mpjpe": error}
    for n, (step, error) in enumerate([(100, 90.0), (200, 60.0), (300, 75.0)])
]  # fmt: skip


def save_two_checkpoints(folder: Path) -> Path:
    """Two whole checkpoints, ``a`` that names its clips and ``b`` that does not."""
    training = {"train_clips": ["one", "two"], "held_out_clips": ["three"], "history": HISTORY}
    training |= {"settings": {"seed": 7, "held_out": ["three"]}, "command": "rvq-lens train clips --out runs/a"}
    save_tiny_checkpoint(folder / "a.safetensors", training=training)
    save_tiny_checkpoint(folder / "b.safetensors", quantizers=3)
    return folder


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """A folder of two whole checkpoints, ``a`` that names its clips and ``b`` that does not."""
    return save_two_checkpoints(tmp_path / "checkpoints")


def save_three_clips(folder: Path) -> Path:
    """Three clips of raw features."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, frames in (("one", 40), ("two", 64), ("three", 31)):
        np.save(folder / f"{name}.npy", rng.normal(size=(frames, 12)).astype(np.float32))
    return folder


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of three clips of raw features."""
    return save_three_clips(tmp_path / "clips")


@pytest.fixture
def save_checkpoint() -> Callable[..., Path]:
    return save_tiny_checkpoint


PART_WIDTHS = {"upper": 78, "hands": 180, "lower": 54}


def save_part_set(folder: Path) -> Path:
    """Three checkpoints of body parts, the hands with fewer quantizers and a longer stride."""
    folder.mkdir(parents=True)
    for number, (part, width) in enumerate(PART_WIDTHS.items()):
        torch.manual_seed(number)
        quantizers, down = (2, 2) if part == "hands" else (3, 1)
        config = RVQVAEConfig(
            input_dim=width, width=8, code_dim=4, nb_code=12, num_quantizers=quantizers, down_t=down, depth=1
        )
        model = RVQVAE(config)
        for depth, layer in enumerate(model.quantizer.ema_layers()):
            layer.codebook.copy_(torch.randn(12, 4) * 0.3 / 2**depth)
            layer.init.fill_(True)
        normalizer = Normalizer(torch.zeros(width), torch.ones(width))
        training = {"train_clips": ["walk"], "held_out_clips": ["wave"], "history": HISTORY}
        header = NativeHeader(config, f"smplx_rot6d_{part}", 30.0, training)
        save_native(folder / f"{part}.safetensors", model, normalizer, header)
    return folder


def save_body_clips(folder: Path) -> Path:
    """Three clips of the whole body, as BEAT2 writes them."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, frames in (("walk", 40), ("wave", 64), ("turn", 36)):
        time = np.arange(frames)[:, None] / 30
        poses = 0.4 * np.sin(2 * np.pi * (rng.uniform(0.2, 2, 165) * time + rng.random(165)))
        np.savez(folder / f"{name}.npz", poses=poses, trans=np.zeros((frames, 3)), mocap_frame_rate=30.0)
    return folder


@pytest.fixture
def body_clips(tmp_path: Path) -> Path:
    """A folder of three clips of the whole body, as BEAT2 writes them."""
    return save_body_clips(tmp_path / "body_clips")


@pytest.fixture(scope="session")
def save_body() -> Callable[[Path], tuple[Path, Path]]:
    """Write both into a folder that several tests share."""
    return lambda place: (save_part_set(place / "body"), save_body_clips(place / "body_clips"))


# The support imports Playwright, which only browser tests need.
@pytest.fixture(scope="session")
def chromium() -> str:
    from browser import find_chromium

    return find_chromium()


@pytest.fixture(scope="module")
def chromium_running(chromium: str) -> Iterator:
    """A browser for the tests of a file; it ends with them, as what drives it holds the thread's event loop."""
    from browser import launched

    with launched(chromium) as browser:
        yield browser


@pytest.fixture(scope="module")
def tabs(chromium_running) -> Iterator:
    """What the tabs of a file's tests load once."""
    from browser import opened

    with opened(chromium_running) as context:
        yield context


@pytest.fixture
def page(tabs) -> Iterator:
    """A tab of a real browser, with nothing kept of earlier tests but the scripts that they loaded."""
    from browser import open_emptied_tab

    with open_emptied_tab(tabs) as tab:
        yield tab


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[str]:
    """Address of the dashboard with the tiny checkpoints and clips, the same for all tests of the group "browser"."""
    from browser import serve

    place = tmp_path_factory.mktemp("server")
    with serve(place, save_two_checkpoints(place / "checkpoints"), save_three_clips(place / "clips")) as address:
        yield address
    told = (place / "server.log").read_text()
    assert "Stack (most recent call last)" not in told, told


def use_places(place: Path, monkeypatch: pytest.MonkeyPatch, checkpoints: Path, clips: Path) -> None:
    """Bundled folders and the store are these, nothing is given at start, and there is no worker.

    An analysis that another test has asked for is not computed again.
    """
    monkeypatch.setattr(sources, "bundled_checkpoints", lambda: checkpoints)
    monkeypatch.setattr(sources, "bundled_clips", lambda: clips)
    monkeypatch.setenv(store.VARIABLE, str(place / "store"))
    at_once = JobsAtOnce(place / "store")
    monkeypatch.setattr(data, "jobs", lambda: at_once)
    monkeypatch.setattr(analyses, "analyse", analysed_once)
    for variable in sources.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture(scope="session", autouse=True)
def components_looked_for_once() -> Iterator[None]:
    """Streamlit looks through all installed packages for components, in a server once, but for each ``AppTest``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture
def anew(own_places) -> Iterator[None]:
    """Every analysis is computed, for tests that change how."""
    with analysed_anew():
        yield


@pytest.fixture
def own_places(tmp_path: Path, monkeypatch, checkpoints: Path, clips: Path) -> None:
    """Nothing of this machine: all folders are the test's own."""
    use_places(tmp_path, monkeypatch, checkpoints, clips)


@pytest.fixture(scope="module")
def places_of_a_file(tmp_path_factory) -> Iterator[tuple[Path, pytest.MonkeyPatch]]:
    """As ``own_places``, the same for all tests of a file; the folder, and what changes more."""
    place = tmp_path_factory.mktemp("places")
    with pytest.MonkeyPatch.context() as patch:
        checkpoints, clips = save_two_checkpoints(place / "checkpoints"), save_three_clips(place / "clips")
        use_places(place, patch, checkpoints, clips)
        yield place, patch


def use_smplx(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give two checkpoints on 330 features and an empty folder for their clips, which is returned, at start."""
    config = RVQVAEConfig(input_dim=330, width=8, code_dim=4, nb_code=16, num_quantizers=2, depth=1)
    (place / "models").mkdir()
    (place / "motion").mkdir()
    for seed, name in enumerate(("m", "other")):
        torch.manual_seed(seed)
        model = RVQVAE(config)
        for layer in model.quantizer.ema_layers():
            layer.codebook.copy_(torch.randn(16, 4) * 0.3)
            layer.init.fill_(True)
        header = NativeHeader(config, "smplx_rot6d", 30.0, {})
        statistics = Normalizer(torch.zeros(330), torch.ones(330))
        save_native(place / f"models/{name}.safetensors", model, statistics, header)
    monkeypatch.setenv(sources.CHECKPOINTS_VARIABLE, str(place / "models"))
    monkeypatch.setenv(sources.CLIPS_VARIABLE, str(place / "motion"))
    return place / "motion"


@pytest.fixture
def smplx(tmp_path: Path, monkeypatch, own_places) -> Path:
    """Two checkpoints on 330 features, and an empty folder for their clips, which is returned; all given at start."""
    return use_smplx(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def smplx_of_a_file(places_of_a_file) -> Path:
    """As ``smplx``, the same for all tests of a file."""
    return use_smplx(*places_of_a_file)


@pytest.fixture(scope="session")
def save_motion() -> Callable[..., None]:
    """Write a clip of so many frames as BEAT2 has them: poses drawn at random, and a path."""

    def save(path: Path, frames: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        trans = np.cumsum(rng.normal(size=(frames, 3)) * 0.01, axis=0)
        np.savez(path, poses=rng.normal(size=(frames, 165)) * 0.2, trans=trans, mocap_frame_rate=30)

    return save
