import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from fedcxr.errors import RunError
from fedcxr.metrics.areas import find_steps
from fedcxr.metrics.average_precision import average_precision, weighted_average_precision


def random_case(seed, num=300, decimals=None, prevalence=0.3):
    rng = np.random.default_rng(seed)
    target = (rng.random(num) < prevalence).astype(float)
    target[:2] = 0, 1
    probs = np.clip(rng.normal(0.4 + 0.2 * target, 0.25), 0, 1)
    return target, probs if decimals is None else probs.round(decimals)


def test_a_hand_computed_average_precision():
    # from the top + - + -: precision at the two positives 1/1 and 2/3
    assert average_precision([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]) == pytest.approx(5 / 6)


def test_tied_scores_are_one_step():
    # three called at once, two of them positive: 2/3 for both, whatever their order
    assert average_precision([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.1]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("prevalence", [0.01, 0.3, 0.9])
@pytest.mark.parametrize("decimals", [None, 2, 1, 0])
@pytest.mark.parametrize("seed", range(4))
def test_equals_sklearn_with_and_without_ties(seed, decimals, prevalence):
    target, probs = random_case(seed, decimals=decimals, prevalence=prevalence)
    expected = average_precision_score(target, probs)
    assert average_precision(target, probs) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("seed", range(5))
def test_equals_sklearn_with_weights(seed, decimals):
    target, probs = random_case(seed, decimals=decimals)
    weights = np.random.default_rng(seed + 100).exponential(size=len(target))
    weights[::7] = 0
    expected = average_precision_score(target, probs, sample_weight=weights)
    assert average_precision(target, probs, weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("decimals", [None, 1])
def test_many_weightings_at_once_equal_sklearn_on_repeated_rows(decimals):
    target, probs = random_case(5, decimals=decimals)
    times = np.random.default_rng(6).poisson(1.0, (20, len(target)))
    steps = find_steps(target, probs, np.arange(len(target)))
    found = weighted_average_precision(steps, times)
    for one, value in zip(times, found, strict=True):
        rows = np.repeat(np.arange(len(target)), one)
        expected = average_precision_score(target[rows], probs[rows])
        assert value == pytest.approx(expected, abs=1e-12)


def test_weights_scaled_alike_change_nothing():
    target, probs = random_case(2)
    weights = np.random.default_rng(0).exponential(size=len(target))
    small = average_precision(target, probs, weights * 1e-9)
    assert small == pytest.approx(average_precision(target, probs, weights), abs=1e-12)


def test_unknown_targets_are_left_out():
    target, probs = random_case(1)
    target[::3] = np.nan
    known = ~np.isnan(target)
    expected = average_precision_score(target[known], probs[known])
    assert average_precision(target, probs) == pytest.approx(expected, abs=1e-12)


def test_all_tied_gives_the_prevalence():
    assert average_precision([1, 0, 0, 0], [0.5] * 4) == 0.25


@pytest.mark.parametrize("target", [[0, 0], [np.nan, np.nan], [0, np.nan]])
def test_no_positive_has_no_average_precision(target):
    assert np.isnan(average_precision(target, [0.2, 0.7]))
    assert np.isnan(average_precision([], []))


def test_positives_of_weight_zero_have_no_average_precision():
    assert np.isnan(average_precision([0, 1], [0.2, 0.7], [1, 0]))


def test_positives_alone_have_an_average_precision_of_one():
    assert average_precision([1, 1, np.nan], [0.2, 0.7, 0.9]) == 1.0


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(RunError, match="1 of 2 probabilities are not finite"):
        average_precision([0, 1], [0.2, np.nan])
    with pytest.raises(ValueError, match="0, 1 or nan"):
        average_precision([0, -1], [0.2, 0.3])
    with pytest.raises(ValueError, match="one label"):
        average_precision(np.zeros((2, 1)), np.zeros((2, 1)))
    with pytest.raises(ValueError, match="weights"):
        average_precision([0, 1], [0.2, 0.3], [1, -1])
    with pytest.raises(ValueError, match="weights"):
        average_precision([0, 1], [0.2, 0.3], [1])
