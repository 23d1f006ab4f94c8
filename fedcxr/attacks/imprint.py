"""A crafted model that prints its input: a first layer whose gradient holds each image by itself.

Each of B neurons measures an image's brightness and fires above a threshold of its own. Between two
neurons next to each other lie the images of one brightness, and the difference of their gradients
is these images' sum; of one image alone it is exact. No network of fedcxr begins so, and a site
builds the network by the name in its task: what a server sends are numbers for it. But a site
cannot tell crafted numbers from trained ones.

Source: Fowl et al. 2022, "Robbing the Fed: Directly Obtaining Private Data in Federated Learning
with Modified Models", §3.
"""

import torch
from torch import Tensor, nn


class ImprintModel(nn.Module):
    """Brightness bins, then one logit a label that sums them; (N, 1, H, W) → (N, L)."""

    def __init__(self, thresholds: Tensor, side: int, num_labels: int) -> None:
        """Craft the weights.

        Args:
            thresholds: (B,) of mean brightness in the input's units, rising.
            side: H, pixels.
            num_labels: L.
        """
        super().__init__()
        self.imprint = nn.Linear(side * side, len(thresholds))
        self.head = nn.Linear(len(thresholds), num_labels)
        with torch.no_grad():
            self.imprint.weight.fill_(1 / side**2)
            self.imprint.bias.copy_(-thresholds)
            self.head.weight.fill_(1 / len(thresholds))
            self.head.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.head(self.imprint(images.flatten(1)).relu())
        return logits


def printed(weight_gradient: Tensor, bias_gradient: Tensor) -> Tensor:
    """Return (K, P) inputs, one a bin that images fell into, from the darkest.

    Args:
        weight_gradient: (B, P) of the imprint layer.
        bias_gradient: (B,).
    """
    weights = torch.cat([weight_gradient, torch.zeros_like(weight_gradient[:1])])
    biases = torch.cat([bias_gradient, torch.zeros_like(bias_gradient[:1])])
    images, errors = weights[:-1] - weights[1:], biases[:-1] - biases[1:]
    held = errors.abs() > 1e-6 * bias_gradient.abs().max()
    return images[held] / errors[held, None]
