"""What a network makes of images, for a VAE whose reconstructions are to look alike to it."""

import copy

import torch.nn.functional as F
from torch import Tensor, nn

from fedcxr.models.base import CxrModel
from fedcxr.training.transforms import Normalization, normalize
from fedcxr.training.vae_losses import Features


def frozen_features(model: CxrModel, normalization: Normalization, image_size: int) -> Features:
    """Return the map of the layer that Grad-CAM looks at, of a copy that nothing changes.

    Args:
        model: with the values to be used.
        normalization: that it is trained with.
        image_size: that it is trained with; smaller images are enlarged.
    """
    frozen = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
    seen: list[Tensor] = []

    def keep(layer: nn.Module, given: object, made: Tensor) -> None:
        seen.append(made)

    frozen.cam_layer.register_forward_hook(keep)

    def features(images: Tensor) -> Tensor:
        if images.shape[-1] != image_size:
            images = F.interpolate(images, size=image_size, mode="bilinear", align_corners=False)
        frozen(normalize(images.squeeze(1) * 255.0, normalization))
        return seen.pop()

    return features
