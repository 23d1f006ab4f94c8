"""Which held-out images are shown with a heat map: chosen by rule, not by eye."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Outcome = Literal[
    "true positive",
    "false positive",
    "miss",
    "convincing",
    "unreliable: wrong",
    "unreliable: looks elsewhere",
]


@dataclass(frozen=True, slots=True)
class Example:
    """One image to explain for one label."""

    row: int
    """Position in the (N, L) arrays."""
    label_index: int
    outcome: Outcome


def choose_examples(
    target: NDArray[np.float32],
    probs: NDArray[np.float32],
    labels: Sequence[str],
    auroc_by_label: Mapping[str, float | None],
    *,
    labels_count: int,
    per_outcome: int,
) -> list[Example]:
    """Return the images to show, label by label: true positives, false positives, misses.

    The labels are those with the highest AUROC. An image is called positive when its probability
    is among the P highest of the label's known images, P being how many of them are positive: as
    many are called as there are. Shown are the true and the false positives with the highest
    probability and the misses with the lowest.

    Args:
        target: (N, L) in {0, 1, nan}; nan is never shown.
        probs: (N, L).
        labels: the L names.
        auroc_by_label: none or missing = not defined, never shown.
        labels_count: how many labels.
        per_outcome: how many images of each outcome, at most.
    """
    return [
        example
        for index in best_labels(labels, auroc_by_label, labels_count)
        for example in _of_label(target[:, index], probs[:, index], index, per_outcome)
    ]


def best_labels(
    labels: Sequence[str], auroc_by_label: Mapping[str, float | None], count: int
) -> list[int]:
    """Return the columns of the labels with the highest AUROC, at most `count`.

    >>> best_labels(["Edema", "Mass", "Hernia"], {"Edema": 0.7, "Mass": 0.8, "Hernia": None}, 3)
    [1, 0]
    """
    defined = [(auroc_by_label.get(label), index) for index, label in enumerate(labels)]
    ranked = sorted((-auroc, index) for auroc, index in defined if auroc is not None)
    return [index for _, index in ranked[:count]]


def _of_label(
    target: NDArray[np.float32], probs: NDArray[np.float32], index: int, per_outcome: int
) -> list[Example]:
    """Return one label's examples."""
    order = np.argsort(-probs, kind="stable")  # highest first; ties as they come
    order = order[~np.isnan(target[order])]
    truth = target[order] == 1
    called = np.arange(len(order)) < truth.sum()
    outcomes: tuple[tuple[Outcome, NDArray[np.int64]], ...] = (
        ("true positive", order[called & truth]),
        ("false positive", order[called & ~truth]),
        ("miss", order[~called & truth][::-1]),
    )
    return [
        Example(int(row), index, outcome)
        for outcome, rows in outcomes
        for row in rows[:per_outcome]
    ]
