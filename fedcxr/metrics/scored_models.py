"""Both areas of many models on the same test patients, and the interval of any mean or difference.

Each model, label by label, has its AUROC and its average precision, and how far each patient moves
them: the value less what it is without the patient. Influences of several models or labels add up
as their values do. So a mean over seeds, a difference of two arms and a macro mean over labels that
share their patients all have the variance of the patient jackknife, with no draws and in closed
form, and Student's t with as many degrees of freedom as there are patients who could have moved the
value much. The intervals are for other patients and the same models; `estimate.with_trainings` adds
what other trainings would move.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", equation 11.5 (jackknife);
Satterthwaite 1946, Biometrics Bulletin 2, 110-114, with the shares of Carter, Schnepel and
Steigerwald 2017, Review of Economics and Statistics 99, 698-709 (patients of unequal size). Joining
the labels' shares is our own.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.cores import cores
from fedcxr.metrics.areas import Areas, ratio
from fedcxr.metrics.auroc import FloatArray, check_scores
from fedcxr.metrics.estimate import (
    Estimate,
    Part,
    bounded,
    bounded_auroc,
    symmetric,
    with_trainings,
)
from fedcxr.metrics.jackknife import jackknife
from fedcxr.metrics.resampling import group

Measure = Literal["auroc", "ap"]
MEASURES: tuple[Measure, ...] = ("auroc", "ap")

_ROUNDING = 1e-12
"""Of areas, which lie between 0 and 1: a standard error below this is none."""
_ALIKE = "no interval: no patient moves it"


@dataclass(frozen=True, slots=True)
class ScoredModels:
    """One measure of K models on the same N images of P patients, L labels."""

    measure: Measure
    labels: tuple[str, ...]
    patients: NDArray[np.intp]  # (L, 2) with the finding on some image, and without it on some
    value: FloatArray  # (K, L), nan where not defined
    influence: FloatArray  # (K, L, P) the value minus what it is without the patient
    share: FloatArray  # (L, P) the patient's share of the images of its class
    is_positive: NDArray[np.bool_]  # (L, P) the patient has the finding on some image
    reasons: tuple[str | None, ...]  # (L,) why there is no value, or no interval

    def defined(self, columns: Sequence[int]) -> list[int]:
        """Return those of these labels that have a value."""
        return [column for column in columns if not np.isnan(self.value[:, column]).any()]

    def macro(self, columns: Sequence[int]) -> FloatArray:
        """Return (K,) each model's mean over those of these labels that have a value."""
        kept = self.defined(columns)
        if not kept:
            return np.full(len(self.value), np.nan)
        return np.asarray(self.value[:, kept].mean(axis=1))

    def mean(self, weights: FloatArray, columns: Sequence[int], level: float) -> Estimate:
        """Return the weighted mean of models, macro over labels, with its interval.

        Args:
            weights: (K,), not negative, of sum 1.
            columns: the labels of the macro mean, or the one label.
            level: of the interval.
        """
        value, part, reason = self._moved(weights, columns)
        if self.measure == "auroc" and len(columns) == 1 and (part or value == 1):
            patients = self.patients[columns[0]]
            part = part or Part(0.0, float(patients.min()))
            return bounded_auroc(
                value, part, level, positives=int(patients[0]), negatives=int(patients[1])
            )
        if part is None:
            return Estimate(value, None, reason)
        return bounded(value, part, level)

    def difference(self, weights: FloatArray, columns: Sequence[int], level: float) -> Estimate:
        """Return a contrast of models, macro over labels, with its interval.

        Args:
            weights: (K,), of sum 0: two seeds of two arms have (0.5, 0.5, -0.5, -0.5).
            columns: the labels of the macro mean, or the one label.
            level: of the interval.
        """
        value, part, reason = self._moved(weights, columns)
        if part is None:
            return Estimate(value, None, reason)
        return symmetric(value, (part,), level)

    def method_difference(
        self, weights: FloatArray, columns: Sequence[int], level: float
    ) -> Estimate:
        """Return the mean of contrasts, one a training, for other patients and other trainings.

        How the trainings differ patient by patient is in both the spread over trainings and the
        variance over patients. Of the latter only what all trainings share is kept: with v the
        variance of the mean and v₁ the mean of the S trainings' own, that is (S v − v₁) / (S − 1).

        Args:
            weights: (S, K), each of sum 0: what a pair of trainings is.
            columns: the labels of the macro mean, or the one label.
            level: of the interval.
        """
        value, part, reason = self._moved(weights.mean(axis=0), columns)
        if part is None:
            return Estimate(value, None, reason)
        by_seed, seeds = weights @ self.macro(columns), len(weights)
        own = [moved[1].variance for each in weights if (moved := self._moved(each, columns))[1]]
        if seeds > 1:
            shared = (seeds * part.variance - sum(own) / seeds) / (seeds - 1)
            part = Part(max(0.0, shared), part.df)
        return with_trainings(symmetric(value, (part,), level), by_seed, level)

    def _moved(
        self, weights: FloatArray, columns: Sequence[int]
    ) -> tuple[float, Part | None, str | None]:
        """Return the value, its variance over patients, and the reason where there is none."""
        kept = self.defined(columns)
        if not kept:
            named = [reason for column in columns if (reason := self.reasons[column])]
            return math.nan, None, named[0] if named else "no label"
        value = float(np.mean(weights @ self.value[:, kept]))
        lacking = [column for column in kept if self.reasons[column]]
        if lacking:
            where = f"{self.labels[lacking[0]]}, " if len(columns) > 1 else ""
            return value, None, f"{where}{self.reasons[lacking[0]]}"
        each = np.einsum("k,klp->lp", weights, self.influence[:, kept])  # (L', P)
        influence = each.mean(axis=0)
        patients = len(influence)
        variance = (patients - 1) / patients * float(np.sum((influence - influence.mean()) ** 2))
        if not math.sqrt(variance) > _ROUNDING:
            return value, None, _ALIKE
        # each class of each label shares its sum of squares out among its patients by their images
        squares = (
            np.where(self.is_positive[kept], each, 0.0),
            np.where(self.is_positive[kept], 0.0, each),
        )
        of_class = [np.sum(part**2, axis=1, keepdims=True) for part in squares]  # (L', 1)
        shares = np.where(self.is_positive[kept], *of_class) * self.share[kept]
        by_patient = shares.sum(axis=0)
        df = max(1.0, float(by_patient.sum() ** 2 / np.sum(by_patient**2)) - 1)
        return value, Part(variance, df), None


def score_models(
    target: ArrayLike,
    models: ArrayLike,
    patient_id: ArrayLike,
    labels: Sequence[str],
    *,
    threads: int | None = None,
) -> dict[Measure, ScoredModels]:
    """Return both measures of K models.

    A label without both classes has neither: the average precision of positives alone would be 1
    whatever the model. One whose positives, or negatives, are all of one patient has no interval.

    Args:
        target: (N, L) in {0, 1, nan}; nan is left out.
        models: (K, N, L) scores.
        patient_id: (N,) whose image each row is.
        labels: the L names.
        threads: at most so many, the cores there are if not given; the result is the same.

    Raises:
        RunError: a score is not finite.
        ValueError: the shapes do not agree.
    """
    truth, scores, patient = _checked(target, models, patient_id, labels)
    classes = [_Class.of(column, patient) for column in truth.T]
    columns = [np.ascontiguousarray(column) for column in truth.T]
    places = [(model, label) for model in range(len(scores)) for label in range(len(labels))]

    def found(place: tuple[int, int]) -> Areas:
        model, label = place
        return jackknife(columns[label], np.ascontiguousarray(scores[model, :, label]), patient)

    num_threads = threads or cores()
    if num_threads == 1:
        each = list(map(found, places))
    else:
        with ThreadPoolExecutor(num_threads) as pool:
            each = list(pool.map(found, places))
    table = np.array(each).reshape(*scores.shape[::2], 2, -1)
    table[:, [bool(c.reason) and c.lacks_a_class for c in classes]] = np.nan
    return {
        measure: ScoredModels(
            measure=measure,
            labels=tuple(labels),
            patients=np.array([c.patients for c in classes]).reshape(-1, 2),
            value=table[:, :, place, 0],
            influence=table[:, :, place, :1] - table[:, :, place, 1:],
            share=np.stack([c.share for c in classes]),
            is_positive=np.stack([c.is_positive for c in classes]),
            reasons=tuple(c.reason for c in classes),
        )
        for place, measure in enumerate(MEASURES)
    }


def score_one(target: ArrayLike, probs: ArrayLike, patient_id: ArrayLike, level: float) -> Estimate:
    """Return the AUROC of one model for one label, (N,) each, with its interval.

    >>> target, probs = [0, 0, 0, 1, 1, 1], [0.1, 0.4, 0.5, 0.35, 0.8, 0.9]
    >>> found = score_one(target, probs, list("abcdef"), 0.95)
    >>> round(found.value, 4), round(found.se, 4)  # 7 of 9 pairs
    (0.7778, 0.2778)
    """
    truth, scores = np.asarray(target)[:, None], np.asarray(probs)[None, :, None]
    found = score_models(truth, scores, patient_id, [""], threads=1)["auroc"]
    return found.mean(np.ones(1), [0], level)


def _checked(
    target: ArrayLike, models: ArrayLike, patient_id: ArrayLike, labels: Sequence[str]
) -> tuple[FloatArray, FloatArray, NDArray[np.intp]]:
    """Return target (N, L), scores (K, N, L) and patients (N,) from 0, once they agree."""
    truth, scores = np.asarray(target, dtype=np.float64), np.asarray(models, dtype=np.float64)
    if truth.ndim != 2 or scores.ndim != 3 or scores.shape[1:] != truth.shape:
        need = "need target (N, L) and models (K, N, L)"
        raise ValueError(f"{need}, got {truth.shape} and {scores.shape}")
    if truth.shape[1] != len(labels):
        raise ValueError(f"need {truth.shape[1]} labels, got {len(labels)}")
    for model in scores:
        check_scores(truth, model)
    patient = group(patient_id)
    if patient.shape != truth.shape[:1] or not len(patient):
        raise ValueError(f"patient_id must be {truth.shape[:1]} and not empty: {patient.shape}")
    return truth, scores, patient


@dataclass(frozen=True, slots=True)
class _Class:
    """Whose images a label's classes are."""

    is_positive: NDArray[np.bool_]  # (P,)
    share: FloatArray  # (P,)
    patients: tuple[int, int]  # with the finding on some image, and without it on some
    lacks_a_class: bool
    reason: str | None

    @classmethod
    def of(cls, truth: FloatArray, patient: NDArray[np.intp]) -> "_Class":
        """Return it from target (N,) and patients (N,)."""
        num = int(patient.max()) + 1
        with_finding = np.bincount(patient, truth == 1, minlength=num) > 0
        known = np.bincount(patient, ~np.isnan(truth), minlength=num)
        of_class = np.where(with_finding, known[with_finding].sum(), known[~with_finding].sum())
        owners = {"positive": patient[truth == 1], "negative": patient[truth == 0]}
        missing = [state for state, whose in owners.items() if not len(whose)]
        if len(missing) == 2:
            reason: str | None = "no known target"
        elif missing:
            reason = f"no known {missing[0]}"
        else:
            alone = [state for state, whose in owners.items() if whose.min() == whose.max()]
            reason = f"no interval: all {alone[0]}s are of one patient" if alone else None
        patients = len(np.unique(owners["positive"])), len(np.unique(owners["negative"]))
        return cls(with_finding, ratio(known, of_class), patients, bool(missing), reason)
