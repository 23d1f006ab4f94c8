"""What noise costs and gives: ε of Poisson-sampled steps with Gaussian noise, by two accountants.

Each step takes each of n patients with probability q, adds up what each taken one contributes,
clipped to C, and adds Gaussian noise of deviation σC. Accountants are Opacus's, which comes with
the extra `privacy`: RDP (Mironov et al. 2019, "Rényi differential privacy of the sampled Gaussian
mechanism") and PRV (Gopi et al. 2021, "Numerical composition of differential privacy"). Both give
upper bounds under adding or removing one patient; PRV's is tighter. Not for what is not sampled so:
for shuffled batches the number does not hold.
"""

import importlib.util
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from fedcxr.errors import ConfigError

MAX_EPSILON = 100.0
"""Above it nothing is protected, and PRV is not computed."""

MIN_NOISE, MAX_NOISE = 0.01, 1e6
"""Between which σ is looked for."""

_MAX_MESH = 2**22
"""Points of PRV's mesh: 32 MiB an array."""
_PRECISION = 1e-3
"""Relative, of a σ that was looked for."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which steps are accounted for.

    Raises:
        ConfigError: a number is out of range.
    """

    patients: int
    """n; where an image is the unit, images."""
    batch: float
    """Expected number of patients in a step."""
    steps: int
    delta: float

    def __post_init__(self) -> None:
        if self.patients < 1:
            raise ConfigError(f"--patients {self.patients}: expected at least 1.")
        if not 1 <= self.batch <= self.patients:
            raise ConfigError(
                f"--batch {self.batch}: expected 1 to {self.patients:,}, the number of patients."
            )
        if self.steps < 1:
            raise ConfigError("No step is taken: epochs, rounds and steps start at 1.")
        if not 0 < self.delta < 1 / self.patients:
            raise ConfigError(
                f"--delta {self.delta:g}: expected a number above 0 and below 1/patients = "
                f"{1 / self.patients:.3g}; at that, to publish one patient outright would pass."
            )

    @property
    def rate(self) -> float:
        """q: the probability with which a step takes a patient."""
        return self.batch / self.patients


@dataclass(frozen=True, slots=True)
class Account:
    """A noise and what it gives."""

    noise: float
    """σ: the noise's deviation over the clipping bound."""
    rdp: float
    """ε by RDP."""
    prv: float | None
    """ε by PRV; None above `MAX_EPSILON`, and where the accountant's own checks fail."""


def steps_of_epochs(epochs: int, patients: int, batch: int) -> int:
    """Return the steps that take each patient `epochs` times on average, rounded up.

    >>> steps_of_epochs(10, patients=191_027, batch=64)
    29848
    """
    return -(-epochs * patients // batch) if batch > 0 else 0


def account(sampling: Sampling, noise: float) -> Account:
    """Return ε of a noise by both accountants.

    Raises:
        ConfigError: the noise is not above 0 or not finite, or Opacus is not installed.
    """
    if not MIN_NOISE <= noise <= MAX_NOISE:
        raise ConfigError(
            f"--noise {noise:g}: expected a number from {MIN_NOISE:g} to {MAX_NOISE:g}; it is the "
            "deviation of the noise over the clipping bound, such as 1.0."
        )
    require_opacus()
    return Account(noise, epsilon_by_rdp(sampling, noise), epsilon_by_prv(sampling, noise))


def noise_for(sampling: Sampling, epsilon: float) -> tuple[Account, Account]:
    """Return the smallest noise whose ε is at most the one asked for, by RDP and by PRV.

    Each σ is found by bisection, to a thousandth of itself and never below what is needed.

    Raises:
        ConfigError: ε is out of range or cannot be reached, or Opacus is not installed.
    """
    by_rdp = smallest_noise(sampling, epsilon)
    by_prv = _smallest(
        lambda noise: _or_infinite(epsilon_by_prv(sampling, noise)), epsilon, start=by_rdp
    )
    return account(sampling, by_rdp), account(sampling, by_prv)


def smallest_noise(sampling: Sampling, epsilon: float) -> float:
    """Return the smallest noise whose ε by RDP is at most `epsilon`, as `noise_for` finds it.

    Raises:
        ConfigError: ε is out of range or cannot be reached, or Opacus is not installed.
    """
    if not 0 < epsilon <= MAX_EPSILON:
        raise ConfigError(
            f"--epsilon {epsilon:g}: expected a number above 0 and up to {MAX_EPSILON:g}; "
            "above that nothing is protected."
        )
    require_opacus()
    return _smallest(lambda noise: epsilon_by_rdp(sampling, noise), epsilon, start=1.0)


def composed_epsilon(steps: Mapping[tuple[float, float], int], delta: float) -> float:
    """Return ε by RDP of all these steps together; `ImportError` without Opacus.

    Args:
        steps: by noise and sampling rate, how many steps were taken.
        delta: δ.
    """
    from opacus.accountants import RDPAccountant  # an extra, and it imports torch

    accountant = RDPAccountant()
    accountant.history = [(noise, rate, count) for (noise, rate), count in steps.items()]
    with warnings.catch_warnings():
        # The best of its orders is the first or the last: a looser bound, but a bound.
        warnings.filterwarnings("ignore", "Optimal order is the (smallest|largest) alpha")
        return float(accountant.get_epsilon(delta=delta))


def epsilon_by_rdp(sampling: Sampling, noise: float) -> float:
    """Return ε by Rényi differential privacy; `ImportError` without Opacus."""
    return composed_epsilon({(noise, sampling.rate): sampling.steps}, sampling.delta)


def epsilon_by_prv(sampling: Sampling, noise: float) -> float | None:
    """Return ε by privacy random variables, its numerical error added; None if not computed.

    Raises:
        ImportError: Opacus is not installed.
    """
    from opacus.accountants import PRVAccountant  # an extra, and it imports torch

    roughly = epsilon_by_rdp(sampling, noise)
    if roughly > MAX_EPSILON:
        return None
    accountant = PRVAccountant()
    accountant.history = [(noise, sampling.rate, sampling.steps)]
    # A sampling rate of 1 divides by zero inside, to an infinity that is the right limit.
    with warnings.catch_warnings(), np.errstate(divide="ignore"):
        warnings.filterwarnings("ignore", "Optimal order is the (smallest|largest) alpha")
        try:
            found = accountant.get_epsilon(
                delta=sampling.delta, eps_error=_prv_error(sampling, noise, roughly)
            )
        except (ValueError, RuntimeError):  # its checks of its own precision
            return None
    return float(found) if math.isfinite(found) else None


def require_opacus() -> None:
    """Raise `ConfigError` if the extra `privacy` is not installed."""
    if importlib.util.find_spec("opacus") is None:
        raise ConfigError(
            "ε is computed by Opacus, which is not installed. "
            "Install it with: pip install 'fedcxr[privacy]'"
        )


def _prv_error(sampling: Sampling, noise: float, epsilon: float) -> float:
    """Return the error of ε to ask PRV for: half a percent, or what a mesh of bounded size gives.

    The mesh reaches to ε at a 4,000th of δ and is as fine as `PRVAccountant._get_domain` makes it.
    """
    strict = Sampling(sampling.patients, sampling.batch, sampling.steps, sampling.delta / 4_000)
    reach = max(epsilon_by_rdp(strict, noise), 1.0) + 3
    spread = math.sqrt(sampling.steps * math.log(12_000 / sampling.delta) / 2)
    return max(0.005 * min(epsilon, 10.0), 2 * reach * spread / _MAX_MESH)


def _smallest(epsilon_of: Callable[[float], float], epsilon: float, start: float) -> float:
    """Return the smallest noise whose ε is at most `epsilon`, looked for from `start` on.

    Raises:
        ConfigError: none up to `MAX_NOISE` is.
    """
    low, high = start / 2, start
    while epsilon_of(high) > epsilon:
        low, high = high, 2 * high
        if high > MAX_NOISE:
            raise ConfigError(
                f"--epsilon {epsilon:g}: no noise up to {MAX_NOISE:g} is enough for it at this δ. "
                "Ask for a larger ε."
            )
    while low > MIN_NOISE and epsilon_of(low) <= epsilon:
        low, high = low / 2, low
    while high - low > _PRECISION * high:
        middle = math.sqrt(low * high)
        if epsilon_of(middle) > epsilon:
            low = middle
        else:
            high = middle
    return high


def _or_infinite(epsilon: float | None) -> float:
    return math.inf if epsilon is None else epsilon
