"""What patient-level privacy has a site of n patients do: how many steps, whom, with which noise.

Derived at the site from its own number of patients, and by a server that knows that number. The
number itself is not protected: it decides how many steps there are.
"""

from dataclasses import dataclass
from functools import lru_cache

from fedcxr.config.privacy import PrivacyConfig
from fedcxr.config.train import TrainConfig
from fedcxr.errors import ConfigError
from fedcxr.privacy.accounting import (
    Account,
    Sampling,
    account,
    composed_epsilon,
    smallest_noise,
)
from fedcxr.privacy.dp_sgd import Mechanism
from fedcxr.training.private_loop import PrivateSteps

DELTA_SHARE = 0.1
"""Of 1/patients: δ where none is given."""


@dataclass(frozen=True, slots=True)
class PrivatePlan:
    """A site's steps over a whole run."""

    patients: int
    """n: with training images."""
    batch: int
    """Expected number of patients in a step."""
    steps: int
    """A round."""
    rounds: int
    noise: float
    """σ."""
    delta: float
    clip: float
    """C."""
    physical_batch: int

    @property
    def rate(self) -> float:
        """q: the probability with which a step takes a patient."""
        return self.batch / self.patients

    @property
    def of_a_round(self) -> PrivateSteps:
        """The steps of one round."""
        mechanism = Mechanism(self.clip, self.noise, float(self.batch), self.physical_batch)
        return PrivateSteps(self.patients, self.steps, self.rate, mechanism)

    def epsilon_after(self, rounds: int) -> float:
        """Return ε by RDP after so many rounds."""
        if rounds == 0:
            return 0.0
        return composed_epsilon({(self.noise, self.rate): rounds * self.steps}, self.delta)

    def account_after(self, rounds: int) -> Account:
        """Return ε by both accountants after so many rounds, at least one."""
        steps = rounds * self.steps
        return account(Sampling(self.patients, self.batch, steps, self.delta), self.noise)


def private_plan(
    privacy: PrivacyConfig, train: TrainConfig, *, rounds: int, patients: int
) -> PrivatePlan:
    """Return the plan of a site.

    Args:
        privacy: the run's, of level `patient`.
        train: the run's; its batch size is the expected number of patients in a step.
        rounds: of the run; a site that sits some out spends less.
        patients: n, at least 1.

    Raises:
        ConfigError: δ is not below 1/n, ε cannot be reached, or Opacus is not installed.
    """
    delta = DELTA_SHARE / patients if privacy.delta is None else privacy.delta
    if not delta < 1 / patients:
        raise ConfigError(
            f"privacy.delta = {delta:g}: expected below 1/patients, and a site of {patients:,} "
            f"patients has {1 / patients:.3g}; at that, to publish one patient outright would "
            "pass. Lower it, or leave it out."
        )
    batch = min(train.batch_size, patients)
    steps = train.local_epochs * -(-patients // batch)
    steps = min(train.max_steps, steps) if train.max_steps else steps
    noise = privacy.noise
    if noise is None:
        noise = _noise(patients, batch, steps * rounds, delta, privacy.epsilon or 0.0)
    return PrivatePlan(
        patients, batch, steps, rounds, noise, delta, privacy.clip, privacy.physical_batch
    )


@lru_cache(maxsize=1024)
def _noise(patients: int, batch: int, steps: int, delta: float, epsilon: float) -> float:
    """Return σ, kept: a site asks for the same in every round."""
    return smallest_noise(Sampling(patients, batch, steps, delta), epsilon)
