"""What an arm added to the sites' real images, over its trainings: a VAE's samples, or a control.

From the sites' own numbers, as far as their owners let them out, and from the plan: in a simulation
everybody knows whose label vectors are added.
"""

from fedcxr.config.vae import Added
from fedcxr.results.vae_numbers import SiteVae
from fedcxr.section import Section


class SiteAdded(Section):
    """What one site said in one training."""

    seed: int
    partition: int = 0
    """Which of the draws of patients to sites, from 0."""
    told: SiteVae


class AddedImages(Section):
    """What an arm added; numbers are of all sites together, means over the seeds."""

    kind: Added
    real: float
    """Training images that were there before."""
    planned: float
    """To be added: the same in every arm of a study."""
    images: float | None
    """That were added; None where a site did not say."""
    real_positives: dict[str, float]
    """By label, of the real training images."""
    positives: dict[str, float]
    """By label, of those planned at sites that did not go without."""
    sites: tuple[SiteAdded, ...]

    @property
    def without(self) -> tuple[SiteAdded, ...]:
        """The sites that went without, training by training."""
        return tuple(one for one in self.sites if one.told.numbers.status not in (0, None))

    @property
    def refused(self) -> float:
        """Samples that were dropped as copies, over all trainings, as far as sites said."""
        return sum(one.told.numbers.refused or 0 for one in self.sites)
