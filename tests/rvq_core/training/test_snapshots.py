import pytest
import torch

from rvq_core import ResidualVQ, load_checkpoint
from rvq_core.training import SnapshotWriter
from rvq_core.training.snapshots import snapshots_of


def test_the_callback_keeps_the_newest_of_every_nth_step(tmp_path):
    quantizer = ResidualVQ(2, nb_code=4, code_dim=3)
    keep = SnapshotWriter(tmp_path / "snapshots", every=5, keep=2)
    books = {}
    for step in range(1, 19):
        quantizer(torch.randn(2, 3, 8))
        keep(step, quantizer)
        books[step] = quantizer.codebooks.clone()
    assert [one.iteration for one in snapshots_of(tmp_path / "snapshots")] == [10, 15]
    for one in snapshots_of(tmp_path / "snapshots"):
        assert torch.equal(torch.stack(load_checkpoint(one.path).codebooks), books[one.iteration])


def test_a_shared_codebook_is_written_too(tmp_path):
    quantizer = ResidualVQ(3, True, nb_code=4, code_dim=3)
    quantizer(torch.randn(2, 3, 8))
    SnapshotWriter(tmp_path, every=1)(1, quantizer)
    assert load_checkpoint(tmp_path / "000000001.safetensors").quantizer.shared_codebook


@pytest.mark.parametrize("values", [{"every": 0}, {"every": 2, "keep": 0}])
def test_values_out_of_range_are_refused(tmp_path, values):
    with pytest.raises(ValueError, match="every and keep must be at least 1"):
        SnapshotWriter(tmp_path, **values)


def test_numbers_are_the_last_of_a_name(tmp_path):
    for name in ("t2m_net_80000.pth", "E0040.tar", "latest.tar", ".000000007.safetensors.x.safetensors", "9.txt"):
        (tmp_path / name).touch()
    assert [(one.iteration, one.path.name) for one in snapshots_of(tmp_path)] == [
        (40, "E0040.tar"),
        (80_000, "t2m_net_80000.pth"),
    ]
