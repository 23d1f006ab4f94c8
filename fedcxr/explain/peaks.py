"""Whether a heat map's peak lies where a radiologist drew a box.

A coarse map over a small image says which region, not which pixel.
Source: the pointing game of Zhang et al. 2018, "Top-down Neural Attention by Excitation Backprop".
"""

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.records import Box


def peak_in_box(heat: NDArray[np.float32], box: Box) -> bool:
    """Return whether the map's peak lies in the box; a map of zeros has no peak.

    Args:
        heat: (H, W).
        box: in fractions of the width and height.
    """
    if not heat.max() > 0:
        return False
    # Upsampling leaves a plateau at the image's border; its middle is the peak, not its corner.
    ys, xs = np.nonzero(heat == heat.max())
    nearest = np.argmin((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2)
    height, width = heat.shape
    return _holds(box, (xs[nearest] + 0.5) / width, (ys[nearest] + 0.5) / height)


def center_in_box(box: Box) -> bool:
    """Return whether the image's centre lies in the box: the baseline of a peak that ignores it.

    >>> center_in_box(Box("a.png", "Mass", x=0.4, y=0.4, width=0.2, height=0.2))
    True
    """
    return _holds(box, 0.5, 0.5)


def _holds(box: Box, x: float, y: float) -> bool:
    return bool(box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height)
