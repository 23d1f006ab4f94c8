"""What an audit of DP-SGD runs, and with which power it finds which breach.

The power is computed before anything is audited, from what each breach does to a canary's score:
how long a canary's contribution is, and how much noise is left to who knows the run's seed.
"""

import math
from dataclasses import dataclass

import numpy as np

from fedcxr.errors import ConfigError
from fedcxr.privacy.accounting import Sampling
from fedcxr.privacy.audit import count_right, fewest_right, guess

CANARY_IMAGES = 4
LENGTH = 10.0
"""Of a gradient, in multiples of the clipping bound."""
CONFIDENCE = 0.95
LOOKS = 2
"""Ways in which the auditor scores: what it sees, and that less the noise of the run's seed."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A site's training, and the canaries in it.

    Raises:
        ConfigError: a number is out of range.
    """

    sampling: Sampling
    """Of the site's patients, all canaries among them."""
    noise: float
    """σ."""
    canaries: int = 1_000
    guesses: int = 200

    def __post_init__(self) -> None:
        if not 1 <= self.canaries <= self.sampling.patients:
            raise ConfigError(
                f"--canaries {self.canaries}: expected 1 to {self.sampling.patients:,}, the number "
                "of patients, since they are among them."
            )
        if not 1 <= self.guesses <= self.canaries:
            raise ConfigError(
                f"--guesses {self.guesses}: expected 1 to {self.canaries:,}, the number of "
                "canaries."
            )

    @property
    def confidence_of_a_look(self) -> float:
        """By Bonferroni, so that all looks together keep the confidence."""
        return 1 - (1 - CONFIDENCE) / LOOKS


@dataclass(frozen=True, slots=True)
class Breach:
    """What a mechanism lets through."""

    contribution: float
    """Of a canary to a step's sum, in multiples of C."""
    noise: float
    """Deviation of a step's noise, in multiples of C."""


def power(trial: Trial, breach: Breach, epsilon: float, studies: int = 400) -> float:
    """Return how often an audit of this trial contradicts ε, if the mechanism has this breach.

    Args:
        trial: what is run.
        breach: of the mechanism.
        epsilon: claimed.
        studies: simulated ones; with all of them successful the power is above 99 % (the lower
            bound at 95 % is 1 − 3/studies).
    """
    sampling = trial.sampling
    needed = fewest_right(
        trial.canaries, trial.guesses, epsilon, sampling.delta, trial.confidence_of_a_look
    )
    if needed is None:
        return 0.0
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(studies):
        is_in = rng.random(trial.canaries) < 0.5
        times = rng.binomial(sampling.steps, sampling.rate, trial.canaries)
        noise = math.sqrt(sampling.steps) * breach.noise * rng.standard_normal(trial.canaries)
        scores = is_in * times * breach.contribution + noise
        found += count_right(guess(scores, trial.guesses), is_in).right >= needed
    return found / studies


def of_a_clipped_mean(trial: Trial) -> float:
    """Return what a canary contributes where the batch's mean is clipped, in multiples of C.

    All gradients of a batch are as good as orthogonal and of one length, so their sum has √k times
    that length, and clipped to C each is C/√k of it; the step multiplies by the expected k.
    """
    present = trial.sampling.patients - trial.canaries / 2
    drawn = max(1.0, trial.sampling.rate * present)
    return trial.sampling.batch * min(LENGTH / drawn, 1 / math.sqrt(drawn))
