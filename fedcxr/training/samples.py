"""Images that a site's VAE makes: for which label vectors, and the drawing itself.

A sample's label vector is one of the site's own training images, unknown labels included, so that
findings come together as they do there and nothing is claimed that no report says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fedcxr.config.vae import VaeConfig
from fedcxr.models.vae import ConditionalVae
from fedcxr.seeding import derive_rng, derive_seed
from fedcxr.training.device import repeatable
from fedcxr.training.vae import conditions_of

_BATCH = 100
"""Samples made at once."""


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """For which label vectors samples are made; S samples."""

    target: NDArray[np.float32]
    """(S, L), rows of the site's own targets."""
    column: NDArray[np.int64]
    """(S,) the label for whose sake each is made."""
    row: NDArray[np.int64]
    """(S,) the training image whose label vector it is, along the site's targets; -1 = of none."""

    def __len__(self) -> int:
        return len(self.column)

    def keep(self, kept: NDArray[np.bool_]) -> "SamplePlan":
        """Return the plan of the samples that are kept."""
        return SamplePlan(self.target[kept], self.column[kept], self.row[kept])


def plan_samples(
    target: NDArray[np.float32], config: VaeConfig, labels: Sequence[str], *, seed: int
) -> SamplePlan:
    """Return which samples a site makes: those of its rarest label first, up to `max_ratio`.

    Args:
        target: (N, L) of the site's real training images.
        config: labels, numbers and cap.
        labels: (L,) names.
        seed: of the draw.
    """
    wanted = [c for c, name in enumerate(labels) if not config.labels or name in config.labels]
    positives = {c: np.flatnonzero(target[:, c] == 1) for c in wanted}
    rare_first = sorted((c for c in wanted if len(positives[c])), key=lambda c: len(positives[c]))
    room = int(config.max_ratio * len(target))
    rows, columns = [], []
    for column in rare_first:
        groups = [positives[column]]
        if config.classes == "both":
            groups.append(np.flatnonzero(target[:, column] == 0))
        for number, group in enumerate(groups):
            rng = derive_rng(seed, "label-vectors", labels[column], number)
            most = min(config.samples_per_label, room) if len(group) else 0
            rows.append(rng.choice(group, most) if most else np.empty(0, np.int64))
            columns.append(np.full(most, column))
            room -= most
    row = np.concatenate([np.empty(0, np.int64), *rows])
    return SamplePlan(target[row], np.concatenate([np.empty(0, np.int64), *columns]), row)


def plan_public_samples(config: VaeConfig, labels: Sequence[str], *, patients: int) -> SamplePlan:
    """Return which samples a site makes where what it trains on must tell of no single patient.

    As many of every label that is to be sampled, and nothing known of the others: no count and no
    label vector of a patient decides anything.

    Args:
        config: labels, numbers, and the cap in samples for each patient in place of each image.
        labels: (L,) names.
        patients: n of the site.
    """
    wanted = sampled_columns(config, labels)
    values = np.array([1.0, 0.0] if config.classes == "both" else [1.0], np.float32)
    groups = max(1, len(wanted) * len(values))
    each = min(config.samples_per_label, int(config.max_ratio * patients) // groups)
    column = np.repeat(wanted, each * len(values))
    target = np.full((len(column), len(labels)), np.nan, np.float32)
    target[np.arange(len(column)), column] = np.tile(np.repeat(values, each), len(wanted))
    return SamplePlan(target, column, np.full(len(column), -1))


def sampled_columns(config: VaeConfig, labels: Sequence[str]) -> NDArray[np.int64]:
    """Return the columns of the labels that are to be sampled."""
    wanted = [c for c, name in enumerate(labels) if not config.labels or name in config.labels]
    return np.array(wanted, np.int64)


def plan_seed(run_seed: int, site_id: str, since: int) -> int:
    """Return the seed of what a site adds: the same whatever is added.

    Args:
        run_seed: the run's.
        site_id: the site.
        since: the round from which on it is used.
    """
    return derive_seed(run_seed, "vae", site_id, since)


def draw_samples(
    model: ConditionalVae,
    target: NDArray[np.float32],
    *,
    size_px: int,
    image_size: int,
    device: str,
    seed: int,
) -> NDArray[np.uint8]:
    """Return a sample (S, H, H) for each of the label vectors.

    Args:
        model: in evaluation mode, on the device.
        target: (S, L).
        size_px: side of what the model makes.
        image_size: H, to which it is enlarged.
        device: `cpu`, `cuda` or `cuda:N`.
        seed: of the codes, which are drawn on the CPU so that every device gets the same.
    """
    made = np.empty((len(target), image_size, image_size), np.uint8)
    generator = torch.Generator().manual_seed(derive_seed(seed, "codes"))
    with torch.inference_mode(), repeatable(device):
        for start in range(0, len(target), _BATCH):
            asked = torch.from_numpy(target[start : start + _BATCH])
            noise = torch.randn(len(asked), model.latent, generator=generator)
            conditions = conditions_of(asked).to(device)
            images = model.decode(model.expect(conditions).at(noise.to(device)), conditions)
            made[start : start + _BATCH] = to_uint8(images, image_size)
    return made


def to_uint8(images: Tensor, image_size: int) -> NDArray[np.uint8]:
    """Return what a VAE made, (N, 1, S, S) in [0, 1], as stored images are: (N, H, H)."""
    if images.shape[-1] != image_size:
        images = F.interpolate(images, size=image_size, mode="bilinear", align_corners=False)
    stored: NDArray[np.uint8] = (images * 255).round().byte().squeeze(1).cpu().numpy()
    return stored
