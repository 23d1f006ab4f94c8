"""The VAEs of a run's simulated sites, opened for an attack where the sites keep them.

Not those of real sites, which no server can open, nor of a run folder that was moved: what shows
patients' pixels lies beside the run, under a name made of the run's place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clients.vae_files import KeptVae, VaeFiles
from fedcxr.config.vae import VaeStatus
from fedcxr.errors import ArtefactError, ConfigError, DataError, some
from fedcxr.experiments.membership.attacked_run import Attacked
from fedcxr.experiments.membership.population import FEWEST
from fedcxr.home import site_state
from fedcxr.models.group_norm import use_group_norm
from fedcxr.models.vae import ConditionalVae, build_vae, vae_size
from fedcxr.results.vae_numbers import VaeNumbers


@dataclass(frozen=True, slots=True, eq=False)
class AttackedVae:
    """The newest VAE of a site, and its samples."""

    site: str
    model: ConditionalVae
    """In evaluation mode, on the run's device."""
    samples: NDArray[np.uint8]
    """(S, H, H), those that the site trains on; S may be 0."""
    size_px: int
    """Side of what it sees and makes."""
    epochs: int


@dataclass(frozen=True, slots=True)
class OpenedVaes:
    """The VAEs of all sites that have one."""

    found: tuple[AttackedVae, ...]
    without: dict[str, str]
    """Why a site is not attacked, as the end of a sentence about it."""

    def of(self, site: str | None) -> tuple[AttackedVae, ...]:
        """Return the VAE of a site, or all.

        Raises:
            ConfigError: the site has none, or too few patients.
            DataError: no site has one that can be attacked.
        """
        if site in self.without:
            raise ConfigError(f"--site {site}: it {self.without[site]}. Name another site.")
        chosen = [vae for vae in self.found if site in (None, vae.site)]
        attackable = tuple(vae for vae in chosen if vae.site not in self.without)
        if not attackable:
            why = some([f"{name} {reason}" for name, reason in self.without.items()])
            raise DataError(
                f"no site has a VAE to attack: {why}. Train with more patients at each site, or "
                "with a smaller vae.min_images."
            )
        return attackable


def open_vaes(attacked: Attacked) -> OpenedVaes:
    """Return the VAEs of a run's sites.

    Raises:
        ArtefactError: they are gone, or damaged, or of another run.
        ConfigError: the run has none.
    """
    config, folder = attacked.model.config, attacked.folder
    if not config.vae.trains:
        added = f"vae.added={config.vae.added} trains none" if config.vae.enabled else "no --vae"
        raise ConfigError(
            f"--target vae: the sites of {folder} have no VAE ({added}). Train with --vae."
        )
    kept_in = site_state(folder)
    if not kept_in.is_dir():
        raise ArtefactError(
            f"{kept_in}: missing. The VAEs of the run's sites were there; they are gone if it was "
            "cleaned up, if the run folder was moved, or if real sites trained. Train anew."
        )
    found, without = [], {}
    for site in attacked.sites:
        kept = VaeFiles(kept_in / site / folder.absolute().name).newest()
        reason = _why_not(attacked, site, kept)
        if reason is not None:
            without[site] = reason
        if kept is not None and kept.weights:
            found.append(_opened(attacked, site, kept))
    return OpenedVaes(tuple(found), without)


def references_of(vae: AttackedVae, vaes: Sequence[AttackedVae], most: int) -> list[AttackedVae]:
    """Return VAEs of other sites, the next ones in order and the first again after the last."""
    place = list(vaes).index(vae)
    return [*vaes[place + 1 :], *vaes[:place]][:most]


def _why_not(attacked: Attacked, site: str, kept: KeptVae | None) -> str | None:
    """Return why a site's VAE is not attacked, if it is not."""
    if kept is None:
        return "keeps no VAE: it was in no round, or its files were removed"
    if not kept.weights:
        status = kept.numbers.get("vae-status", VaeStatus.MADE)
        if status == VaeStatus.MADE:
            return "trained without samples"
        return VaeNumbers.from_wire({"vae-status": status}).status_words()
    members = int((attacked.population.site == site).sum())
    if members < FEWEST:
        return f"has {members} training patients, and an attack needs {FEWEST}"
    return None


def _opened(attacked: Attacked, site: str, kept: KeptVae) -> AttackedVae:
    config, device = attacked.model.config, attacked.model.device
    if kept.key.labels != attacked.model.labels:
        raise ArtefactError(
            f"{site}: the VAE there was made for other labels than those of the run. Train anew."
        )
    size = vae_size(config.vae, config.model.image_size)
    model = build_vae(config.vae, size_px=size, num_labels=len(attacked.model.labels), seed=0)
    if not any(name.endswith("running_mean") for name in kept.weights):
        use_group_norm(model)  # one trained by DP-SGD
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if {name: tensor.shape for name, tensor in kept.weights.items()} != shapes:
        raise ArtefactError(
            f"{site}: the VAE there has another shape than the run's configuration. Train anew."
        )
    model.load_state_dict(dict(kept.weights))
    epochs = int(kept.numbers.get("vae-epochs", config.vae.epochs))
    return AttackedVae(site, model.to(device).eval(), kept.samples, size, epochs)
