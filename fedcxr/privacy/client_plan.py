"""What client-level privacy does in a run: with which probability a site is asked, how much noise.

Each site takes part in a round with probability q, by itself. What it sends, a whole update, is
shortened to C; the server adds the shortened updates up, adds N(0, (σC)²) once, and divides by the
expected number of sites, q·N. A site that was drawn and does not answer contributes 0, which is no
longer than C. So each round is one step of the sampled Gaussian mechanism, whose unit is the site.

Secure aggregation has no sum of fewer than three. Of a round that draws fewer the sum is 0, and
noise alone is added. That moves the bound in one case: with exactly two others drawn, the site that
joins them brings their updates along, three times C. The probability of this in any round, p, is
kept back from δ. Given that it does not happen, and which others are drawn, a round with the site
differs from one without by its own update or by nothing, as without secure aggregation. (In either
direction: P(A) ≤ p + e^ε P'(A) + δ', so δ = δ' + p.)

Source: McMahan et al. 2018, "Learning differentially private recurrent language models", algorithm
1 with the fixed-denominator estimator and flat clipping; uniform weights.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

from fedcxr.config.privacy import PrivacyConfig
from fedcxr.errors import ConfigError
from fedcxr.privacy.accounting import Account, Sampling, account, smallest_noise
from fedcxr.privacy.adaptive_clip import COUNT_SHARE, updates_noise
from fedcxr.secagg.graph import FEWEST_SITES

DELTA_SHARE = 0.1
"""Of 1/sites: δ where none is given."""
FEWEST = 2.0
"""Expected sites in a round: the noise is divided by them."""
MOST_KEPT_BACK = 0.5
"""Of δ, for rounds in which one site decides whether there is a sum."""


@dataclass(frozen=True, slots=True)
class ClientPlan:
    """A run's rounds."""

    sites: int
    """N."""
    rate: float
    """q: with which probability a round asks a site."""
    rounds: int
    noise: float
    """σ."""
    delta: float
    clip: float
    """C; of the first round where it adapts."""
    adaptive: bool = False
    """Whether C follows the length of the updates."""
    kept_back: float = 0.0
    """p, of δ: that in some round one site decides whether secure aggregation has a sum."""

    @property
    def expected(self) -> float:
        """q·N: what a round's sum is divided by."""
        return self.rate * self.sites

    @property
    def updates_noise(self) -> float:
        """The noise of the updates over C: σ, or more where a count is noised beside them."""
        found = updates_noise(self.noise, self.expected) if self.adaptive else self.noise
        assert found is not None, "a plan's noise leaves room for the count's"
        return found

    def deviation(self, clip: float) -> float:
        """Return that of the noise in the mean, of a round whose bound is `clip`."""
        return self.updates_noise * clip / self.expected

    def account_after(self, rounds: int) -> Account:
        """Return ε by both accountants after so many rounds, at least one."""
        return self._account(self.expected, rounds)

    def account_unsampled(self, rounds: int) -> Account:
        """Return ε against who knows who was drawn in each round: chance amplifies nothing."""
        return self._account(self.sites, rounds)

    def _account(self, drawn: float, rounds: int) -> Account:
        delta = self.delta - self.kept_back
        return account(Sampling(self.sites, drawn, rounds, delta), self.noise)


def client_plan(
    privacy: PrivacyConfig, *, sites: int, fraction: float, rounds: int, is_secure: bool = False
) -> ClientPlan:
    """Return the plan of a run.

    Args:
        privacy: the run's, of level `client`.
        sites: N of the partition.
        fraction: q.
        rounds: of the run; one that ends early spends less.
        is_secure: whether updates are summed by secure aggregation.

    Raises:
        ConfigError: too few sites a round, δ not below 1/N, an ε that cannot be reached, or rounds
            that are too often too small for secure aggregation.
    """
    expected = fraction * sites
    if expected < FEWEST:
        raise ConfigError(
            f"privacy.level = client: a round expects server.fraction·sites = {expected:g} sites, "
            f"and {FEWEST:g} are the least; the noise is divided by them. Raise server.fraction, "
            "or take --privacy patient, which is for few sites."
        )
    delta = delta_of_sites(privacy, sites)
    kept_back = _kept_back(sites, fraction, rounds, delta) if is_secure else 0.0
    noise = privacy.noise
    if noise is None:
        noise = _noise(sites, expected, rounds, delta - kept_back, privacy.epsilon or 0.0)
    if privacy.adaptive_clip and updates_noise(noise, expected) is None:
        raise ConfigError(
            f"privacy.adaptive_clip: σ = {noise:.4g} is more than the noise of its count allows, "
            f"{2 * COUNT_SHARE * expected:.4g} where a round expects {expected:g} sites. Leave it "
            "out, raise server.fraction, or take more sites or a larger ε."
        )
    clip, adaptive = privacy.clip, privacy.adaptive_clip
    return ClientPlan(sites, fraction, rounds, noise, delta, clip, adaptive, kept_back)


def delta_of_sites(privacy: PrivacyConfig, sites: int) -> float:
    """Return δ of a run whose unit is the site.

    Raises:
        ConfigError: it is not below 1/sites.
    """
    delta = DELTA_SHARE / sites if privacy.delta is None else privacy.delta
    if not delta < 1 / sites:
        raise ConfigError(
            f"privacy.delta = {delta:g}: expected below 1/sites = {1 / sites:.3g}; at that, to "
            "publish one site's update outright would pass. Lower it, or leave it out."
        )
    return delta


def deciding(others: int, rate: float) -> float:
    """Return the probability that a round draws a site, and of the others one too few for a sum.

    >>> deciding(3, 1.0), deciding(2, 1.0), deciding(4, 0.5)  # ½ · 6/16
    (0.0, 1.0, 0.1875)
    """
    few = FEWEST_SITES - 1
    return rate * math.comb(others, few) * rate**few * (1 - rate) ** (others - few)


def _kept_back(sites: int, rate: float, rounds: int, delta: float) -> float:
    """Return p over all rounds, whether the site is one of the N or one more.

    Raises:
        ConfigError: it is more than `MOST_KEPT_BACK` of δ.
    """
    most = MOST_KEPT_BACK * delta
    kept_back = _of_all_rounds(sites, rate, rounds)
    if kept_back > most:
        larger = (percent / 100 for percent in range(5, 101, 5) if percent / 100 > rate)
        enough = (each for each in larger if _of_all_rounds(sites, each, rounds) <= most)
        fraction = next(enough, None)
        advice = "Take at least four sites" if fraction is None else f"Take {fraction:g} or more"
        raise ConfigError(
            f"server.fraction = {rate:g}: under privacy.level=client with "
            f"server.secure_aggregation a sum needs {FEWEST_SITES} sites, and with probability "
            f"{kept_back:.2g} one of {sites} decides in some round whether it has them; of δ = "
            f"{delta:.2g} at most {MOST_KEPT_BACK:.0%} may go there. {advice}, fewer rounds, or do "
            "without one of the two."
        )
    return kept_back


def _of_all_rounds(sites: int, rate: float, rounds: int) -> float:
    return rounds * max(deciding(sites - 1, rate), deciding(sites, rate))


@lru_cache(maxsize=64)
def _noise(sites: int, expected: float, rounds: int, delta: float, epsilon: float) -> float:
    return smallest_noise(Sampling(sites, expected, rounds, delta), epsilon)
