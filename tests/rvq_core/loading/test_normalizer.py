import numpy as np
import pytest
import torch

from rvq_core.loading import Normalizer

MEAN, STD = np.array([1.0, -2.0, 0.5, 3.0]), np.array([2.0, 0.0, 9e-5, 2e-4])
SCALE = np.array([2.0, 1.0, 1.0, 2e-4])  # below 1e-4 a feature is constant: divided by 1


@pytest.fixture
def normalizer() -> Normalizer:
    return Normalizer(torch.tensor(MEAN, dtype=torch.float32), torch.tensor(STD, dtype=torch.float32))


def test_constant_features_are_centred_and_not_scaled(normalizer):
    raw = np.random.default_rng(0).normal(size=(6, 7, 4))
    np.testing.assert_allclose(normalizer.scale.numpy(), SCALE, rtol=1e-6)
    normalised = normalizer.apply(torch.from_numpy(raw).float())
    np.testing.assert_allclose(normalised.numpy(), (raw - MEAN) / SCALE, rtol=1e-4, atol=1e-5)
    back = normalizer.invert(torch.from_numpy(raw).float())
    np.testing.assert_allclose(back.numpy(), raw * SCALE + MEAN, rtol=1e-5, atol=1e-6)


def test_there_and_back(normalizer):
    raw = torch.randn(50, 4)
    torch.testing.assert_close(normalizer.invert(normalizer.apply(raw)), raw)
    assert torch.isfinite(normalizer.apply(raw)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_come_back_as_arrays(normalizer, dtype):
    raw = np.random.default_rng(0).normal(size=(6, 4)).astype(dtype)
    for method in (normalizer.apply, normalizer.invert):
        got = method(raw)
        assert isinstance(got, np.ndarray)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, method(torch.from_numpy(raw).float()).numpy())


def test_features_are_not_written_to(normalizer):
    raw = np.ones((3, 4), dtype=np.float32)
    normalizer.apply(raw)
    normalizer.invert(raw)
    assert (raw == 1).all()
