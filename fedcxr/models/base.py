"""What every network is here: one gray channel in, one logit a label out, one map to explain."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class StartingWeights:
    """Where a model's starting values come from."""

    source: str
    """`imagenet`, or the file."""
    copied: tuple[str, ...]
    """The outputs whose row of the head was taken over."""
    new: tuple[str, ...]
    """Those whose row is random, from the seed."""


@dataclass(frozen=True, slots=True)
class PooledHead:
    """The end of a network whose logits are one linear layer of the mean over its last map.

    logits = linear(mean(map)): what a class activation map needs (Zhou et al. 2016, §2).
    """

    map_layer: nn.Module
    """Its output (N, C, h, w) is what the mean is taken of."""
    linear: nn.Linear


class CxrModel(nn.Module):
    """A network for radiographs: (N, 1, H, W) float → logits (N, L).

    `network` has the parameter names of torchvision's model of the same name.
    """

    def __init__(
        self, network: nn.Module, cam_name: str, pooled: tuple[str, str] | None = None
    ) -> None:
        """Take a network and the names in it.

        Args:
            network: with random or loaded values.
            cam_name: of the layer that Grad-CAM looks at.
            pooled: of the layer that makes the last map and of the head, where the logits are one
                linear layer of that map's mean; none where they are made otherwise.
        """
        super().__init__()
        self.network = network
        self.starting_weights: StartingWeights | None = None
        """Where its first values come from; none = all random."""
        self._cam_name = cam_name
        self._pooled = pooled

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, L) of images (N, 1, H, W)."""
        logits: Tensor = self.network(images)
        return logits

    @property
    def cam_layer(self) -> nn.Module:
        """The layer whose output (N, C, h, w) Grad-CAM weighs."""
        return self.network.get_submodule(self._cam_name)

    @property
    def pooled_head(self) -> PooledHead | None:
        """The last map and the linear layer over its mean; None where the head is another."""
        if self._pooled is None:
            return None
        map_layer, linear = map(self.network.get_submodule, self._pooled)
        assert isinstance(linear, nn.Linear)
        return PooledHead(map_layer, linear)


@dataclass(frozen=True, slots=True)
class Family:
    """How one architecture is built, and what of it is not the body."""

    build: Callable[[int, int], CxrModel]
    """(num_labels, image_size) → model with random weights from the global generator."""
    stem: str
    """Name of the first convolution's weight: three input channels in ImageNet weights."""
    head: str
    """Name of the last linear layer, which has one output a label."""
    weights: str | None
    """Name of torchvision's weights enumeration; none where there are no ImageNet weights."""
    min_size: int = 32
    """Smallest image side, pixels."""
    multiple_of: int = 1
    """The image side must be a multiple of this."""


_FINEST_NEEDED = 7
"""Cells along the side of a useful heat map: what an ImageNet network has at 224 px."""


def deepest_map(image_size: int, layers: Sequence[tuple[int, str]]) -> str:
    """Return the deepest layer whose map is still at least 7 cells wide, or the finest one.

    On small images the last map is too coarse to point: on synthetic films of 64 px, Grad-CAM of
    densenet_small hit the box in 3 % of the cases at its last map (2 × 2), 15 to 18 % at the 4 × 4
    and 36 % at the deepest 8 × 8; the image's centre lay in 9 % of the boxes.

    Args:
        image_size: side of the input.
        layers: (pixels a cell, name), deepest first.

    >>> deepest_map(224, [(32, "last"), (16, "middle")]), deepest_map(64, [(32, "last"), (8, "a")])
    ('last', 'a')
    """
    fine = [name for stride, name in layers if image_size // stride >= _FINEST_NEEDED]
    return fine[0] if fine else layers[-1][1]


def one_channel(conv: nn.Conv2d) -> nn.Conv2d:
    """Return the convolution for one gray channel: its kernel is the sum over the RGB kernels.

    This is exactly the three-channel network fed with the gray image copied to three channels
    under one mean and deviation, at a third of the stem's cost; so ImageNet weights still fit.
    For random weights the sum over three keeps the variance of the activations as it was.
    """
    gray = nn.Conv2d(
        1,
        conv.out_channels,
        kernel_size=conv.kernel_size,  # type: ignore[arg-type]  # torch types it as a longer tuple
        stride=conv.stride,  # type: ignore[arg-type]
        padding=conv.padding,  # type: ignore[arg-type]
        bias=conv.bias is not None,
    )
    with torch.no_grad():
        gray.weight.copy_(sum_channels(conv.weight))
        if conv.bias is not None and gray.bias is not None:
            gray.bias.copy_(conv.bias)
    return gray


def sum_channels(kernel: Tensor) -> Tensor:
    """Return the (O, 1, h, w) kernel that does to one channel what (O, 3, h, w) does to copies.

    >>> sum_channels(torch.ones(2, 3, 1, 1)).flatten().tolist()
    [3.0, 3.0]
    """
    return kernel.sum(dim=1, keepdim=True)


def without_inplace(network: nn.Module) -> nn.Module:
    """Return the network with every in-place activation made out of place.

    Grad-CAM's hooks and per-sample gradients read a layer's output after the next layer ran.
    """
    for module in network.modules():
        if isinstance(module, nn.ReLU | nn.SiLU):
            module.inplace = False
    return network
