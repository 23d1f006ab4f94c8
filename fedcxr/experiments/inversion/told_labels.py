"""What one step over a site's images tells of its labels, under each protection."""

from dataclasses import replace

import numpy as np
import torch

from fedcxr.attacks.label_mix import distance, told_shares
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
) -> LabelMix | str:
    """Return how near what is told comes to the truth, or why nothing is told.

    Under `sum` the cohort's other sites have the images that follow.
    """
    config = attacked.model.config
    if config.train.loss != "bce":
        return (
            f"The label mix is told by cross-entropy only; the run's loss is {config.train.loss}."
        )
    cohort = design.cohort if protection.summed else 1
    known = ~np.isnan(attacked.target).any(axis=1)
    whole = np.flatnonzero(known)
    most = MOST_IMAGES if attacked.model.spec.num_trainable < LARGE else MOST_OF_LARGE
    number = min(most, len(whole) // cohort)
    if number < 2:
        return "The label mix is not told: too few images have all their labels known."
    rows = whole[: number * cohort]
    target = torch.from_numpy(attacked.target[rows]).to(attacked.model.device)
    pixels = torch.from_numpy(attacked.pixels[rows] / np.float32(WHITE)).to(attacked.model.device)
    one_step = replace(design, batch_size=None)
    sites = simulated_sites(attacked, protection, one_step, per_update=number)
    sent, site = sites.seen(pixels, target), sites.guessed
    bias = sent.update[site.place(f"{head_tensors(config.model)}.bias")]
    num_labels = len(attacked.model.labels)
    public = torch.from_numpy(attacked.public / np.float32(WHITE)).to(attacked.model.device)
    probs = site.probs(public)[:, :num_labels].double().cpu().numpy()
    told = told_shares(bias[:num_labels].double().cpu().numpy(), probs)
    truth = attacked.target[rows[:number]].mean(axis=0, dtype=np.float64)
    mean, largest = distance(told, truth)
    usual, _ = distance(np.nanmean(attacked.public_target, axis=0, dtype=np.float64), truth)
    return LabelMix(
        protection=protection.name,
        title=protection.title,
        images=number,
        error=mean,
        largest_error=largest,
        prior_error=usual,
    )
