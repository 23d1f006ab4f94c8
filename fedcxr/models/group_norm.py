"""Group norm in place of batch norm: an image's logits then depend on that image alone.

Batch norm takes mean and variance over the images of a batch, so the gradient of one patient holds
all others, and its running statistics are sums over patients that no noise covers.
Source: Wu & He 2018, "Group normalization", §3 and table 3 (16 channels a group is among the best).
"""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

_CHANNELS = 16
"""Fewest channels of a group, where the layer has that many: maps of small images shrink to one
pixel, and a group of two numbers would keep nothing but their order."""


def use_group_norm(network: nn.Module) -> None:
    """Put a group norm in the place of every `BatchNorm2d`, with the scale and shift it had."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.BatchNorm2d):
                setattr(parent, name, _group_norm(layer))


def batch_norms(network: nn.Module) -> list[str]:
    """Return the names of the layers that are batch norms, of whatever kind."""
    return [name for name, layer in network.named_modules() if isinstance(layer, _BatchNorm)]


def num_groups(channels: int) -> int:
    """Return how many equal groups: each as small as possible with at least 16 channels.

    >>> num_groups(64), num_groups(36), num_groups(24), num_groups(12)
    (4, 2, 1, 1)
    """
    return next((n for n in range(channels // _CHANNELS, 1, -1) if channels % n == 0), 1)


def _group_norm(layer: nn.BatchNorm2d) -> nn.GroupNorm:
    channels = layer.num_features
    made = nn.GroupNorm(num_groups(channels), channels, layer.eps, affine=layer.affine)
    if layer.affine:
        made.load_state_dict({"weight": layer.weight.detach(), "bias": layer.bias.detach()})
    return made.train(layer.training)
