"""How alike two radiographs are: PSNR, SSIM, and which patient of many an image is nearest to.

Radiographs resemble each other, so a likeness by itself says little: hold it against that of the
mean image, or of another patient (`best_prior`). All images are (…, H, W) in [0, 1].
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WINDOW, DEVIATION = 11, 1.5
"""Of SSIM's Gaussian window, pixels."""
_C1, _C2 = 0.01**2, 0.03**2
ROUNDING = 1 / 255**2 / 12
"""Mean square that rounding to 8 bits leaves: the best that can be told of stored pixels."""
MOST_PSNR = float(-10 * np.log10(ROUNDING))


def psnr(image: Floats, truth: Floats) -> Floats:
    """Return 10 · log10(1 / mean square), dB, at most 58.9: that of rounding to 8 bits.

    >>> float(psnr(np.full((1, 4, 4), 0.6), np.full((1, 4, 4), 0.5))[0].round(6))
    20.0
    """
    square = np.square(image - truth).mean(axis=(-2, -1))
    return np.asarray(-10 * np.log10(np.maximum(square, ROUNDING)))


def ssim(image: Floats, truth: Floats) -> Floats:
    """Return the structural similarity, at most 1; the mean over all whole windows.

    Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural
    similarity", eq. 13, with its window of 11 × 11 pixels, K₁ = 0.01 and K₂ = 0.03.

    >>> float(ssim(np.full((1, 11, 11), 0.6), np.full((1, 11, 11), 0.5))[0].round(6))  # 2ab/(a²+b²)
    0.983609
    """
    image, truth = np.broadcast_arrays(image, truth)
    mean_1, mean_2 = _window_means(image), _window_means(truth)
    var_1 = _window_means(image**2) - mean_1**2
    var_2 = _window_means(truth**2) - mean_2**2
    both = _window_means(image * truth) - mean_1 * mean_2
    light = (2 * mean_1 * mean_2 + _C1) / (mean_1**2 + mean_2**2 + _C1)
    shape = (2 * both + _C2) / (var_1 + var_2 + _C2)
    return np.asarray((light * shape).mean(axis=(-2, -1)))


def correlations(image: Floats, candidates: Floats, mean: Floats) -> Floats:
    """Return (M,) correlations of what sets an image apart from the mean image with candidates'.

    Brightness and contrast do not count, nor does what all radiographs have in common. 0 where
    there is nothing to correlate.

    Args:
        image: (H, W).
        candidates: (M, H, W).
        mean: (H, W) of other patients.
    """
    own = _standard((image - mean)[None])
    return np.asarray((_standard(candidates - mean) * own).mean(axis=1))


def rank_of(image: Floats, candidates: Floats, own: int, mean: Floats) -> int:
    """Return at which place, from 1, the true image is among the candidates nearest to an image.

    Candidates as near as the true one stand before it.
    """
    found = correlations(image, candidates, mean)
    found[~np.isfinite(found)] = 0.0
    return 1 + int((np.delete(found, own) >= found[own]).sum())


def _standard(images: Floats) -> Floats:
    """Return (M, H · W) with mean 0 and variance 1, or 0 where all pixels are the same."""
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    spread = flat.std(axis=1, keepdims=True)
    return np.asarray(np.divide(flat, spread, out=np.zeros_like(flat), where=spread > 1e-9))


def _window_means(images: Floats) -> Floats:
    """Return the weighted means of all windows that lie wholly in the images."""
    at = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-0.5 * (at / DEVIATION) ** 2)
    weights /= weights.sum()
    for axis in (-2, -1):
        windows = np.lib.stride_tricks.sliding_window_view(images, WINDOW, axis=axis)
        images = windows @ weights
    return np.asarray(images)
