"""Files that hypothesis makes: whole ones say what was put into them, all others are read or refused in one line."""

import json
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from scipy.spatial.transform import Rotation
from strategies import ARCHIVES, ARRAYS, JSON, NAMES, SETTINGS, WORDS, bvh_files

from dashboard.links import LONGEST_TOLD, told
from rvq_core import load_checkpoint, load_clips
from rvq_core.check import read_limits
from rvq_core.clips.bones import read_bone_map
from rvq_core.clips.bvh import parse_bvh
from rvq_core.clips.groups import read_groups
from rvq_core.clips.split import read_split
from rvq_core.errors import RVQLensError
from rvq_core.loading.sidecars import find_options

settings.register_profile(
    "files", max_examples=60, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
settings.load_profile("files")


BVH_WORDS = (
    "HIERARCHY", "ROOT", "JOINT", "OFFSET", "CHANNELS", "MOTION", "End", "Site", "{", "}", "3", "6", "0", "1e9", "nan",
    "Frames:", "Frame", "Time:", "Xrotation", "a", "\n",
)  # fmt: skip
LISTS_AND_SETTINGS = [
    ("l.toml", read_limits), ("m.toml", read_bone_map), ("m.json", read_bone_map), ("g.csv", read_groups),
    ("s.txt", read_split),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def read_or_refused(read, path: Path):
    """The result, or None where it is refused as a user may be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read(path)
        except RVQLensError as error:
            assert "\n" not in str(error)
            return None


@given(source=bvh_files())
def test_bvh_says_what_was_written(folder, source):
    path = folder / "a.bvh"
    path.write_text(source.text(), newline="")
    found = parse_bvh(path)
    order = source.order()
    assert found.hierarchy.names == tuple(source.names[joint] for joint in order)
    parents = [source.parents[joint] for joint in order]
    assert [-1 if p < 0 else order[p] for p in found.hierarchy.parents] == parents
    np.testing.assert_array_equal(found.hierarchy.offsets, [source.offsets[joint] for joint in order])
    values = np.array(source.values)
    np.testing.assert_array_equal(found.moved[0], values[:, :3])
    for place, joint in enumerate(order):
        own = values[:, 3 + 3 * place : 6 + 3 * place]
        expected = Rotation.from_euler(source.axes[joint], own, degrees=True).as_matrix()
        np.testing.assert_allclose(found.rotations[:, place], expected, atol=1e-9)


@given(words=st.lists(st.sampled_from(BVH_WORDS), max_size=60))
@example(words=["HIERARCHY", "\n", "MOTION", "\n", "Frames:", "0"])
def test_words_of_bvh_in_any_order(folder, words):
    (folder / "b.bvh").write_text(" ".join(words))
    read_or_refused(load_clips, folder / "b.bvh")


@pytest.mark.parametrize("suffix", [".bvh", ".amc", ".txt", ".npz", ".npy", ".pt"])
@given(content=st.binary(max_size=300))
def test_any_bytes_as_a_clip(folder, suffix, content):
    (folder / f"c{suffix}").write_bytes(content)
    assert read_or_refused(load_clips, folder / f"c{suffix}") is None


@given(archive=ARCHIVES)
def test_archives_of_any_arrays(folder, archive):
    np.savez(folder / "d.npz", **archive)
    for clip in read_or_refused(load_clips, folder / "d.npz") or ():
        assert clip.features.ndim == 2 and np.isfinite(clip.features).all() and clip.fps > 0


@given(array=ARRAYS)
def test_any_array(folder, array):
    np.save(folder / "e.npy", array)
    for clip in read_or_refused(load_clips, folder / "e.npy") or ():
        assert clip.features.ndim == 2 and np.isfinite(clip.features).all()


@given(frames=JSON)
def test_json_of_any_shape_as_deepmimic(folder, frames):
    (folder / "f.txt").write_text(json.dumps({"Frames": frames, "Loop": frames}))
    read_or_refused(load_clips, folder / "f.txt")


@given(config=JSON, name=st.sampled_from(["config", "rvq_lens", "training", "format"]))
def test_safetensors_with_any_header(folder, config, name):
    tensors = {"quantizer.layers.0.codebook": torch.zeros(4, 2)}
    save_file(tensors, folder / "g.safetensors", {name: json.dumps(config), "format": "pt"})
    read_or_refused(load_checkpoint, folder / "g.safetensors")


@given(state=st.dictionaries(NAMES | st.sampled_from(["net", "state_dict", "model", "layers.0.codebook", "embed"]),
                             ARRAYS | st.integers() | WORDS, max_size=5))  # fmt: skip
def test_any_dictionary_as_a_checkpoint(folder, state):
    tensors = {}
    for name, value in state.items():
        with suppress(TypeError, ValueError):  # texts, dates and other byte orders are no tensors
            tensors[name] = torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) and value.ndim else value
    torch.save(tensors, folder / "h.pt")
    read_or_refused(load_checkpoint, folder / "h.pt")


@given(known=st.dictionaries(SETTINGS, st.integers(0, 10**6) | st.sampled_from(["relu", "LN", "None"])), rest=WORDS)
def test_options_say_what_was_written(folder, known, rest):
    lines = [
        "------ Options",
        *(f"{name}: {value}" for name, value in known.items()),
        f"# {rest.splitlines()[:1]}",
        "-",
    ]
    (folder / "opt.txt").write_text("\n".join(lines), encoding="utf-8")
    found = find_options(folder / "net.pth").values
    names = {"vq_act": "activation", "vq_norm": "norm", "dataset_name": "dataset"}
    expected = {names.get(name, name): None if value == "None" else value for name, value in known.items()}
    assert found == {name: value for name, value in expected.items() if name != "nb_code"}


@pytest.mark.parametrize(("name", "read"), LISTS_AND_SETTINGS)
@given(text=WORDS | JSON.map(json.dumps) | st.lists(WORDS).map("\n".join))
def test_any_text_as_lists_and_settings(folder, name, read, text):
    (folder / name).write_text(text, encoding="utf-8", errors="replace")
    read_or_refused(read, folder / name)


@given(value=st.text(max_size=200))
def test_what_a_link_says_is_told_without_markup(value):
    shown = told(value)
    assert len(shown) <= LONGEST_TOLD + 1
    assert "`" not in shown and all(character.isprintable() for character in shown)
