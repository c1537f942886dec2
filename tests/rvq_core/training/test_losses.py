import numpy as np
import pytest
import torch

from rvq_core.clips.representations import RAW, SMPLX_ROT6D
from rvq_core.loading import Normalizer
from rvq_core.training.losses import position_loss, training_losses

PRESENT = torch.tensor([[True] * 6, [True, True, True, False, False, False]])


@pytest.fixture
def normalizer() -> Normalizer:
    return Normalizer(0.1 * torch.randn(330), 0.5 + torch.rand(330))


@pytest.fixture
def pair(make_clip, normalizer) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised reconstruction and truth [2, 6, 330]."""
    raw = torch.stack([torch.from_numpy(make_clip(frames=6, seed=s).features) for s in (0, 1)])
    truth = normalizer.apply(raw)
    return truth + 0.4 * torch.randn_like(truth), truth


def losses(settings, normalizer, predicted, truth, present=PRESENT, commit=0.25):
    return training_losses(settings, SMPLX_ROT6D, normalizer, predicted, truth, present, torch.tensor(commit))


def smooth_l1(difference: np.ndarray) -> np.ndarray:
    size = np.abs(difference)
    return np.where(size < 1, 0.5 * difference**2, size - 0.5)


@pytest.mark.parametrize(("kind", "criterion"), [("l1_smooth", smooth_l1), ("l2", np.square)])
def test_each_part_is_the_mean_over_the_frames_that_are_data(small, normalizer, pair, numpy_joints, kind, criterion):
    settings = small(reconstruction=kind, velocity=0.5, commit=0.02, position=5.0)
    found = losses(settings, normalizer, *pair)
    predicted, truth = (x.double().numpy() for x in pair)
    frames = [(0, t) for t in range(6)] + [(1, t) for t in range(3)]
    steps = [(0, t) for t in range(5)] + [(1, t) for t in range(2)]
    reconstruction = np.mean([criterion(predicted[b, t] - truth[b, t]).mean() for b, t in frames])
    velocity = np.mean(
        [criterion((predicted[b, t + 1] - predicted[b, t]) - (truth[b, t + 1] - truth[b, t])).mean() for b, t in steps]
    )
    raw = [normalizer.invert(x).double().numpy() for x in pair]
    position = np.mean(
        [np.linalg.norm(numpy_joints(raw[0][b, [t]]) - numpy_joints(raw[1][b, [t]]), axis=-1) for b, t in frames]
    )
    assert float(found.reconstruction) == pytest.approx(reconstruction, rel=1e-4)
    assert float(found.velocity) == pytest.approx(velocity, rel=1e-4)
    assert float(found.position) == pytest.approx(position, rel=1e-3)  # its corner at 0 is rounded
    assert float(found.commit) == 0.25
    total = reconstruction + 0.5 * velocity + 0.02 * 0.25 + 5 * position
    assert float(found.total) == pytest.approx(total, rel=1e-3)


def test_what_stands_in_padded_frames_changes_no_loss_and_gets_no_gradient(small, normalizer, pair):
    predicted, truth = pair
    predicted.requires_grad_()
    before = losses(small(), normalizer, predicted, truth)
    before.total.backward()
    assert not predicted.grad[~PRESENT].any()
    assert predicted.grad[PRESENT].any()
    other, other_truth = predicted.detach().clone(), truth.clone()
    other[~PRESENT] = 7.0
    other_truth[~PRESENT] = -3.0
    after = losses(small(), normalizer, other, other_truth)
    for name in ("total", "reconstruction", "velocity", "position"):
        assert torch.equal(getattr(after, name), getattr(before, name).detach()), name


def test_a_perfect_reconstruction_has_finite_gradients(small, normalizer, pair):
    truth = pair[1]
    predicted = truth.clone().requires_grad_()
    found = losses(small(), normalizer, predicted, truth)
    found.total.backward()
    assert float(found.reconstruction.detach()) == 0
    assert float(found.position.detach()) < 2e-4
    assert torch.isfinite(predicted.grad).all()


def test_no_frames_of_data_give_no_loss(small, normalizer, pair):
    found = losses(small(), normalizer, *pair, present=torch.zeros_like(PRESENT), commit=0.0)
    assert float(found.total) == 0


def test_the_position_loss_can_be_turned_off(small, normalizer, pair):
    found = losses(small(position=0.0), normalizer, *pair)
    assert float(found.position) == 0


def test_without_joints_there_is_no_position_loss():
    x = torch.randn(1, 4, 7)
    assert float(position_loss(RAW, x, x + 1, torch.ones(1, 4, dtype=torch.bool))) == 0
