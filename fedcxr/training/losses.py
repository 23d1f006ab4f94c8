"""The loss: cross-entropy over what is known."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fedcxr.data.policies import UNCERTAIN_CLASS


def masked_loss(logits: Tensor, target: Tensor, multi_class: Sequence[int] = ()) -> Tensor:
    """Cross-entropy over the known labels: of two classes, for some labels of three.

    A `multi_class` label has a softmax over negative, positive and uncertain with the logits
    (0, a, b): `a` is the label's own column, `b` an extra one behind the L columns. Adding a number
    to all three logits changes no probability, so the negative one can be fixed at 0: the family of
    distributions is that of three free logits (Irvin et al. 2019, §3.1, U-MultiClass). The softmax
    restricted to negative and positive, which the paper uses at test time, is then sigmoid(a): a
    prediction needs the first L columns alone, as for any other label.

    Args:
        logits: (N, L + M) float; L before the sigmoid, then one `b` for each of the M labels.
        target: (N, L) float in [0, 1] or nan = not known; UNCERTAIN_CLASS in `multi_class` columns.
        multi_class: the M columns with three classes, rising.

    Returns:
        Scalar, mean over known entries, in nats; exactly 0 (and zero gradient) if none is known.
        Without `multi_class` this is `masked_bce`, to the bit.

    >>> masked_loss(torch.zeros(1, 2), torch.tensor([[2.0]]), [0]).item()  # ln 3
    1.0986123085021973
    """
    if not multi_class:
        return masked_bce(logits, target)
    num_labels = target.shape[1]
    three = list(multi_class)
    two = [column for column in range(num_labels) if column not in multi_class]
    known = ~torch.isnan(target)
    binary = F.binary_cross_entropy_with_logits(
        logits[:, two], target[:, two].nan_to_num(0.0), reduction="none"
    )
    ternary = _three_way(logits[:, three], logits[:, num_labels:], target[:, three])
    total = (binary * known[:, two]).sum() + (ternary * known[:, three]).sum()
    return total / known.sum().clamp(min=1)


def masked_bce(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy over the known labels only.

    Args:
        logits: (N, L) float, before the sigmoid.
        target: (N, L) float in [0, 1] or nan; nan = not labelled.

    Returns:
        Scalar, mean over known entries, in nats; exactly 0 (and zero gradient) if none is known.

    >>> round(masked_bce(torch.zeros(1, 2), torch.tensor([[1.0, torch.nan]])).item(), 4)
    0.6931
    """
    known = ~torch.isnan(target)
    loss = F.binary_cross_entropy_with_logits(logits, target.nan_to_num(0.0), reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)


def _three_way(positive: Tensor, uncertain: Tensor, target: Tensor) -> Tensor:
    """Return the (N, M) cross-entropy of the logits (0, positive, uncertain)."""
    logits = torch.stack([torch.zeros_like(positive), positive, uncertain])  # (3, N, M)
    chosen = torch.where(target == UNCERTAIN_CLASS, uncertain, positive)
    return torch.logsumexp(logits, dim=0) - torch.where(target > 0, chosen, 0.0)
