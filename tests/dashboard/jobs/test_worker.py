"""The real worker: what it stores is what the library computes, and it knows nothing of Streamlit."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rvq_core
from dashboard import analyses, projection_store
from dashboard.analyses import Groups
from dashboard.jobs import Analysis, Jobs, Source, State, Umap
from dashboard.jobs.requests import request_of
from dashboard.settings import Reading, UmapSettings
from dashboard.store import Store
from rvq_core import load_checkpoint
from rvq_core.clips import read_clips

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def jobs(store: Store) -> Iterator[Jobs]:
    running = Jobs(store.folder)
    yield running
    running.close()


def test_a_report_is_what_the_library_computes(jobs, store, checkpoints: Path, clips: Path):
    ckpt, chosen = load_checkpoint(checkpoints / "a.safetensors"), read_clips(clips)
    facts = analyses.facts_of(ckpt)
    key = analyses.report_key(facts.identity, chosen, Groups())
    request = Analysis(Source(str(ckpt.path)), (str(clips),))
    assert analyses.find_report(store, key, facts) is None
    job = jobs.submit(key, "a", request)
    assert job.ended.wait(120) and job.state is State.DONE, job.error
    assert job.done == job.total == 3
    found = analyses.find_report(store, key, facts)
    expected = rvq_core.analyze(ckpt, chosen.clips)
    assert found is not None
    for name in ("layers", "codes", "reconstruction", "clips", "clip_errors"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(expected, name), check_dtype=False)
    assert all(map(np.array_equal, found.tokens, expected.tokens))
    assert found.manifest["checkpoint"] == expected.manifest["checkpoint"]

    # A copy under another name finds the same result, which bears its name.
    copy = checkpoints / "copy.safetensors"
    copy.write_bytes(ckpt.path.read_bytes())
    again = analyses.find_report(store, key, analyses.facts_of(load_checkpoint(copy)))
    assert again is not None and again.manifest["checkpoint"]["name"] == "copy"

    # A file that has changed since the page saw it gives no result under the old key.
    (clips / "one.npy").unlink()
    store.clear()
    late = jobs.submit(key, "a", request)
    assert late.ended.wait(60) and late.state is State.FAILED
    assert "changed" in str(late.error)
    assert store.held().kinds == {}


def test_umap_is_computed_and_found(jobs, store, checkpoints: Path):
    paths = [checkpoints / "a.safetensors", checkpoints / "b.safetensors"]
    codebooks = [codes for path in paths for codes in analyses.codebooks(load_checkpoint(path))]
    settings = UmapSettings(layers=(1, 2, 4), n_neighbors=4)
    key = projection_store.key(settings, codebooks)
    job = jobs.submit(key, "map", Umap(tuple(Source(str(path)) for path in paths), settings))
    assert job.ended.wait(240) and job.state is State.DONE, job.error
    found = projection_store.find(store, settings, codebooks)
    assert found is not None
    assert found.table["layer"].unique().tolist() == [1, 2, 4]
    assert found.made_by["method"] == "umap" and np.isfinite(found.table[["x", "y"]].to_numpy()).all()


def test_the_worker_imports_no_streamlit():
    code = (
        "import sys; from dashboard.jobs import worker; sys.argv = ['', '.']; worker._performer(); "
        "print('streamlit' in sys.modules, 'plotly' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["False", "False", "True"], done.stderr


def test_asking_the_worker_needs_no_torch():
    code = "import sys; import dashboard.jobs, dashboard.jobs.worker; print({'torch', 'pandas'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "set()", done.stderr


@pytest.mark.parametrize(
    "request_",
    [
        Analysis(Source("a.pt", Reading("relu", None, 3, "mean.npy", "std.npy")), ("clips", "more"), "s", "g", True),
        Analysis(Source("body"), ()),
        Umap((Source("a.pt"), Source("b.pt")), UmapSettings((1, 2), 4, 0.2, "cosine", 7, "per_layer")),
    ],
)
def test_requests_come_out_as_they_went_in(request_):
    import json

    assert request_of(json.loads(json.dumps(request_.told))) == request_
