import numpy as np
import pytest
from scipy.stats import binom

from rvq_core.stats.usage import perplexity
from rvq_core.verdicts.even_use import even_codes, even_perplexity


@pytest.mark.parametrize(("codes", "tokens"), [(256, 1412), (1024, 500), (16, 3), (64, 20_000)])
def test_they_are_what_simulation_shows(codes, tokens):
    counts = np.random.default_rng(3).multinomial(tokens, np.full(codes, 1 / codes), size=400)
    shown = (counts > 0).sum(axis=1)
    assert even_codes(codes, tokens) == pytest.approx(shown.mean(), abs=5 * shown.std() / 20 + 1e-9)
    logs = np.log([perplexity(row) for row in counts])
    assert np.log(even_perplexity(codes, tokens)) == pytest.approx(logs.mean(), abs=5 * logs.std() / 20 + 1e-9)


def test_the_ends():
    assert even_codes(1, 9) == 1
    assert even_codes(1, 0) == even_codes(8, 0) == 0
    assert even_codes(8, 1) == pytest.approx(1)
    assert even_perplexity(1, 9) == even_perplexity(8, 0) == 1
    assert even_perplexity(8, 1) == pytest.approx(1)
    assert even_perplexity(512, 10**7) == pytest.approx(512, rel=1e-3)
    assert even_perplexity(2, 2) == pytest.approx(np.sqrt(2))  # both on one, or one on each: half the time ln 2


@pytest.mark.parametrize(("codes", "tokens"), [(256, 1412), (1024, 500), (16, 3), (8192, 100_000), (2, 10**6)])
def test_the_entropy_is_the_mean_over_all_counts_of_a_code(codes, tokens):
    counts = np.arange(1, tokens + 1)
    mean = float((binom.pmf(counts, tokens, 1 / codes) * counts * np.log(counts)).sum())
    assert np.log(even_perplexity(codes, tokens)) == pytest.approx(np.log(tokens) - codes / tokens * mean, abs=1e-9)
