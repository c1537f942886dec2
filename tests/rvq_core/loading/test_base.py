"""Small parts of opening a file, each by itself."""

import pytest
import torch

from rvq_core.errors import CheckpointError
from rvq_core.loading.formats.base import all_equal, build_model
from rvq_core.quantizer import ResidualVQ


def test_one_shared_codebook_stands_there_once_a_layer():
    one, other = torch.ones(4, 2), torch.zeros(4, 2)
    assert all_equal([one, one.clone()]) and all_equal([one, one.clone(), one.clone()])
    assert not all_equal([one, other])
    assert not all_equal([one, one.clone(), other])
    assert not all_equal([one])  # a single layer shares with none


@pytest.mark.parametrize(
    ("tensor", "kind"), [(torch.ones(4, 2, dtype=torch.bool), "bool"), (torch.ones(4, 2, dtype=torch.int64), "int64")]
)
def test_numbers_of_another_kind_are_told(tensor: torch.Tensor, kind: str):
    state = {"layers.0.codebook": tensor}
    with pytest.raises(CheckpointError, match=rf"codebook: expected floats of shape .*, found torch.{kind} of shape"):
        build_model("x", lambda: ResidualVQ(1, nb_code=4, code_dim=2), state)


def test_flags_are_no_integers():
    state = {"layers.0.codebook": torch.ones(4, 2), "layers.0.init": torch.ones((), dtype=torch.int64)}
    with pytest.raises(CheckpointError, match="init: expected flags of shape"):
        build_model("x", lambda: ResidualVQ(1, nb_code=4, code_dim=2), state)
