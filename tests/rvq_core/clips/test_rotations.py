import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from rvq_core.clips.rotations import matrix_to_rot6d, rot6d_to_matrix


def random_matrices(count: int) -> torch.Tensor:
    return torch.from_numpy(Rotation.random(count, rng=np.random.default_rng(0)).as_matrix())


def test_a_rotation_survives_the_round_trip():
    matrices = random_matrices(100)
    assert torch.allclose(rot6d_to_matrix(matrix_to_rot6d(matrices)), matrices, atol=1e-12)


def test_six_numbers_are_the_first_two_rows():
    # A quarter turn about z has rows (0, -1, 0), (1, 0, 0); its columns would be (0, 1, 0), (-1, 0, 0).
    quarter = torch.from_numpy(Rotation.from_euler("z", 90, degrees=True).as_matrix())
    assert torch.allclose(matrix_to_rot6d(quarter), torch.tensor([0.0, -1, 0, 1, 0, 0]).double(), atol=1e-12)


def test_six_numbers_can_be_the_first_two_columns():
    quarter = torch.from_numpy(Rotation.from_euler("z", 90, degrees=True).as_matrix())
    assert torch.allclose(matrix_to_rot6d(quarter, "columns"), torch.tensor([0.0, 1, 0, -1, 0, 0]).double(), atol=1e-12)
    matrices = random_matrices(50)
    columns = matrix_to_rot6d(matrices, "columns")
    assert torch.allclose(rot6d_to_matrix(columns, "columns"), matrices, atol=1e-12)
    # Taken for rows they are the inverse.
    assert torch.allclose(rot6d_to_matrix(columns, "rows"), matrices.mT, atol=1e-12)


def test_beat2_s_statistics_are_of_rows(shared):
    """SynTalker's mean and std of this speaker's features fit this speaker's clip in rows, and not in columns."""
    with np.load(shared("beat2/2_scott_0_1_1.npz")) as archive:
        poses = archive["poses"].astype(np.float64)
    mean, std = (np.load(shared(f"beat2/syntalker_beatx_2_330_{name}.npy")) for name in ("mean", "std"))
    moving = std > 1e-3
    matrices = torch.from_numpy(Rotation.from_rotvec(poses.reshape(-1, 3)).as_matrix())
    apart = {}
    for order in ("rows", "columns"):
        features = matrix_to_rot6d(matrices, order).reshape(len(poses), 330).numpy()
        apart[order] = np.sqrt(np.square((features.mean(axis=0) - mean)[moving] / std[moving]).mean())
    assert apart["rows"] < 0.5 < 2 < apart["columns"]


def test_any_rows_become_a_rotation_with_the_first_row_kept():
    rows = torch.randn(50, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrices = rot6d_to_matrix(rows)
    assert torch.allclose(matrices @ matrices.mT, torch.eye(3).double().expand(50, 3, 3), atol=1e-12)
    assert torch.allclose(torch.linalg.det(matrices), torch.ones(50).double())
    assert torch.allclose(matrices[:, 0], rows[:, :3] / rows[:, :3].norm(dim=1, keepdim=True))
    # The second row stays in the plane of both and on its own side.
    assert ((matrices[:, 1] * rows[:, 3:]).sum(1) > 0).all()
    assert torch.allclose((matrices[:, 2] * rows[:, 3:]).sum(1), torch.zeros(50).double(), atol=1e-12)


@pytest.mark.parametrize(
    "row", [[0.0] * 6, [0, 0, 0, 1, 0, 0], [1, 2, 3, 2, 4, 6], [0, 2, 0, 0, 1, 0], [0, 5, 0, 0, 0, 0]]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_rows_give_a_rotation_and_finite_gradients(row, dtype):
    rows = torch.tensor(row, dtype=dtype, requires_grad=True)
    matrix = rot6d_to_matrix(rows)
    assert torch.allclose(matrix @ matrix.mT, torch.eye(3, dtype=dtype), atol=1e-5)
    assert torch.linalg.det(matrix).item() == pytest.approx(1, abs=1e-5)
    matrix.square().sum().backward()
    assert rows.grad is not None
    assert rows.grad.isfinite().all()


def test_zeros_give_the_identity():
    assert torch.equal(rot6d_to_matrix(torch.zeros(4, 6)), torch.eye(3).expand(4, 3, 3))


def test_gradient_is_that_of_finite_differences():
    rows = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert torch.autograd.gradcheck(rot6d_to_matrix, rows)
