"""The size of a network, and of what its forward pass keeps for the backward pass.

Two made-up images are looked at; torch's meta device would say the same, but imports
torch.compile's machinery: a second.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

IMAGES = 2
"""That a network is looked at with."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a training step of a network keeps."""

    trainable: int
    """Numbers that are learned."""
    floats_per_image: float
    """Bytes kept of one image in float32."""
    others_per_image: float
    """Bytes kept of one image that no dtype changes: positions, masks."""


def footprint_of(network: nn.Module, *inputs: Tensor) -> Footprint:
    """Return the footprint of a network in training mode.

    Args:
        network: its values do not matter.
        inputs: of its forward pass, each of `IMAGES` images.
    """
    own = {tensor.untyped_storage()._cdata for tensor in network.parameters()}
    kept: dict[int, Tensor] = {}  # held, or a number could come again

    def keep(tensor: Tensor) -> Tensor:
        if (storage := tensor.untyped_storage()._cdata) not in own:
            kept[storage] = tensor
        return tensor

    unseen = torch.random.fork_rng(devices=[])  # dropout draws
    with unseen, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        made = network(*inputs)  # held until the end: it holds the graph
    sizes = {True: 0, False: 0}
    for tensor in kept.values():
        sizes[tensor.is_floating_point()] += tensor.untyped_storage().nbytes()
    del made
    trainable = sum(tensor.numel() for tensor in network.parameters())
    return Footprint(trainable, sizes[True] / IMAGES, sizes[False] / IMAGES)
