"""What local privacy of updates does in a run: how much noise a site adds to each of its own.

A site shortens its whole update to C and adds N(0, (σC)²) to each of its numbers before it sends
it. So each round is one Gaussian mechanism over all that the site has. Who looks is the server, and
it knows whom it has asked: sampling amplifies nothing, and every round of the run counts.

Source: Dwork and Roth 2014, "The algorithmic foundations of differential privacy", appendix A (the
Gaussian mechanism); the rounds are composed as in `accounting.py`, with q = 1.
"""

from dataclasses import dataclass
from functools import lru_cache

from fedcxr.config.privacy import PrivacyConfig
from fedcxr.errors import ConfigError
from fedcxr.privacy.accounting import Account, Sampling, account, smallest_noise


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """A run's rounds at one site."""

    rounds: int
    noise: float
    """σ."""
    delta: float
    clip: float
    """C."""
    rate: float = 1.0
    """The site contributes to every round, as far as ε goes."""

    @property
    def most_steps(self) -> int:
        """Steps of the whole run: one a round."""
        return self.rounds

    @property
    def deviation(self) -> float:
        """σC: of the noise in each number of an update."""
        return self.noise * self.clip

    def account_after(self, rounds: int) -> Account:
        """Return ε by both accountants after so many rounds, at least one."""
        return account(_sampling(rounds, self.delta), self.noise)


def update_plan(privacy: PrivacyConfig, *, rounds: int) -> UpdatePlan:
    """Return the plan of a run; site and server come to the same by themselves.

    Args:
        privacy: the run's, of level `update`, with its δ.
        rounds: of the run; a site that is asked in fewer spends less.

    Raises:
        ConfigError: there is no δ, ε cannot be reached, or Opacus is not installed.
    """
    if privacy.delta is None:
        raise ConfigError(
            "privacy.delta: the run has none, so a site cannot tell its noise. The server sets it "
            "to a tenth of 1/sites where it is left out; both must run the same version."
        )
    noise = privacy.noise
    if noise is None:
        noise = _noise(rounds, privacy.delta, privacy.epsilon or 0.0)
    return UpdatePlan(rounds, noise, privacy.delta, privacy.clip)


def _sampling(rounds: int, delta: float) -> Sampling:
    """Return one site, which takes part in every round."""
    return Sampling(1, 1.0, rounds, delta)


@lru_cache(maxsize=64)
def _noise(rounds: int, delta: float, epsilon: float) -> float:
    return smallest_noise(_sampling(rounds, delta), epsilon)
