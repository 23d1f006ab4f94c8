"""What one step over a site's images tells of its labels, under each protection."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from fedcxr.attacks.label_mix import cohort_sizes, distance, told_by_cohort
from fedcxr.attacks.protections import Protection
from fedcxr.experiments.inversion.attacked_site import AttackedSite
from fedcxr.experiments.inversion.design import InversionDesign
from fedcxr.experiments.inversion.gains import WHITE
from fedcxr.experiments.inversion.reconstruct import simulated_sites
from fedcxr.models.architectures import head_tensors
from fedcxr.results.inversion import LabelMix

MOST_IMAGES, MOST_OF_LARGE = 32, 8
"""Of the step; of a large network fewer, since each image's gradient is as long as it is."""
LARGE = 10_000_000


def label_mix(
    attacked: AttackedSite, protection: Protection, design: InversionDesign
) -> list[LabelMix] | str:
    """Return how near what is told comes to the truth, or why nothing is told.

    Under `sum` for cohorts of two sites on, each twice the one before. The cohort's other sites
    have images of other hospitals, as far as there are any, and then more of the site's own.
    """
    config = attacked.model.config
    if config.train.loss != "bce":
        return (
            f"The label mix is told by cross-entropy only; the run's loss is {config.train.loss}."
        )
    cohort = design.cohort if protection.summed else 1
    most = MOST_IMAGES if attacked.model.spec.num_trainable < LARGE else MOST_OF_LARGE
    rows, number = _rows_of_sites(attacked, cohort, most)
    if number < 2:
        return "The label mix is not told: too few images have all their labels known."
    gradients = _bias_gradients(attacked, protection, design, rows, number)
    public = torch.from_numpy(attacked.public / np.float32(WHITE)).to(attacked.model.device)
    sites = simulated_sites(attacked, protection, design, per_update=number)
    probs = sites.guessed.probs(public)[:, : len(attacked.model.labels)].double().cpu().numpy()
    shares = attacked.target[rows].reshape(cohort, number, -1).mean(axis=1, dtype=np.float64)
    usual, _ = distance(np.nanmean(attacked.public_target, axis=0, dtype=np.float64), shares[0])
    return [
        LabelMix(
            protection=protection.name,
            title=protection.title,
            images=number,
            cohort=told.cohort,
            error=told.error,
            largest_error=told.largest_error,
            cohort_error=told.cohort_error,
            prior_error=usual,
        )
        for told in told_by_cohort(gradients, probs, shares, cohort_sizes(cohort))
    ]


def _rows_of_sites(attacked: AttackedSite, cohort: int, most: int) -> tuple[NDArray[np.int64], int]:
    """Return the images of all sites, the attacked one's first, and how many each has."""
    whole = np.flatnonzero(~np.isnan(attacked.target).any(axis=1))
    own, others = whole[whole < attacked.num_own], whole[whole >= attacked.num_own]
    number = min(most, len(own), len(whole) // cohort)
    rows = np.concatenate([own[:number], others, own[number:]])
    return rows[: number * cohort], number


def _bias_gradients(
    attacked: AttackedSite,
    protection: Protection,
    design: InversionDesign,
    rows: NDArray[np.int64],
    number: int,
) -> NDArray[np.float64]:
    """Return (sites, L) what one step over each site's images has of the head's bias."""
    model = attacked.model
    sites = simulated_sites(
        attacked, protection, replace(design, batch_size=None), per_update=number
    )
    place = sites.guessed.place(f"{head_tensors(model.config.model)}.bias")
    found = []
    for own in rows.reshape(-1, number):
        pixels = torch.from_numpy(attacked.pixels[own] / np.float32(WHITE)).to(model.device)
        target = torch.from_numpy(attacked.target[own]).to(model.device)
        bias = sites.seen(pixels, target).update[place]
        found.append(bias[: len(model.labels)].double().cpu().numpy())
    return np.stack(found)
