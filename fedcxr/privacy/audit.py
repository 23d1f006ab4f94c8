"""A lower bound of ε from one run: guess which canaries were in it, count what was right.

Steinke, Nasr and Jagielski 2023, "Privacy auditing with one (1) training run". Each of m
canaries is put in with probability ½, independently of the others; whoever sees what the run gave
out makes r guesses and says nothing of the rest. If the run is (ε, δ)-DP, so many right guesses are
at most as likely as theorem 5.2 says, and an ε under which they are too unlikely is contradicted.
Not a measure of privacy: a bound far below the claimed ε says only that these guesses found nothing
wrong.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

LARGEST_EPSILON = 60.0
"""Up to which a bound is looked for: e^-60 is beyond any number of guesses."""

_PRECISION = 1e-6


@dataclass(frozen=True, slots=True)
class Guesses:
    """How guessing went."""

    canaries: int
    """m: guessed or not."""
    made: int
    """r."""
    right: int
    """v."""

    def __post_init__(self) -> None:
        assert 0 <= self.right <= self.made <= self.canaries


def p_value(found: Guesses, epsilon: float, delta: float) -> float:
    """Return the probability of so many right guesses, or more, under (ε, δ)-DP; an upper bound.

    Source: theorem 5.2. With W ~ Binomial(r, e^ε/(1 + e^ε)), how often randomised response is
    right: P[W ≥ v] + 2mδ · max over i of P[v − i ≤ W < v] / i.
    """
    accuracy = special.expit(epsilon)
    at_least = special.bdtrc(found.right - 1, found.made, accuracy)
    beyond = 0.0
    if delta > 0 and found.right > 0:
        missing = np.arange(1, found.right + 1)  # i
        just_below = np.cumsum(_binomial(found.right - missing, found.made, epsilon))
        beyond = 2 * found.canaries * delta * float(np.max(just_below / missing))
    return min(1.0, float(at_least) + beyond)


def epsilon_lower_bound(found: Guesses, delta: float, confidence: float = 0.95) -> float:
    """Return ε̂: with this confidence, the run is not (ε, δ)-DP for any ε below; 0 = nothing found.

    Source: appendix D; where the p-value is 1 − confidence, by bisection.
    """
    level = 1 - confidence
    if p_value(found, 0.0, delta) >= level:
        return 0.0
    low, high = 0.0, LARGEST_EPSILON
    while high - low > _PRECISION:
        middle = (low + high) / 2
        if p_value(found, middle, delta) < level:
            low = middle
        else:
            high = middle
    return low


def fewest_right(
    canaries: int, made: int, epsilon: float, delta: float, confidence: float = 0.95
) -> int | None:
    """Return how many right guesses contradict this ε; None if even all of them would not."""
    low, high = 0, made + 1  # `low` does not, `high` does, or is one more than can be
    while high - low > 1:
        middle = (low + high) // 2
        if p_value(Guesses(canaries, made, middle), epsilon, delta) < 1 - confidence:
            high = middle
        else:
            low = middle
    return high if high <= made else None


def guess(scores: NDArray[np.float64], made: int) -> NDArray[np.int8]:
    """Return (m,) 1 = was in, −1 = was not, 0 = no guess: the highest and the lowest scores.

    Half of the guesses are 1, the odd one too. Equal scores are taken in the order given, which
    must not depend on what was in.
    """
    order = np.argsort(-scores, kind="stable")
    guesses = np.zeros(len(scores), np.int8)
    guesses[order[: math.ceil(made / 2)]] = 1
    guesses[order[len(scores) - made // 2 :]] = -1
    return guesses


def count_right(guesses: NDArray[np.int8], is_in: NDArray[np.bool_]) -> Guesses:
    """Return how many of the guesses were right."""
    right = np.where(is_in, guesses == 1, guesses == -1)
    return Guesses(len(guesses), int(np.count_nonzero(guesses)), int(np.count_nonzero(right)))


def _binomial(successes: NDArray[np.int64], trials: int, epsilon: float) -> NDArray[np.float64]:
    """Return the binomial probabilities of these numbers of successes at e^ε/(1 + e^ε) each."""
    failures = trials - successes
    ways = -np.log1p(trials) - special.betaln(successes + 1, failures + 1)
    logs = successes * special.log_expit(epsilon) + failures * special.log_expit(-epsilon)
    found: NDArray[np.float64] = np.exp(ways + logs)
    return found
