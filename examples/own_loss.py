"""Poly-1 cross-entropy (Leng et al. 2022, PolyLoss, equation 6), for labels of two classes."""

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1.0


def poly1(logits: Tensor, target: Tensor) -> Tensor:
    """Return cross-entropy plus ε(1 − p_t) of each entry, (N, L): not their mean."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    prob = torch.sigmoid(logits)
    of_target = target * prob + (1 - target) * (1 - prob)
    return cross_entropy + EPSILON * (1 - of_target)
