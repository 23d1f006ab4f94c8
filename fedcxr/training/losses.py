"""The loss: cross-entropy over what is known."""

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_bce(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy over the known labels only.

    Args:
        logits: (N, L) float, before the sigmoid.
        target: (N, L) float in {0, 1, nan}; nan = not labelled.

    Returns:
        Scalar, mean over known entries, in nats; exactly 0 (and zero gradient) if none is known.

    >>> round(masked_bce(torch.zeros(1, 2), torch.tensor([[1.0, torch.nan]])).item(), 4)
    0.6931
    """
    known = ~torch.isnan(target)
    loss = F.binary_cross_entropy_with_logits(logits, target.nan_to_num(0.0), reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)
