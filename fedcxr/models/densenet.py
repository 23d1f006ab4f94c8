"""DenseNet: densenet121, and the same family at 0.2 M parameters for CPUs.

The names, the values drawn from a seed and the logits are torchvision's (the tests hold them side
by side). The layers are written out here because importing torchvision takes a second of a core in
every process, and because its forward ends with an in-place ReLU, which changes the map that
Grad-CAM's hook saw.
Source: Huang et al. 2017, "Densely Connected Convolutional Networks", §3 and table 1 (DenseNet-BC).
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedcxr.models.base import CxrModel, deepest_map, one_channel

_MAPS = (
    (32, "features.norm5"),
    (16, "features.transition3.conv"),
    (8, "features.transition2.conv"),
    (4, "features.transition1.conv"),
)
_POOLED = ("last_map", "classifier")
_BOTTLENECK = 4
"""Channels of a layer's 1 × 1 convolution, in growth rates."""


def densenet121(num_labels: int, image_size: int) -> CxrModel:
    """Return DenseNet-121: 7.0 M parameters; at 224 px and more explained at its last map."""
    network = DenseNet(num_labels, growth_rate=32, blocks=(6, 12, 24, 16), stem_channels=64)
    return CxrModel(network, deepest_map(image_size, _MAPS), _POOLED)


def densenet_small(num_labels: int, image_size: int) -> CxrModel:
    """Return a DenseNet of growth 12 and blocks 2-4-8-6: 0.2 M parameters."""
    network = DenseNet(num_labels, growth_rate=12, blocks=(2, 4, 8, 6), stem_channels=24)
    return CxrModel(network, deepest_map(image_size, _MAPS), _POOLED)


class DenseNet(nn.Module):
    """Dense blocks, a final ReLU out of place, the mean over the map, a linear head."""

    def __init__(
        self, num_labels: int, *, growth_rate: int, blocks: Sequence[int], stem_channels: int
    ) -> None:
        """Draw the values as torchvision does, for three channels, then join those into one."""
        super().__init__()
        stem = nn.Conv2d(3, stem_channels, 7, stride=2, padding=3, bias=False)
        layers: list[tuple[str, nn.Module]] = [
            ("conv0", stem),
            ("norm0", nn.BatchNorm2d(stem_channels)),
            ("relu0", nn.ReLU()),
            ("pool0", nn.MaxPool2d(3, stride=2, padding=1)),
        ]
        channels = stem_channels
        for number, num_layers in enumerate(blocks, start=1):
            block = _Block(num_layers, channels, growth_rate)
            layers.append((f"denseblock{number}", block))
            channels += num_layers * growth_rate
            if number < len(blocks):
                layers.append((f"transition{number}", _transition(channels)))
                channels //= 2
        layers.append(("norm5", nn.BatchNorm2d(channels)))
        self.features = nn.Sequential(OrderedDict(layers))
        self.last_map = nn.ReLU()  # a layer by itself: a class activation map reads its output
        self.classifier = nn.Linear(channels, num_labels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.classifier.bias)
        self.features.conv0 = one_channel(stem)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, L) of images (N, 1, H, W)."""
        activation = self.last_map(self.features(images))  # (N, C, h, w)
        logits: Tensor = self.classifier(activation.mean(dim=(2, 3)))
        return logits


class _Block(nn.ModuleDict):
    """Layers that each see the input and what all layers before them made."""

    def __init__(self, num_layers: int, channels: int, growth_rate: int) -> None:
        super().__init__()
        for number in range(num_layers):
            layer = _Layer(channels + number * growth_rate, growth_rate)
            self[f"denselayer{number + 1}"] = layer

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, C + layers · growth, h, w) of maps (N, C, h, w)."""
        made = [maps]
        for layer in self.values():
            made.append(layer(torch.cat(made, 1)))
        return torch.cat(made, 1)


class _Layer(nn.Module):
    """Norm, ReLU, 1 × 1 convolution to the bottleneck; norm, ReLU, 3 × 3 convolution."""

    def __init__(self, channels: int, growth_rate: int) -> None:
        super().__init__()
        inner = _BOTTLENECK * growth_rate
        self.norm1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(inner, growth_rate, 3, padding=1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the new maps (N, growth, h, w) of all maps so far (N, C, h, w)."""
        inner = self.conv1(self.relu1(self.norm1(maps)))
        made: Tensor = self.conv2(self.relu2(self.norm2(inner)))
        return made


def _transition(channels: int) -> nn.Sequential:
    """Half the channels at half the resolution."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(channels),
            relu=nn.ReLU(),
            conv=nn.Conv2d(channels, channels // 2, 1, bias=False),
            pool=nn.AvgPool2d(2, stride=2),
        )
    )
