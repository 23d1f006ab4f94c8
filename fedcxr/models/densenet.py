"""DenseNet: torchvision's densenet121, and the same family at 0.2 M parameters for CPUs.

The blocks are torchvision's; the forward is our own, because torchvision's ends with an in-place
ReLU, which changes the map that Grad-CAM's hook saw.
Source: Huang et al. 2017, "Densely Connected Convolutional Networks".
"""

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import DenseNet as TorchvisionDenseNet

from fedcxr.models.base import CxrModel, deepest_map, one_channel, without_inplace

_MAPS = (
    (32, "features.norm5"),
    (16, "features.transition3.conv"),
    (8, "features.transition2.conv"),
    (4, "features.transition1.conv"),
)


class DenseNet(nn.Module):
    """Dense blocks, a final ReLU out of place, the mean over the map, a linear head."""

    def __init__(self, blocks: TorchvisionDenseNet) -> None:
        super().__init__()
        self.features = blocks.features
        self.classifier = blocks.classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, L) of images (N, 1, H, W)."""
        activation = F.relu(self.features(images))  # (N, C, h, w)
        logits: Tensor = self.classifier(activation.mean(dim=(2, 3)))
        return logits


def densenet121(num_labels: int, image_size: int) -> CxrModel:
    """Return DenseNet-121: 7.0 M parameters; at 224 px and more explained at its last map."""
    return _assemble(TorchvisionDenseNet(num_classes=num_labels), image_size)


def densenet_small(num_labels: int, image_size: int) -> CxrModel:
    """Return a DenseNet of growth 12 and blocks 2-4-8-6: 0.2 M parameters."""
    blocks = TorchvisionDenseNet(
        growth_rate=12, block_config=(2, 4, 8, 6), num_init_features=24, num_classes=num_labels
    )
    return _assemble(blocks, image_size)


def _assemble(blocks: TorchvisionDenseNet, image_size: int) -> CxrModel:
    blocks.features.conv0 = one_channel(blocks.features.conv0)
    return CxrModel(without_inplace(DenseNet(blocks)), deepest_map(image_size, _MAPS))
