"""Which images are on a VAE's sheet: real ones of validation patients, reconstructions, samples."""

import numpy as np
import torch
from numpy.typing import NDArray

from fedcxr.models.vae import ConditionalVae
from fedcxr.training.sample_quality import RealImages
from fedcxr.training.samples import to_uint8
from fedcxr.training.vae import conditions_of, pixels

_COLUMNS = 10
REAL, RECONSTRUCTED = "real (validation)", "reconstructed"
"""Titles of the rows that are made of patients' images."""


def sheet_rows(
    model: ConditionalVae,
    held_out: RealImages,
    samples: NDArray[np.uint8],
    *,
    size_px: int,
    device: str,
) -> dict[str, NDArray[np.uint8]]:
    """Return the rows of a sheet: title → (10, H, H) or fewer; a reconstruction is below its image.

    Args:
        model: in evaluation mode, on the device.
        held_out: the site's validation images.
        samples: (S, H, H), evenly picked from.
        size_px: side of what the model sees.
        device: `cpu`, `cuda` or `cuda:N`.
    """
    picked = np.linspace(0, len(samples) - 1, 2 * _COLUMNS).round().astype(int)
    first, second = np.array_split(samples[picked], 2)
    rows = {"sampled, label by label": first, "sampled": second}
    if not len(held_out.rows):
        return rows
    real, target = held_out.part(0, _COLUMNS), held_out.target[:_COLUMNS]
    with torch.inference_mode():
        images = pixels(torch.from_numpy(real), size_px).to(device)
        asked = conditions_of(torch.from_numpy(target)).to(device)
        noise = torch.zeros(len(real), model.latent, device=device)
        made, _, _ = model(images, asked, noise)
    return {REAL: real, RECONSTRUCTED: to_uint8(made, real.shape[1]), **rows}
