import math

import numpy as np
import pytest
from scipy.stats import norm

from fedcxr.errors import ConfigError
from fedcxr.privacy.accounting import Sampling
from fedcxr.privacy.audit import fewest_right
from fedcxr.privacy.trial import Breach, Trial, of_a_clipped_mean, power

SAMPLING = Sampling(patients=2_000, batch=200, steps=100, delta=5e-5)


def test_the_two_looks_share_the_error():
    assert Trial(SAMPLING, 2.0).confidence_of_a_look == pytest.approx(0.975)


def test_without_noise_the_power_is_whole_and_with_much_noise_none():
    trial = Trial(SAMPLING, 2.0)
    assert power(trial, Breach(1.0, 0.0), 2.0, studies=50) == 1.0
    assert power(trial, Breach(1.0, 1_000.0), 2.0, studies=50) == 0.0


def test_the_power_of_a_gaussian_step_is_the_one_of_its_formula():
    # one step that takes everybody, one guess in and one out of two canaries, ε = 0: both are
    # guessed right if one is in (probability ½) and scores higher: ½ Φ(1 / (σ√2)).
    # With that few guesses nothing is contradicted, so the law is asked of the guesses' number:
    # of r = m = 400 guesses each is right about with probability Φ(1 / 2σ).
    sampling, sigma = Sampling(patients=400, batch=400, steps=1, delta=1e-9), 0.5
    trial = Trial(sampling, sigma, canaries=400, guesses=400)
    right = 400 * norm.cdf(1 / (2 * sigma))
    spread = 3 * math.sqrt(400 * 0.25)
    below, above = (_epsilon_needing(trial, right + sign * spread) for sign in (-1, 1))
    assert power(trial, Breach(1.0, sigma), below, studies=100) == 1.0
    assert power(trial, Breach(1.0, sigma), above, studies=100) == 0.0


def _epsilon_needing(trial, right):
    """Return an ε that takes about so many right guesses to contradict."""
    confidence = trial.confidence_of_a_look
    for epsilon in np.arange(0, 6, 0.02):
        fewest = fewest_right(trial.canaries, trial.guesses, epsilon, 1e-9, confidence)
        if fewest >= right:
            return epsilon
    raise AssertionError


def test_an_epsilon_beyond_the_guesses_is_never_contradicted():
    # 200 right of 200 at 97.5 %, δ = 0: 0.025^(1/200) = 0.9817, so ε̂ ≤ 3.98
    trial = Trial(Sampling(patients=2_000, batch=200, steps=100, delta=1e-12), 0.8)
    assert power(trial, Breach(1.0, 0.0), 3.9, studies=10) == 1.0
    assert power(trial, Breach(1.0, 0.0), 4.0, studies=10) == 0.0


def test_a_clipped_mean_lets_a_canary_through_as_by_hand():
    # 1,500 present on average, a tenth drawn: 150 orthogonal gradients of 10 C have a mean of
    # 10/√150 C, shorter than C; each is 10/150 of it, and the step multiplies by 200
    assert of_a_clipped_mean(Trial(SAMPLING, 2.0)) == pytest.approx(200 * 10 / 150)
    # 15 drawn: the mean, 10/√15 C, is shortened to C, of which each is C/√15
    few = Sampling(patients=2_000, batch=20, steps=1, delta=1e-5)
    assert of_a_clipped_mean(Trial(few, 2.0)) == pytest.approx(20 / math.sqrt(15))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"canaries": 0}, "--canaries 0: expected 1 to 2,000, the number of patients"),
        ({"canaries": 2_001}, "--canaries 2001: expected 1 to 2,000"),
        ({"guesses": 0}, "--guesses 0: expected 1 to 1,000, the number of canaries"),
        ({"guesses": 1_001}, "--guesses 1001: expected 1 to 1,000"),
    ],
)
def test_a_trial_out_of_range_is_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        Trial(SAMPLING, 2.0, **change)
