import math

import numpy as np
import pytest
from scipy.stats import binom

from fedcxr.privacy.audit import (
    Guesses,
    count_right,
    epsilon_lower_bound,
    fewest_right,
    guess,
    p_value,
)


def p_value_of_the_paper(m, r, v, eps, delta):
    # appendix D, as the paper prints the loop: one i after the other
    q = 1 / (1 + math.exp(-eps))
    beta, alpha, total = binom.sf(v - 1, r, q), 0.0, 0.0
    for i in range(1, v + 1):
        total += binom.pmf(v - i, r, q)
        alpha = max(alpha, total / i)
    return min(1.0, beta + alpha * delta * 2 * m)


@pytest.mark.parametrize(
    ("found", "delta", "published"),
    [
        (Guesses(1_000, 100, 75), 1e-4, 0.673),  # arXiv:2305.08846, appendix D
        (Guesses(100_000, 1_510, 1_439), 1e-5, 2.675),  # its figure on black-box audits
    ],
)
def test_the_published_bounds_are_met(found, delta, published):
    # to a unit in their last digit: the paper rounds one and cuts the other
    assert epsilon_lower_bound(found, delta) == pytest.approx(published, abs=1e-3)


def test_two_guesses_by_hand():
    # accuracy 3/4: P[W = 0, 1, 2] = 1/16, 6/16, 9/16
    epsilon = math.log(3)
    assert p_value(Guesses(2, 2, 2), epsilon, 0.0) == pytest.approx(9 / 16)
    assert p_value(Guesses(2, 2, 1), epsilon, 0.0) == pytest.approx(15 / 16)
    assert p_value(Guesses(2, 2, 0), epsilon, 0.0) == 1.0
    # v = 2: the larger of (6/16)/1 and (6/16 + 1/16)/2 is 6/16; 2·m·δ = 2·10·0.01 = 0.2
    assert p_value(Guesses(10, 2, 2), epsilon, 0.01) == pytest.approx(9 / 16 + 0.2 * 6 / 16)


def test_ten_right_of_ten_by_hand():
    # δ = 0: p^10 = 0.05, so p = 0.74113 and ε = ln(p / (1 − p)) = 1.0516
    found = epsilon_lower_bound(Guesses(10, 10, 10), 0.0)
    assert found == pytest.approx(math.log(0.05**0.1 / (1 - 0.05**0.1)), abs=1e-5)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 3.0, 8.0])
@pytest.mark.parametrize(("m", "r"), [(20, 7), (1_000, 200), (1_000, 1_000)])
def test_the_p_value_is_that_of_the_papers_own_loop(m, r, epsilon):
    for v in {0, 1, r // 2, r - 1, r}:
        expected = p_value_of_the_paper(m, r, v, epsilon, 1e-5)
        assert p_value(Guesses(m, r, v), epsilon, 1e-5) == pytest.approx(expected, rel=1e-9)


def test_the_bound_is_where_the_p_value_crosses():
    found = Guesses(1_000, 300, 280)
    bound = epsilon_lower_bound(found, 1e-5, confidence=0.9)
    assert p_value(found, bound - 1e-4, 1e-5) < 0.1 < p_value(found, bound + 1e-4, 1e-5)


def test_more_right_more_confidence_less_and_a_larger_delta_less():
    def bound(right=90, *, delta=1e-5, confidence=0.95):
        return epsilon_lower_bound(Guesses(1_000, 100, right), delta, confidence)

    assert bound(89) < bound() < bound(91)
    assert bound(confidence=0.99) < bound() < bound(confidence=0.9)
    assert bound(delta=1e-4) < bound() < bound(delta=0.0)


def test_guesses_no_better_than_coins_give_nothing():
    assert epsilon_lower_bound(Guesses(1_000, 100, 50), 1e-5) == 0.0
    assert epsilon_lower_bound(Guesses(1_000, 0, 0), 1e-5) == 0.0


def test_randomised_response_is_covered_as_often_as_promised():
    # ε-DP and tight: each guess is right with probability e^ε/(1 + e^ε), and no audit does better
    epsilon, studies = 2.0, 4_000
    rng = np.random.default_rng(1)
    right = rng.binomial(400, 1 / (1 + math.exp(-epsilon)), studies)
    bound = {int(v): epsilon_lower_bound(Guesses(400, 400, int(v)), 0.0) for v in set(right)}
    above = np.mean([bound[int(v)] > epsilon for v in right])
    assert above <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)
    assert above > 0.02  # it is no idle bound: binomials come in steps, so below 5 %
    assert np.median([bound[int(v)] for v in right]) > 0.8 * epsilon


def test_a_response_that_leaks_with_probability_delta_is_covered():
    # with probability δ each tells the truth outright, otherwise randomised response: (ε, δ)-DP
    epsilon, delta, studies = 1.0, 0.01, 4_000
    rng = np.random.default_rng(2)
    accuracy = 1 / (1 + math.exp(-epsilon))
    leaked = rng.binomial(100, delta, studies)
    right = leaked + rng.binomial(100 - leaked, accuracy)
    above = [epsilon_lower_bound(Guesses(100, 100, int(v)), delta) > epsilon for v in right[:500]]
    assert np.mean(above) <= 0.05


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 4.0])
def test_the_fewest_right_is_the_first_number_whose_bound_is_above(epsilon):
    fewest = fewest_right(1_000, 300, epsilon, 1e-5)
    assert epsilon_lower_bound(Guesses(1_000, 300, fewest), 1e-5) > epsilon
    assert epsilon_lower_bound(Guesses(1_000, 300, fewest - 1), 1e-5) <= epsilon


def test_an_epsilon_beyond_what_the_guesses_can_say_has_no_such_number():
    # all 20 right: 0.05^(1/20) = 0.861, ε̂ = 1.82 at most
    assert fewest_right(20, 20, 1.8, 0.0) == 20
    assert fewest_right(20, 20, 1.9, 0.0) is None


def test_the_highest_and_the_lowest_scores_are_guessed():
    scores = np.array([0.1, 5.0, -3.0, 2.0, 0.0])
    assert guess(scores, 3).tolist() == [0, 1, -1, 1, 0]
    assert guess(scores, 5).tolist() == [1, 1, -1, 1, -1]
    assert guess(scores, 0).tolist() == [0] * 5
    assert guess(np.zeros(4), 2).tolist() == [1, 0, 0, -1]


def test_right_guesses_are_counted_among_those_made():
    guesses = np.array([1, 1, -1, -1, 0], np.int8)
    is_in = np.array([True, False, False, True, True])
    assert count_right(guesses, is_in) == Guesses(canaries=5, made=4, right=2)
