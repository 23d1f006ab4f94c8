"""Attacks on the VAEs of a run's sites: who of a site's patients was its VAE trained on?

The training patients of other sites are no members either, and are not asked about: they come from
another hospital, so that an attack would tell hospitals apart and call it membership.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from fedcxr.attacks.signals import Floats
from fedcxr.attacks.vae_scores import (
    Distances,
    Reconstructed,
    VaeMethod,
    calibrated_score,
    distances,
    elbo_score,
    monte_carlo_score,
    nearest_score,
    reconstructed,
    reconstruction_score,
    vae_methods_of,
)
from fedcxr.errors import DataError
from fedcxr.experiments.membership.attacked_run import Attacked
from fedcxr.experiments.membership.attacked_vae import (
    AttackedVae,
    OpenedVaes,
    open_vaes,
    references_of,
)
from fedcxr.experiments.membership.findings import Aim, Promise, findings, not_identified
from fedcxr.results.membership import Attack, AttackerName, IdentifiedPatients
from fedcxr.seeding import derive_rng, derive_seed
from fedcxr.training.private_vae import one_label

VAE_ATTACKERS: tuple[AttackerName, ...] = ("holder", "recipient")
MOST_REFERENCES = 2
"""VAEs of other sites that an image's difficulty is measured by."""


@dataclass(frozen=True, slots=True)
class AttackedVaes:
    """What the attacks found."""

    attacks: tuple[Attack, ...]
    identified: tuple[IdentifiedPatients, ...]
    vaes: tuple[AttackedVae, ...]
    missing: tuple[str, ...]
    """What was not done, a sentence each."""

    @property
    def members(self) -> int:
        """Patients of all attacked sites that their VAEs were trained on."""
        return sum({attack.site: attack.members for attack in self.attacks}.values())


def attack_vaes(
    attacked: Attacked,
    *,
    attackers: Sequence[AttackerName],
    methods: Sequence[str] | None,
    site: str | None,
    promise: Promise | None,
) -> AttackedVaes:
    """Attack the VAE of a site, or of each.

    Args:
        attacked: the run.
        attackers: of `VAE_ATTACKERS`.
        methods: by name; none = all that can be used.
        site: none = each that has one.
        promise: of the run, whose budget its VAEs are within; none = it makes none.

    Raises:
        ArtefactError: the VAEs are gone, or damaged.
        ConfigError: the run or the site has none, or a method cannot be used.
        DataError: no site has one that can be attacked, or no samples.
    """
    opened = open_vaes(attacked)
    chosen = opened.of(site)
    used = vae_methods_of(methods, attackers, references=len(opened.found) - 1)
    attacks, missing = [], _missing(opened, site)
    for vae in chosen:
        view = _View(attacked, vae, references_of(vae, opened.found, MOST_REFERENCES))
        for method in used:
            if method.attacker == "recipient" and not len(vae.samples):
                continue
            attacks.append(_attack(view, method, promise))
        if "recipient" in attackers and not len(vae.samples):
            missing.append(f"{vae.site} has no samples, so their recipient is left out.")
    if not attacks:
        raise DataError(
            "--attackers recipient: the VAEs have no samples, as where all were dropped as copies. "
            "Attack as the holder."
        )
    people = [not_identified(method, 0, attacked.population.num_patients) for method in used]
    return AttackedVaes(tuple(attacks), tuple(people), chosen, tuple(missing))


class _View:
    """What attackers see of one site's VAE: all is computed when it is first asked for."""

    def __init__(
        self, attacked: Attacked, vae: AttackedVae, references: Sequence[AttackedVae]
    ) -> None:
        population = attacked.population
        self.attacked, self.vae, self._references = attacked, vae, references
        self.who: NDArray[np.bool_] = ~population.is_member | (population.site == vae.site)
        self._asked = self.who[population.patient]

    @cached_property
    def own(self) -> Reconstructed:
        """Of the VAE itself."""
        return self._by(self.vae)

    @cached_property
    def others(self) -> list[Reconstructed]:
        """Of the VAEs of other sites."""
        return [self._by(vae) for vae in self._references]

    @cached_property
    def distances(self) -> Distances:
        """From its samples."""
        population = self.attacked.population
        rows = population.rows[self._asked]
        return distances(self.vae.samples, population.images, rows, size_px=self.vae.size_px)

    def of_all(self, scores: Floats) -> Floats:
        """Return (N,) the scores, nan where nobody asks."""
        found = np.full(len(self._asked), np.nan)
        found[self._asked] = scores
        return found

    def _told(self, target: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the labels that a VAE is told: by DP-SGD it learns one of each image at a time."""
        config, labels = self.attacked.model.config, self.attacked.model.labels
        if config.privacy.level != "patient":
            return target
        sampled = [c for c, name in enumerate(labels) if name in (config.vae.labels or labels)]
        rng = derive_rng(config.seed, "label of an attack on a VAE", self.vae.site)
        told = rng.choice(sampled, len(target))
        return one_label(torch.from_numpy(target), told).numpy()

    def _by(self, vae: AttackedVae) -> Reconstructed:
        population, model = self.attacked.population, self.attacked.model
        return reconstructed(
            vae.model,
            population.images,
            population.rows[self._asked],
            self._told(population.target[self._asked]),
            size_px=vae.size_px,
            device=model.device,
            seed=derive_seed(model.config.seed, "attack on a VAE", self.vae.site),
        )


def _attack(view: _View, method: VaeMethod, promise: Promise | None) -> Attack:
    site = view.vae.site
    return findings(
        view.of_all(_scored(view, method)),
        view.attacked.population,
        Aim(method.attacker, site, view.who, 1, home=site),
        method,
        seed=view.attacked.model.config.seed,
        promise=promise,
    )


def _scored(view: _View, method: VaeMethod) -> Floats:
    if method.name == "calibrated":
        return calibrated_score(view.own, view.others)
    if method.attacker == "holder":
        by_own = {"reconstruction": reconstruction_score, "elbo": elbo_score}
        return by_own[method.name](view.own)
    by_samples = {"nearest": nearest_score, "monte-carlo": monte_carlo_score}
    return by_samples[method.name](view.distances)


def _missing(opened: OpenedVaes, site: str | None) -> list[str]:
    """Return which sites are not attacked, a sentence each."""
    without = {} if site else opened.without
    return [f"{name} {reason}, so it is not attacked." for name, reason in without.items()]
