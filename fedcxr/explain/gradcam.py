"""Grad-CAM, by captum, and whether its peak lies where a radiologist drew a box.

A coarse map over a small image says which region, not which pixel.
Source: Selvaraju et al. 2017, "Grad-CAM"; the pointing game is Zhang et al. 2018, "Top-down
Neural Attention by Excitation Backprop".
"""

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam
from numpy.typing import NDArray
from torch import Tensor

from fedcxr.data.records import Box
from fedcxr.models.base import CxrModel

_BATCH = 16
"""Images explained at once: their activations are all kept for the gradient."""


def gradcam(model: CxrModel, inputs: Tensor, label_index: int | Tensor) -> NDArray[np.float32]:
    """Return one heat map an image in [0, 1]: 1 at its peak, or all 0 where nothing speaks for it.

    Args:
        model: in evaluation mode, float32.
        inputs: (N, 1, H, W) as the model was trained on, on the model's device.
        label_index: the label to explain, or (N,) one for each image.

    Returns:
        (N, H, W) float32, upsampled bilinearly from the map of `model.cam_layer`.
    """
    assert not model.training, "batch statistics would mix the images: call model.eval() first"
    if not len(inputs):
        return np.zeros((0, *inputs.shape[2:]), dtype=np.float32)
    chosen = torch.as_tensor(label_index, device=inputs.device).expand(len(inputs))
    explain = LayerGradCam(model, model.cam_layer)
    maps = [
        explain.attribute(batch, target=labels, relu_attributions=True).detach()
        for batch, labels in zip(
            torch.split(inputs, _BATCH), torch.split(chosen, _BATCH), strict=True
        )
    ]
    size = (inputs.shape[2], inputs.shape[3])
    heat = F.interpolate(torch.cat(maps).float(), size=size, mode="bilinear").squeeze(1)
    peak = heat.amax(dim=(1, 2), keepdim=True)
    scaled: NDArray[np.float32] = torch.where(peak > 0, heat / peak, 0.0).cpu().numpy()
    return scaled


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
