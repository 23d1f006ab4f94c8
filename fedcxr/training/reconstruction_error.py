"""How far reconstructions of held-out images are off, beside what the mean image is off."""

import numpy as np
import torch
import torch.nn.functional as F

from fedcxr.models.vae import ConditionalVae
from fedcxr.training.sample_quality import RealImages
from fedcxr.training.vae import conditions_of, pixels

_BATCH = 256


def reconstruction_errors(
    model: ConditionalVae, train: RealImages, val: RealImages, *, size_px: int, device: str
) -> tuple[float, float]:
    """Return the mean squared errors on validation images of a VAE and of the mean training image.

    Of pixels in [0, 1]; nan where there are no validation images.

    Args:
        model: in evaluation mode, on the device.
        train: what it was trained on.
        val: other patients' images.
        size_px: side of what it sees.
        device: `cpu`, `cuda` or `cuda:N`.
    """
    total = np.zeros(2)
    starts = range(0, len(train.rows), _BATCH)
    parts = (train.part(start, _BATCH).sum(axis=0, dtype=np.float64) for start in starts)
    mean_image = sum(parts) / (255 * len(train.rows))
    guess = torch.from_numpy(mean_image).to(torch.float32)[None, None]
    guess = F.avg_pool2d(guess, guess.shape[-1] // size_px).to(device)
    with torch.inference_mode():
        for start in range(0, len(val.rows), _BATCH):
            images = pixels(torch.from_numpy(val.part(start, _BATCH)), size_px)
            images = images.to(device)
            asked = conditions_of(torch.from_numpy(val.target[start : start + _BATCH])).to(device)
            made, _, _ = model(images, asked, torch.zeros(len(asked), model.latent, device=device))
            errors = (F.mse_loss(made, images), F.mse_loss(guess.expand_as(images), images))
            total += len(images) * np.array([float(error) for error in errors])
    nothing = float("nan")
    own, mean = total / len(val.rows) if len(val.rows) else (nothing, nothing)
    return float(own), float(mean)
