"""Every attacked image of a site under one protection: the updates made, then inverted.

Images are taken in turn, as many as an update has; under `sum` each of a cohort's sites has as
many, and what is seen is their mean. Images that were sought together are told apart by their
labels; where labels are the same, each is counted as the one that it is most like.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from fedcxr.attacks.inversion import Distance, Inverted, Matching, invert
from fedcxr.attacks.likeness import Floats, ssim
from fedcxr.attacks.protections import Protection, clipped_and_noised
from fedcxr.attacks.search_space import by_frequencies, by_pixels
from fedcxr.attacks.site_update import LocalSteps, Sent, SimulatedSite, mean_of
from fedcxr.attacks.token_gradients import EMBEDDING, POSITIONS, joined, patches
from fedcxr.data.policies import columns_with, policy_of
from fedcxr.experiments.inversion.attacked_site import AttackedSite
from fedcxr.experiments.inversion.design import InversionDesign
from fedcxr.experiments.inversion.gains import WHITE
from fedcxr.privacy.secret_noise import SecretStream, new_secret
from fedcxr.seeding import derive_seed
from fedcxr.training.losses import LOSSES, masked_loss

_SPACES = {"cosine": by_pixels, "layers": by_frequencies}


@dataclass(frozen=True, slots=True, eq=False)
class Reconstructions:
    """What was made of the images of a site."""

    pixels: Floats
    """(n, H, W) in [0, 1], in the order of the site's images."""
    mismatch: tuple[float, ...]
    """Of each image's update."""
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedSites:
    """Sites that have images each, one after another, and the attacker's idea of them."""

    true: SimulatedSite
    guessed: SimulatedSite
    """Without the noise, which the attacker does not know."""
    per_update: int

    def seen(self, pixels: Tensor, target: Tensor) -> Sent:
        """Return what the server sees of sites that have these (N, H, W) images together."""
        return self._sent(self.true, pixels, target, keep_graph=False)

    def guess(self, pixels: Tensor, target: Tensor) -> Sent:
        """Return what the attacker would expect to see, depending on the images."""
        return self._sent(self.guessed, pixels, target, keep_graph=True)

    def _sent(
        self, site: SimulatedSite, pixels: Tensor, target: Tensor, *, keep_graph: bool
    ) -> Sent:
        parts = zip(
            torch.split(pixels, self.per_update), torch.split(target, self.per_update), strict=True
        )
        sent = [site.send(images, labels, keep_graph=keep_graph) for images, labels in parts]
        return sent[0] if len(sent) == 1 else mean_of(sent)


def reconstruct(
    attacked: AttackedSite,
    protection: Protection,
    design: InversionDesign,
    on_step: Callable[[], None],
) -> Reconstructions:
    """Return the reconstructions of the site's first images under a protection.

    Raises:
        ConfigError: a batch norm is given one number to take the variance of.
    """
    begun = time.monotonic()
    device = attacked.model.device
    together = design.together(protection)
    number = design.images_for(protection, attacked.num_own)
    pixels = torch.from_numpy(attacked.pixels[:number] / np.float32(WHITE)).to(device)
    target = torch.from_numpy(attacked.target[:number]).to(device)
    sites = simulated_sites(attacked, protection, design, per_update=design.per_update)
    found, mismatches = [], []
    for start in range(0, number, together):
        part = slice(start, start + together)
        seen = sites.seen(pixels[part], target[part])
        got = _inverted(attacked, protection, design, sites, seen, target[part], on_step)
        found.append(_in_order(got.pixels, pixels[part], target[part]))
        mismatches += [got.mismatch] * together
    return Reconstructions(
        np.concatenate(found)[: design.images],
        tuple(mismatches[: design.images]),
        time.monotonic() - begun,
    )


def check_batch_norm(
    attacked: AttackedSite, protection: Protection, design: InversionDesign
) -> None:
    """Raise ConfigError if a batch norm would be given one number to take the variance of."""
    network = attacked.network(protection, crafted=False)
    if protection.norm in ("batch", "local") and any(
        isinstance(m, _BatchNorm) for m in network.modules()
    ):
        sites = simulated_sites(attacked, protection, design, per_update=design.per_update)
        blank = torch.zeros(
            (design.per_update, *attacked.pixels.shape[1:]), device=attacked.model.device
        )
        sites.seen(blank, torch.zeros((len(blank), attacked.target.shape[1])).to(blank.device))


def simulated_sites(
    attacked: AttackedSite, protection: Protection, design: InversionDesign, *, per_update: int
) -> SimulatedSites:
    """Return sites under a protection.

    Args:
        attacked: whose model they are sent.
        protection: of the sites.
        design: of the attack.
        per_update: images of a site.
    """
    model = attacked.model
    own = attacked.target[: attacked.num_own]
    entry_loss = LOSSES.get(model.config.train.loss).build(model.config.train, own, model.device)
    policy = policy_of(model.config.data, rounds=model.config.server.rounds)
    multi_class = columns_with(policy, model.labels, "multi_class")
    steps = LocalSteps(
        lambda logits, target: masked_loss(logits, target, multi_class, entry_loss),
        model.normalization,
        min(design.batch_size or per_update, per_update),
        design.learning_rate,
        frozen=protection.norm == "frozen",
        local=protection.norm == "local",
    )
    guessed = SimulatedSite(attacked.network(protection, crafted=design.crafted), steps)
    if not protection.noised:
        return SimulatedSites(guessed, guessed, per_update)
    draws = SecretStream(new_secret(), "inversion")
    mechanism = clipped_and_noised(design.clip, design.noise, draws)
    return SimulatedSites(guessed.with_mechanism(mechanism), guessed, per_update)


def _inverted(
    attacked: AttackedSite,
    protection: Protection,
    design: InversionDesign,
    sites: SimulatedSites,
    seen: Sent,
    target: Tensor,
    on_step: Callable[[], None],
) -> Inverted:
    """Return what the attacker makes of it, by the design's method."""
    method = design.method_for(attacked.model.config.model.name)
    public = torch.from_numpy(attacked.public / np.float32(WHITE)).to(attacked.model.device)
    if method == "tokens":
        found = _from_tokens(sites.guessed, seen, attacked).expand(len(target), -1, -1)
        on_step()
        return Inverted(found, float("nan"))
    distance: Distance = "cosine" if method == "cosine" else "layers"
    seed = derive_seed(attacked.model.config.seed, "inversion", protection.name)
    space = _SPACES[distance](public, len(target), torch.Generator().manual_seed(seed))
    matching = Matching(distance, design.steps, design.restarts, design.statistics)
    return invert(
        lambda pixels: sites.guess(pixels, target),
        seen,
        space,
        matching,
        sizes=sites.guessed.sizes,
        on_step=on_step,
    )


def _from_tokens(site: SimulatedSite, seen: Sent, attacked: AttackedSite) -> Tensor:
    """Return the (1, H, W) image that a transformer's update tells."""
    positions, embedding = (seen.update[site.place(name)] for name in (POSITIONS, EMBEDDING))
    shapes = dict(attacked.model.model.named_parameters())
    found = joined(
        patches(positions.view(shapes[POSITIONS].shape), embedding.view(shapes[EMBEDDING].shape))
    )
    normalization = attacked.model.normalization
    if normalization.kind == "image":  # each image's own moments are not in the update
        public = torch.from_numpy(attacked.public / np.float32(WHITE)).to(found.device)
        found = public.mean() + found * public.std(dim=(1, 2)).mean()
    else:
        found = found * normalization.std + normalization.mean
    return found.nan_to_num(0.0).clamp(0.0, 1.0)[None]


def _in_order(found: Tensor, truth: Tensor, target: Tensor) -> Floats:
    """Return the images so that, among those of the same labels, each is at its likest place."""
    got, true = (each.cpu().numpy().astype(np.float64) for each in (found, truth))
    likeness = np.stack([ssim(got, image) for image in true])  # (true, found)
    labels = target.nan_to_num(-1.0).cpu().numpy()
    same = (labels[:, None] == labels[None]).all(axis=2)
    place = linear_sum_assignment(np.where(same, -likeness, 9.0))[1]
    return np.asarray(got[place])
