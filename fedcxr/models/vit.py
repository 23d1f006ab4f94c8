"""ViT-B/16. Source: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words".

Not for small images: at 64 px it sees 16 patches.
"""

from math import isqrt

import torch
from torch import Tensor, nn

from fedcxr.models.base import CxrModel, one_channel, without_inplace

PATCH_PX = 16

_POSITIONS = "encoder.pos_embedding"


class MappedLayerNorm(nn.LayerNorm):
    """A layer norm over tokens that shows its patch tokens as a map, for Grad-CAM.

    `as_map` changes nothing: it is where a hook finds (N, C, h, w) on the way to the logits.
    """

    def __init__(self, size: int, eps: float) -> None:
        super().__init__(size, eps=eps)
        self.as_map = nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the normalised tokens (N, 1 + h·w, C), class token first."""
        normed = super().forward(tokens)
        num, length, channels = normed.shape
        side = isqrt(length - 1)
        patches = normed[:, 1:].transpose(1, 2).reshape(num, channels, side, side)
        patches = self.as_map(patches).flatten(2).transpose(1, 2)
        return torch.cat([normed[:, :1], patches], dim=1)


def vit_b_16(num_labels: int, image_size: int) -> CxrModel:
    """Return ViT-B/16: 85 M parameters, explained at the last block's first layer norm.

    The output of the last block itself will not do: only its class token reaches the head.
    """
    from torchvision.models.vision_transformer import VisionTransformer  # a second of a core

    network = VisionTransformer(
        image_size=image_size,
        patch_size=PATCH_PX,
        num_layers=12,
        num_heads=12,
        hidden_dim=768,
        mlp_dim=3072,
        num_classes=num_labels,
    )
    network.conv_proj = one_channel(network.conv_proj)
    last = network.encoder.layers.encoder_layer_11
    last.ln_1 = MappedLayerNorm(768, eps=last.ln_1.eps)
    return CxrModel(without_inplace(network), "encoder.layers.encoder_layer_11.ln_1.as_map")


def fit_positions(state: dict[str, Tensor], image_size: int) -> dict[str, Tensor]:
    """Return the state with position embeddings interpolated to the image size, where it has any.

    Args:
        state: torchvision's names, without prefix.
        image_size: side of the input, a multiple of `PATCH_PX`.
    """
    if _POSITIONS not in state:
        return state
    from torchvision.models.vision_transformer import interpolate_embeddings

    fitted: dict[str, Tensor] = interpolate_embeddings(image_size, PATCH_PX, dict(state))
    return fitted
