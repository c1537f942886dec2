import numpy as np
import pytest

from rvq_core.errors import ReportError
from rvq_core.ranks import Ranks
from rvq_core.shards import Shards, key_of, packed, unpacked


@pytest.fixture
def shards(tmp_path) -> Shards:
    made = Shards(tmp_path / "out.shards")
    made.begin(Ranks())
    return made


def test_a_shard_comes_back_under_its_own_key_alone(shards):
    shards.save("block", key_of("a"), {"x": np.arange(3), "y/z": np.ones((2, 2))})
    found = shards.load("block", key_of("a"))
    assert {name: values.tolist() for name, values in found.items()} == {"x": [0, 1, 2], "y/z": [[1, 1], [1, 1]]}
    assert shards.load("block", key_of("b")) is None
    assert shards.load("other", key_of("a")) is None
    shards.save("block", key_of("b"), {"x": np.zeros(1)})
    assert shards.has("block", key_of("b"))
    assert not shards.has("block", key_of("a"))


def test_every_part_of_a_key_counts():
    assert len({key_of("a", 1), key_of("a", 2), key_of("a", 1, None), key_of(["a", 1])}) == 4


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_what_is_damaged_is_not_there(shards, damage):
    shards.save("block", "key", {"x": np.arange(1000)})
    path = shards.folder / "block.npz"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(np.arange(1000).tobytes()) + 5] ^= 1
    path.write_bytes({"cut": whole[:-100], "flip": bytes(flipped), "empty": b"", "text": b"not a shard"}[damage])
    assert shards.load("block", "key") is None


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    folder = tmp_path / "out.shards"
    folder.mkdir()
    (folder / "thesis.tex").write_text("all of it")
    with pytest.raises(ReportError, match="expected an empty folder or an earlier folder of shards"):
        Shards(folder).begin(Ranks())
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_json_keeps_floats_to_the_last_bit():
    values = [*np.random.default_rng(0).normal(size=100).tolist(), float("inf"), 5e-324]
    assert unpacked(packed(values)) == values


def test_removing_leaves_nothing(shards):
    shards.save("block", "key", {"x": np.arange(3)})
    shards.remove()
    assert not shards.folder.exists()
