"""What patient-level privacy has a site of n patients do: how many steps, whom, with which noise.

Derived at the site from its own number of patients, and by a server that knows that number. The
number itself is not protected: it decides how many steps there are.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from fedcxr.config.privacy import PrivacyConfig
from fedcxr.config.train import TrainConfig
from fedcxr.config.vae import VaeConfig
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
    vae_steps: int = 0
    """Of each of the site's VAEs, with the same q and σ; 0 = it trains none."""
    vae_every: int | None = None
    """Rounds from one VAE to the next; none = one in the run."""

    @property
    def rate(self) -> float:
        """q: the probability with which a step takes a patient."""
        return self.batch / self.patients

    @property
    def of_a_round(self) -> PrivateSteps:
        """The steps of one round."""
        return self.of_a_round_with(0)

    @property
    def of_a_vae(self) -> PrivateSteps:
        """The steps of one VAE."""
        mechanism = Mechanism(self.clip, self.noise, float(self.batch), self.physical_batch)
        return PrivateSteps(self.patients, self.vae_steps, self.rate, mechanism)

    def of_a_round_with(self, samples: int) -> PrivateSteps:
        """Return the steps of one round in which each sample counts as a patient of its own.

        The sum is divided by the expected number of both, q(n + S): a constant of n and S, so that
        the noise over what one patient moves stays σ.
        """
        expected = self.rate * (self.patients + samples)
        mechanism = Mechanism(self.clip, self.noise, expected, self.physical_batch)
        return PrivateSteps(self.patients + samples, self.steps, self.rate, mechanism)

    @property
    def most_steps(self) -> int:
        """Steps of the whole run, the VAEs' among them."""
        return self.steps_after(self.rounds)

    def steps_after(self, rounds: int) -> int:
        """Return the steps of so many rounds, and of the VAEs that were due in them."""
        vaes = min(rounds, 1) if self.vae_every is None else -(-rounds // self.vae_every)
        return rounds * self.steps + vaes * self.vae_steps

    def epsilon_after(self, rounds: int) -> float:
        """Return ε by RDP after so many rounds."""
        if rounds == 0:
            return 0.0
        return composed_epsilon({(self.noise, self.rate): self.steps_after(rounds)}, self.delta)

    def account_after(self, rounds: int) -> Account:
        """Return ε by both accountants after so many rounds, at least one."""
        steps = self.steps_after(rounds)
        return account(Sampling(self.patients, self.batch, steps, self.delta), self.noise)


def private_plan(
    privacy: PrivacyConfig,
    train: TrainConfig,
    *,
    rounds: int,
    patients: int,
    vae: VaeConfig | None = None,
) -> PrivatePlan:
    """Return the plan of a site.

    Args:
        privacy: the run's, of level `patient`.
        train: the run's; its batch size is the expected number of patients in a step.
        rounds: of the run; a site that sits some out spends less.
        patients: n, at least 1.
        vae: the run's, whose steps count from the round on in which one is due; none = no VAE.

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
    plan = PrivatePlan(
        patients, batch, steps, rounds, 0.0, delta, privacy.clip, privacy.physical_batch
    )
    if vae is not None and trains_vae(vae, patients):
        vae_steps = vae.epochs * -(-patients // batch)
        plan = replace(plan, vae_steps=vae_steps, vae_every=vae.every)
    noise = privacy.noise
    if noise is None:
        noise = _noise(patients, batch, plan.most_steps, delta, privacy.epsilon or 0.0)
    return replace(plan, noise=noise)


def trains_vae(vae: VaeConfig, patients: int) -> bool:
    """Return whether a site of so many training patients has a VAE under patient-level privacy.

    `vae.min_images` counts patients then: one patient more or less may change the number of images
    by any number, and what it decides is seen from outside.
    """
    return vae.trains and patients >= vae.min_images


@lru_cache(maxsize=1024)
def _noise(patients: int, batch: int, steps: int, delta: float, epsilon: float) -> float:
    """Return σ, kept: a site asks for the same in every round."""
    return smallest_noise(Sampling(patients, batch, steps, delta), epsilon)
