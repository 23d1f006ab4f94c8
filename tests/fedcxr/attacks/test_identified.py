import numpy as np
import pytest
from scipy.stats import binom

from fedcxr.attacks.identified import identify


def test_who_is_called_rightly_in_every_target_is_identified():
    # Three people, two targets. Medians 2 and 1; called: (F, F, T) and (F, T, F).
    scores = np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 0.0]])
    inside = np.array([[False, True, True], [False, True, True]])
    found = identify(scores, inside)
    assert found.success.tolist() == [1.0, 0.5, 0.5]
    assert (found.sure, found.targets) == (1, 2)


def test_a_coin_is_as_right_as_the_binomial_says():
    rng = np.random.default_rng(0)
    inside = rng.random((64, 1000)) < 0.5
    found = identify(rng.random((64, 1000)), inside)
    # more than 57.6 of 64: 58 and more
    assert found.by_chance == pytest.approx(1000 * binom.sf(57, 64, 0.5))
    assert found.sure == 0
    assert found.quantiles[2] == pytest.approx(0.5, abs=0.02)


def test_a_few_who_are_always_found_show_in_the_count_and_not_in_the_middle():
    rng = np.random.default_rng(1)
    inside = np.stack([rng.permutation(1000) < 500 for _ in range(64)])
    scores = rng.random((64, 1000))
    scores[:, :10] = np.where(inside[:, :10], 2.0, -1.0)
    found = identify(scores, inside)
    assert found.sure == 10
    assert found.quantiles[2] < 0.6
