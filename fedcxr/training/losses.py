"""Losses by name: one value for every entry (image, label) first, then the mean over what is known.

An entry's loss needs its own logit and target alone, so that a loss of an image is the sum over its
row. A new loss is a function of logits and target and one entry of `LOSSES`, in a file of its own.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedcxr.config.train import TrainConfig
from fedcxr.data.policies import UNCERTAIN_CLASS
from fedcxr.errors import ConfigError
from fedcxr.registry import Registry
from fedcxr.training.loss_formulas import (
    asymmetric_loss,
    binary_cross_entropy,
    focal_loss,
    weighted_cross_entropy,
)

log = logging.getLogger(__name__)

EntryLoss = Callable[[Tensor, Tensor], Tensor]
"""((N, L) logits, (N, L) target in [0, 1]) → (N, L) losses, each of its own entry."""

BuildLoss = Callable[[TrainConfig, NDArray[np.float32], str], EntryLoss]
"""(config, the site's own (N, L) training targets with nan for unknown, device) → its loss."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss that a run can choose."""

    build: BuildLoss
    keys: tuple[str, ...] = ()
    """Fields of `train` that it reads and not every loss does."""
    three_way: bool = False
    """Whether labels with a class of their own for uncertain (`multi_class`) may go beside it: such
    a label has plain cross-entropy over its three classes, which needs a loss of the same scale."""


def _accept(value: object) -> Loss:
    """Make a loss of a `Loss`, of a function of logits and target, or of a class of such."""
    if isinstance(value, Loss):
        return value
    made = value() if isinstance(value, type) else value
    if not callable(made):
        raise TypeError("is no function of logits and target, and no fedcxr.training.losses.Loss")
    if isinstance(made, torch.nn.Module) and list(made.parameters()):
        raise TypeError("has parameters of its own, which no optimiser would train")
    entry_loss: EntryLoss = made
    return Loss(lambda config, target, device: entry_loss)


LOSSES: Registry[Loss] = Registry("train.loss", "loss", "fedcxr.losses", _accept)


def masked_loss(
    logits: Tensor,
    target: Tensor,
    multi_class: Sequence[int] = (),
    entry_loss: EntryLoss | None = None,
) -> Tensor:
    """Mean loss over the known labels: of two classes, for some labels of three.

    Args:
        logits: (N, L + M) float; L before the sigmoid, then one `b` for each of the M labels.
        target: (N, L) float in [0, 1] or nan = not known; UNCERTAIN_CLASS in `multi_class` columns.
        multi_class: the M columns with three classes, rising; see `entry_losses`.
        entry_loss: of the other labels; none = binary cross-entropy.

    Returns:
        Scalar, mean over known entries, in nats; exactly 0 (and zero gradient) if none is known.
        By default and without `multi_class` this is `masked_bce`, to the bit.

    >>> masked_loss(torch.zeros(1, 2), torch.tensor([[2.0]]), [0]).item()  # ln 3
    1.0986123085021973
    """
    known = ~torch.isnan(target)
    entries = entry_losses(logits, target, multi_class, entry_loss)
    if multi_class:
        two = _others(target.shape[1], multi_class)
        total = entries[:, two].sum() + entries[:, list(multi_class)].sum()
    else:
        total = entries.sum()
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
    return masked_loss(logits, target)


def entry_losses(
    logits: Tensor,
    target: Tensor,
    multi_class: Sequence[int] = (),
    entry_loss: EntryLoss | None = None,
) -> Tensor:
    """Return the (N, L) losses of all entries, 0 where the label is not known.

    A `multi_class` label has a softmax over negative, positive and uncertain with the logits
    (0, a, b): `a` is the label's own column, `b` an extra one behind the L columns. Adding a number
    to all three logits changes no probability, so the negative one can be fixed at 0: the family of
    distributions is that of three free logits (Irvin et al. 2019, §3.1, U-MultiClass). The softmax
    restricted to negative and positive, which the paper uses at test time, is then sigmoid(a): a
    prediction needs the first L columns alone, as for any other label.

    Args: as of `masked_loss`.

    >>> entry_losses(torch.zeros(1, 2), torch.tensor([[1.0, torch.nan]]))
    tensor([[0.6931, 0.0000]])
    """
    entry_loss = entry_loss or binary_cross_entropy
    known = ~torch.isnan(target)
    if not multi_class:
        return entry_loss(logits, target.nan_to_num(0.0)) * known
    num_labels = target.shape[1]
    three, two = list(multi_class), _others(num_labels, multi_class)
    binary = entry_loss(logits[:, two], target[:, two].nan_to_num(0.0)) * known[:, two]
    ternary = _three_way(logits[:, three], logits[:, num_labels:], target[:, three])
    both = torch.cat([binary, ternary * known[:, three]], dim=1)
    place = torch.tensor([*two, *three], device=both.device).argsort()  # back to the labels' order
    return both[:, place]


def label_shares(target: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (L,) N₊ ÷ N and N₋ ÷ N over the known targets of each label; 0 where none is known.

    A soft target counts in part.

    >>> label_shares(np.float32([[1, 0], [0, 0.5], [0, np.nan], [0, 1]]))
    (array([0.25, 0.5 ]), array([0.75, 0.5 ]))
    """
    known = ~np.isnan(target)
    positives = np.nansum(target, axis=0, dtype=np.float64)
    total = known.sum(axis=0)
    ill = positives / np.maximum(total, 1)
    return ill, np.where(total > 0, 1.0 - ill, 0.0)


@lru_cache(maxsize=16)
def try_loss(config: TrainConfig) -> None:
    """Try a user's loss on made-up logits; say where it is not deterministic.

    Raises:
        ConfigError: it fails, or does not give each entry a finite number and a gradient.
    """
    if config.positive_share:
        return  # of the run's labels, and tried before the server filled it in
    target = torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    logits = torch.linspace(-2, 2, target.numel()).reshape(target.shape).requires_grad_()
    try:
        entry_loss = LOSSES.get(config.loss).build(config, target.numpy(), "cpu")
        found, again = entry_loss(logits, target), entry_loss(logits, target)
    except Exception as err:  # whatever a user's function raises
        raise ConfigError(
            f"train.loss = {config.loss}: fails on logits {list(target.shape)} and targets of the "
            f"same shape ({type(err).__name__}: {err})."
        ) from err
    wrong = _what_is_wrong(found, target)
    if wrong:
        raise ConfigError(
            f"train.loss = {config.loss}: returns {wrong} for logits {list(target.shape)}, "
            f"expected torch.float32 {list(target.shape)}: one loss for each image and "
            "label, as with reduction='none'; unknown labels are left out afterwards."
        )
    if not torch.equal(found, again):
        log.warning(
            "train.loss = %s: not deterministic; the same run again will give other weights",
            config.loss,
        )


def _what_is_wrong(found: object, target: Tensor) -> str | None:
    if not isinstance(found, Tensor):
        return f"a {type(found).__name__}"
    if found.shape != target.shape or found.dtype != target.dtype:
        return f"{found.dtype} {list(found.shape)}"
    if not bool(torch.isfinite(found).all()):
        return "numbers that are not finite"
    return None if found.requires_grad else "a result without gradient"


def _three_way(positive: Tensor, uncertain: Tensor, target: Tensor) -> Tensor:
    """Return the (N, M) cross-entropy of the logits (0, positive, uncertain)."""
    logits = torch.stack([torch.zeros_like(positive), positive, uncertain])  # (3, N, M)
    chosen = torch.where(target == UNCERTAIN_CLASS, uncertain, positive)
    return torch.logsumexp(logits, dim=0) - torch.where(target > 0, chosen, 0.0)


def _others(num_labels: int, multi_class: Sequence[int]) -> list[int]:
    return [column for column in range(num_labels) if column not in multi_class]


def _build_bce(config: TrainConfig, target: NDArray[np.float32], device: str) -> EntryLoss:
    return binary_cross_entropy


def _shares(
    config: TrainConfig, target: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (L,) N₊ ÷ N and N₋ ÷ N: those that the sites share, or the site's own."""
    if config.class_frequencies == "own":
        return label_shares(target)
    ill = np.array(config.positive_share)
    if len(ill) != target.shape[1]:
        raise ConfigError(
            f"train.positive_share: has {len(ill)} shares for {target.shape[1]} labels. Server and "
            "site must run the same version."
        )
    return ill, 1.0 - ill


def _build_weighted(config: TrainConfig, target: NDArray[np.float32], device: str) -> EntryLoss:
    """Weigh by the other class's share, so that both classes of a label weigh the same in sum.

    A label of which one class alone is known weighs nothing.
    """
    shares = _shares(config, target)
    ill, well = (torch.tensor(share, dtype=torch.float32, device=device) for share in shares)
    return partial(weighted_cross_entropy, positive=well, negative=ill)


def _build_pos_weighted(config: TrainConfig, target: NDArray[np.float32], device: str) -> EntryLoss:
    """Weigh positives by N₋ ÷ N₊, negatives by 1; a label without positives is left as it is."""
    ill, well = _shares(config, target)
    ratio = np.divide(well, ill, out=np.ones_like(ill), where=ill > 0)
    positive = torch.tensor(ratio, dtype=torch.float32, device=device)
    return partial(weighted_cross_entropy, positive=positive, negative=torch.ones_like(positive))


def _build_focal(config: TrainConfig, target: NDArray[np.float32], device: str) -> EntryLoss:
    return partial(focal_loss, gamma=config.focal_gamma, alpha=config.focal_alpha)


def _build_asymmetric(config: TrainConfig, target: NDArray[np.float32], device: str) -> EntryLoss:
    return partial(
        asymmetric_loss,
        gamma_neg=config.asymmetric_gamma_neg,
        gamma_pos=config.asymmetric_gamma_pos,
        clip=config.asymmetric_clip,
    )


LOSSES.add("bce", Loss(_build_bce, three_way=True))
LOSSES.add("weighted_bce", Loss(_build_weighted, ("class_frequencies",)))
LOSSES.add("pos_weighted_bce", Loss(_build_pos_weighted, ("class_frequencies",)))
LOSSES.add("focal", Loss(_build_focal, ("focal_gamma", "focal_alpha")))
_ASYMMETRIC = ("asymmetric_gamma_neg", "asymmetric_gamma_pos", "asymmetric_clip")
LOSSES.add("asymmetric", Loss(_build_asymmetric, _ASYMMETRIC))
