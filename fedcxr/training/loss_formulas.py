"""Loss of each entry (image, label) from its own logit and target: the papers' equations.

Every one is linear in the target y: y times the loss of a positive plus 1 − y times that of a
negative. A soft target in [0, 1] therefore costs what is expected if the label is positive with
that probability. They know nothing of unknown labels; `losses.py` masks those.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return −y log p − (1 − y) log(1 − p) of each entry, in nats, p = sigmoid(logit)."""
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def weighted_cross_entropy(
    logits: Tensor, target: Tensor, *, positive: Tensor, negative: Tensor
) -> Tensor:
    """Return −w₊ y log p − w₋ (1 − y) log(1 − p) of each entry.

    Args:
        logits: (N, L).
        target: (N, L) in [0, 1].
        positive: (L,) weights w₊ of positives.
        negative: (L,) weights w₋ of negatives.
    """
    logs = F.logsigmoid(logits), F.logsigmoid(-logits)
    return _weighted(*logs, target, positive, negative)


def weighted_log_loss(
    probs: Tensor, target: Tensor, *, positive: Tensor, negative: Tensor, eps: float
) -> Tensor:
    """Return −w₊ y log(p + ε) − w₋ (1 − y) log(1 − p + ε) of each entry, from probabilities.

    For checks against values worked out elsewhere: such examples add an ε so that log 0 does not
    come up. Training uses `weighted_cross_entropy`, which is the same sum with ε = 0 and needs none
    because it has the logits.

    Args:
        probs: (N, L) in [0, 1].
        target: (N, L) in [0, 1].
        positive: (L,) weights w₊ of positives.
        negative: (L,) weights w₋ of negatives.
        eps: added to each probability before its logarithm.
    """
    logs = (probs + eps).log(), (1.0 - probs + eps).log()
    return _weighted(*logs, target, positive, negative)


def focal_loss(logits: Tensor, target: Tensor, *, gamma: float, alpha: float | None) -> Tensor:
    """Return −α y (1 − p)^γ log p − (1 − α)(1 − y) p^γ log(1 − p) of each entry.

    Without alpha both factors are 1. In logarithms, so that no gradient is lost where p is 0 or 1.
    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", eq. 4 and 5.

    >>> focal_loss(torch.zeros(1, 1), torch.ones(1, 1), gamma=2.0, alpha=None)  # ln 2 / 4
    tensor([[0.1733]])
    """
    log_p, log_q = F.logsigmoid(logits), F.logsigmoid(-logits)
    ill = -torch.exp(gamma * log_q) * log_p
    well = -torch.exp(gamma * log_p) * log_q
    if alpha is not None:
        ill, well = alpha * ill, (1.0 - alpha) * well
    return target * ill + (1.0 - target) * well


def asymmetric_loss(
    logits: Tensor, target: Tensor, *, gamma_neg: float, gamma_pos: float, clip: float
) -> Tensor:
    """Return −y (1 − p)^γ₊ log p − (1 − y) m^γ₋ log(1 − m) of each entry, m = max(p − clip, 0).

    Negatives with p below `clip` cost nothing and have no gradient.
    Source: Ridnik et al. 2021, "Asymmetric Loss for Multi-Label Classification", eq. 7. The
    gradient is that of the equation; the authors' code by default takes the focusing factors as
    constants.

    >>> asymmetric_loss(torch.zeros(1, 1), torch.zeros(1, 1), gamma_neg=1, gamma_pos=0, clip=0.0)
    tensor([[0.3466]])
    """
    ill = -torch.exp(gamma_pos * F.logsigmoid(-logits)) * F.logsigmoid(logits)
    shifted = (torch.sigmoid(logits) - clip).clamp(min=0.0)
    # 0 to a power below 1 has no gradient, and 0 · ∞ is none: such entries take a 1 instead
    is_left = shifted > 0.0
    focus = torch.where(is_left, shifted, 1.0) ** gamma_neg
    # without a clip, p may round to 1, and log 0 come up
    log_left = F.logsigmoid(-logits) if clip == 0.0 else torch.log1p(-shifted)
    well = torch.where(is_left, -focus * log_left, 0.0)
    return target * ill + (1.0 - target) * well


def _weighted(
    log_p: Tensor, log_q: Tensor, target: Tensor, positive: Tensor, negative: Tensor
) -> Tensor:
    """Return −w₊ y log p − w₋ (1 − y) log q of each entry."""
    return -positive * target * log_p - negative * (1.0 - target) * log_q
