"""How many of a site's patients have a finding, told by the gradient of the head's bias.

Of cross-entropy, averaged over all labels of all images, that gradient is (mean p − share) / L for
each label: the attacker knows p nearly, by the same model on radiographs of their own, and L. Not
for other losses, nor after several steps.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def told_shares(bias_gradient: Floats, probs: Floats) -> Floats:
    """Return (L,) the share of positives of each label that a gradient tells.

    Args:
        bias_gradient: (L,) of the head.
        probs: (P, L) the model's, of other radiographs.

    >>> told_shares(np.array([0.1, -0.2]), np.array([[0.5, 0.4], [0.5, 0.6]]))  # p - 2 g
    array([0.3, 0.9])
    """
    shares = probs.mean(axis=0) - len(bias_gradient) * bias_gradient
    return np.asarray(np.clip(shares, 0.0, 1.0))


def distance(told: Floats, truth: Floats) -> tuple[float, float]:
    """Return the mean and the largest distance of shares.

    >>> tuple(round(each, 3) for each in distance(np.array([0.3, 0.9]), np.array([0.2, 0.9])))
    (0.05, 0.1)
    """
    apart = np.abs(told - truth)
    return float(apart.mean()), float(apart.max())
