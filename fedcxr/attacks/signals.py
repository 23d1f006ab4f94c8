"""What models say of records whose labels the attacker knows: all that a membership attack sees.

Of a record with several labels the known ones count. Its loss is the joint one, -log of the product
of the probabilities of its own labels; its confidence is the mean over its known labels of the
logit of that probability (Carlini et al. 2022, §IV.C, who have one label of many classes). Targets
that are neither 0 nor 1, such as smoothed ones, count as not known.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_FLOOR = 2.0**-24
"""Probabilities are kept this far from 0 and 1: a float32 sigmoid reaches 1 at a logit of 17."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What one model says of N records."""

    loss: Floats
    """(N,) nats, over all known labels together."""
    confidence: Floats
    """(N,) mean logit of the own label's probability."""

    @classmethod
    def of(cls, probs: ArrayLike, target: ArrayLike) -> Self:
        """Return them of probabilities and targets.

        Args:
            probs: (N, L) in [0, 1].
            target: (N, L) in {0, 1}; anything else is not known.

        Raises:
            ValueError: a record has no known label.

        >>> found = Answers.of([[0.8, 0.5]], [[1, float("nan")]])
        >>> round(found.loss[0], 4), round(found.confidence[0], 4)
        (0.2231, 1.3863)
        """
        truth = np.asarray(target, dtype=np.float64)
        given = np.clip(np.asarray(probs, dtype=np.float64), _FLOOR, 1 - _FLOOR)
        known = has_label(truth)
        if not known.any(axis=1).all():
            raise ValueError("a record has no known label")
        own = np.where(truth == 1, given, 1 - given)  # (N, L)
        loss = np.where(known, -np.log(own), 0.0).sum(axis=1)
        logit = np.where(known, np.log(own) - np.log1p(-own), 0.0)
        return cls(loss, logit.sum(axis=1) / known.sum(axis=1))


@dataclass(frozen=True, slots=True)
class References:
    """What K models of the attacker's own say of the same N records, and which each was taught."""

    loss: Floats
    """(K, N)."""
    confidence: Floats
    """(K, N)."""
    inside: NDArray[np.bool_]
    """(K, N) whether the model was trained on the record."""

    @classmethod
    def of(cls, answers: list[Answers], inside: ArrayLike) -> Self:
        """Return the answers of K models as one."""
        loss = np.stack([each.loss for each in answers])
        confidence = np.stack([each.confidence for each in answers])
        return cls(loss, confidence, np.asarray(inside, dtype=bool))

    def __len__(self) -> int:
        return len(self.loss)

    def without(self, model: int) -> "References":
        """Return all but one of the models."""
        kept = np.arange(len(self)) != model
        return References(self.loss[kept], self.confidence[kept], self.inside[kept])

    def answers_of(self, model: int) -> Answers:
        """Return what one of them says."""
        return Answers(self.loss[model], self.confidence[model])

    def fewest(self) -> tuple[int, int]:
        """Return how many models were taught a record, and were not, where these are fewest."""
        taught = self.inside.sum(axis=0)
        return int(taught.min()), int((len(self) - taught).min())


def has_label(target: ArrayLike) -> NDArray[np.bool_]:
    """Return which targets an attacker can hold a probability against: the 0s and 1s."""
    truth = np.asarray(target)
    known: NDArray[np.bool_] = (truth == 0) | (truth == 1)
    return known


def of_patients(scores: Floats, patient: NDArray[np.intp], num_patients: int) -> Floats:
    """Return (P,) the mean of the scores of each patient's records.

    Args:
        scores: (N,).
        patient: (N,) from 0 to P - 1, each of them at least once.
        num_patients: P.

    >>> of_patients(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 1]), 2)
    array([2., 5.])
    """
    totals = np.bincount(patient, weights=scores, minlength=num_patients)
    return np.asarray(totals / np.bincount(patient, minlength=num_patients), dtype=np.float64)
