"""Options of a codebook, each against a formula of its own."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from rvq_core.codebook_options import CodebookOptions, less_parallel, orthogonality_penalty
from rvq_core.ema_layer import QuantizeEMAReset
from rvq_core.kmeans import ROUNDS, kmeans


def layer_with(codes: int = 8, dim: int = 4, mu: float = 0.9, **options) -> QuantizeEMAReset:
    return QuantizeEMAReset(codes, dim, mu=mu, options=CodebookOptions(**options))


def units(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_values_out_of_range_are_refused():
    with pytest.raises(ValueError, match="reset_every must be at least 1, got 0"):
        CodebookOptions(reset_every=0)
    with pytest.raises(ValueError, match=r"orthogonality must be at least 0, got -0\.1"):
        CodebookOptions(orthogonality=-0.1)


class TestKMeans:
    TOKENS = torch.randn(200, 3, generator=torch.Generator().manual_seed(1))

    def test_it_is_that_of_scikit_learn(self):
        start = self.TOKENS[:6].clone()
        first: Any = {"init": start.double().numpy(), "n_init": 1}  # which the stubs take for words
        model = KMeans(6, **first, max_iter=ROUNDS, tol=0, algorithm="lloyd")
        wanted = model.fit(self.TOKENS.double().numpy()).cluster_centers_
        np.testing.assert_allclose(kmeans(self.TOKENS, start), wanted, rtol=1e-4, atol=1e-5)

    def test_a_mean_without_tokens_stays(self):
        start = torch.cat([self.TOKENS[:3], torch.full((1, 3), 99.0)])
        assert torch.equal(kmeans(self.TOKENS, start)[3], start[3])

    def test_spherical_means_are_of_length_1_and_point_as_their_tokens_do(self):
        tokens = units(self.TOKENS.double().numpy())
        means = tokens[:5].copy()
        for _ in range(ROUNDS):
            nearest = (tokens @ means.T).argmax(axis=1)
            means = units(np.stack([tokens[nearest == k].sum(axis=0) for k in range(5)]))
        start = torch.from_numpy(tokens[:5]).float()
        found = kmeans(torch.from_numpy(tokens).float(), start, unit=True)
        np.testing.assert_allclose(found, means, atol=1e-5)

    def test_a_layer_begins_with_it(self):
        plain, clustered = layer_with(), layer_with(kmeans_init=True)
        for layer in (plain, clustered):
            torch.manual_seed(3)
            layer.initialise(torch.randn(100, 4, generator=torch.Generator().manual_seed(2)))
        tokens = torch.randn(100, 4, generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(clustered.codebook, kmeans(tokens, plain.codebook))
        assert bool((clustered.code_count == 1).all()) and torch.equal(clustered.code_sum, clustered.codebook)
        distance = [float(torch.cdist(tokens, one.codebook).amin(dim=1).square().mean()) for one in (plain, clustered)]
        assert distance[1] < 0.8 * distance[0]


class TestResetEvery:
    def test_dead_codes_are_reset_at_every_third_update_and_follow_their_mean_until_then(self):
        layer = layer_with(codes=4, dim=2, reset_every=3)
        tokens = torch.randn(9, 2)
        layer.initialise(tokens)
        counts, sums = np.ones(4), layer.codebook.double().numpy().copy()
        for update in range(1, 10):
            batch = torch.randn(9, 2)
            idx = torch.zeros(9, dtype=torch.int64)  # three codes are never hit
            layer.update_codebook(batch, idx)
            counts, sums = 0.9 * counts, 0.9 * sums
            counts[0] += 0.1 * 9
            sums[0] += 0.1 * batch.double().numpy().sum(axis=0)
            is_mean = np.isclose(layer.codebook, sums / counts[:, None], atol=1e-5).all(axis=1)
            assert is_mean.tolist() == [True] + [update % 3 != 0] * 3
            assert layer.code_resets.tolist() == [0] + [update // 3] * 3
        assert layer.resets == 9

    def test_by_default_every_update_resets(self):
        layer = layer_with(codes=4)
        layer.initialise(torch.randn(9, 4))
        for _ in range(5):
            layer.update_codebook(torch.randn(9, 4), torch.zeros(9, dtype=torch.int64))
        assert layer.code_resets.tolist() == [0, 5, 5, 5]


class TestCosine:
    def trained(self) -> QuantizeEMAReset:
        layer = layer_with(cosine=True)
        for _ in range(20):
            layer(torch.randn(5, 4, 6) * 3)
        return layer

    def test_codes_have_length_1_and_the_nearest_is_that_of_the_smallest_angle(self):
        layer = self.trained().eval()
        np.testing.assert_allclose(layer.codebook.norm(dim=1), 1, atol=1e-6)
        tokens = torch.randn(300, 4) * torch.rand(300, 1) * 10
        angles = units(tokens.double().numpy()) @ units(layer.codebook.double().numpy()).T
        np.testing.assert_array_equal(layer.quantize(tokens), angles.argmax(axis=1))

    def test_an_update_follows_tokens_of_length_1(self):
        layer = self.trained()
        layer.reset_threshold = 0.0
        sums, counts = layer.code_sum.double().numpy().copy(), layer.code_count.double().numpy().copy()
        tokens, idx = torch.randn(30, 4) * 5, torch.arange(30) % 8
        layer.update_codebook(tokens, idx)
        unit = units(tokens.double().numpy())
        for code in range(8):
            sums[code] = 0.9 * sums[code] + 0.1 * unit[idx == code].sum(axis=0)
            counts[code] = 0.9 * counts[code] + 0.1 * int((idx == code).sum())
        np.testing.assert_allclose(layer.code_sum, sums, atol=1e-5)
        np.testing.assert_allclose(layer.codebook, units(sums / counts[:, None]), atol=1e-5)

    def test_a_small_batch_is_tiled_at_length_1_too(self):
        layer = layer_with(codes=16, cosine=True)
        layer(torch.randn(1, 4, 3))
        np.testing.assert_allclose(layer.codebook.norm(dim=1), 1, atol=1e-6)


class TestOrthogonality:
    def test_the_penalty_by_hand(self):
        codes = torch.tensor([[3.0, 0.0], [0.0, 0.5], [1.0, 1.0]])
        # cosines: 0 between the first two, 1 / sqrt 2 of each with the third, all of them twice in the matrix
        assert float(orthogonality_penalty(codes)) == pytest.approx(4 * 0.5 / 9)
        assert float(orthogonality_penalty(torch.eye(5) * 7)) == pytest.approx(0)

    def test_the_step_is_down_its_gradient(self):
        codes = torch.randn(5, 3)

        def penalty(flat: np.ndarray) -> float:
            rows = units(flat.reshape(5, 3))
            return float(((rows @ rows.T - np.eye(5)) ** 2).mean())

        at = codes.double().numpy().ravel()
        steps = 1e-5 * np.eye(15)
        gradient = np.array([(penalty(at + step) - penalty(at - step)) / 2e-5 for step in steps])
        found = less_parallel(codes, 0.5).double().numpy().ravel()
        np.testing.assert_allclose(found, at - 0.5 * gradient, atol=1e-6)

    def test_a_layer_takes_it_after_each_update_and_goes_on_from_there(self):
        plain, spread = layer_with(), layer_with(orthogonality=5.0)
        for layer in (plain, spread):
            torch.manual_seed(4)
            layer.reset_threshold = 0.0
            layer(torch.randn(6, 4, 10))
        torch.testing.assert_close(spread.codebook, less_parallel(plain.codebook, 5.0))
        torch.testing.assert_close(spread.code_sum / spread.code_count[:, None], spread.codebook)
        for layer in (plain, spread):
            for seed in range(30):
                layer(torch.randn(6, 4, 10, generator=torch.Generator().manual_seed(seed)))
        assert float(orthogonality_penalty(spread.codebook)) < float(orthogonality_penalty(plain.codebook))
