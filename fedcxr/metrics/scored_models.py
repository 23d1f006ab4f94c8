"""One measure of many models on the same test patients, and the interval of any mean or difference.

Each model, label by label, has its value, and how far each patient moves it: the value less what it
is without the patient. Influences of several models or labels add up as their values do. So a mean
over seeds, a difference of two arms, a group of patients against the rest and a macro mean over
labels that share their patients all have the variance of the patient jackknife, with no draws and
in closed form, and Student's t with as many degrees of freedom as there are patients who could have
moved the value much. The intervals are for other patients and the same models;
`estimate.with_trainings` adds what other trainings would move.

`scored_areas`, `scored_rates` and `scored_calibration` make them.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", equation 11.5 (jackknife);
Satterthwaite 1946, Biometrics Bulletin 2, 110-114, with the shares of Carter, Schnepel and
Steigerwald 2017, Review of Economics and Statistics 99, 698-709 (patients of unequal size). Joining
the labels' shares is our own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.estimate import (
    Estimate,
    Part,
    bounded,
    bounded_auroc,
    bounded_share,
    over_folds,
    symmetric,
    with_trainings,
)

Bounds = Literal["auroc", "area", "share", "none"]
"""What a mean's interval knows of the measure: that of one label is an AUROC's; it lies between 0
and 1; it is a share of images; nothing."""
Reasons = tuple[tuple[str | None, ...], ...]
"""(K, L) why a model has no value for a label, or no interval; None where it has both."""

_ROUNDING = 1e-12
"""Of areas, which lie between 0 and 1: a standard error below this is none."""
_ALIKE = "no interval: no patient moves it"


@dataclass(frozen=True, slots=True)
class ScoredModels:
    """One measure of K models on the same images of P patients, L labels."""

    measure: str
    bounds: Bounds
    labels: tuple[str, ...]
    patients: NDArray[np.intp]  # (L, 2) with the finding on some image, and without it on some
    value: FloatArray  # (K, L), nan where not defined
    influence: FloatArray  # (K, L, P) the value minus what it is without the patient
    kind: NDArray[np.int8]  # (L, P) patients of one kind move the value alike, image by image
    images: FloatArray  # (L, P) of the patient, that the measure rests on; 0 = moves nothing
    reasons: Reasons
    fewest: NDArray[np.intp] | None = None
    """(L, 2) as `patients`, in the fold that has fewest; None without folds."""

    def defined(self, columns: Sequence[int], models: NDArray[np.intp] | None = None) -> list[int]:
        """Return those of these labels that have a value, of all models or of these."""
        value = self.value if models is None else self.value[models]
        return [column for column in columns if not np.isnan(value[:, column]).any()]

    def macro(self, columns: Sequence[int]) -> FloatArray:
        """Return (K,) each model's mean over those of these labels that have a value."""
        kept = self.defined(columns)
        if not kept:
            return np.full(len(self.value), np.nan)
        return np.asarray(self.value[:, kept].mean(axis=1))

    def combined(self, weights: FloatArray) -> "ScoredModels":
        """Return means of models as models of their own: an arm's sites as one training.

        Args:
            weights: (T, K), not negative, each of sum 1.
        """
        used = [np.flatnonzero(each) for each in weights]
        shares = [each[rows] for each, rows in zip(weights, used, strict=True)]

        def mean(of: FloatArray) -> FloatArray:
            means = np.empty((len(weights), *of.shape[1:]))
            for place, rows in enumerate(used):
                means[place] = shares[place][0] * of[rows[0]]
                for share, row in zip(shares[place][1:], rows[1:], strict=True):
                    means[place] += share * of[row]
            return means

        return replace(
            self,
            value=mean(self.value),
            influence=mean(self.influence),
            reasons=tuple(
                tuple(self.reason(column, rows) for column in range(len(self.labels)))
                for rows in used
            ),
        )

    def minus(self, other: "ScoredModels", measure: str) -> "ScoredModels":
        """Return how far these lie above others, of the same models and patients but other images.

        A patient with images in both is of the kind that it has here.
        """
        kind = np.where(self.images > 0, self.kind, 2 + other.kind)
        return replace(
            self,
            measure=measure,
            bounds="none",
            patients=np.minimum(self.patients, other.patients),
            value=self.value - other.value,
            influence=self.influence - other.influence,
            kind=kind.astype(np.int8),
            images=np.where(self.images > 0, self.images, other.images),
            reasons=tuple(
                tuple(one or two for one, two in zip(mine, theirs, strict=True))
                for mine, theirs in zip(self.reasons, other.reasons, strict=True)
            ),
        )

    def reason(self, column: int, models: Sequence[int] | NDArray[np.intp]) -> str | None:
        """Return why one of these models lacks something for a label."""
        return next((why for row in models if (why := self.reasons[row][column])), None)

    def mean(self, weights: FloatArray, columns: Sequence[int], level: float) -> Estimate:
        """Return the weighted mean of models, macro over labels, with its interval.

        Args:
            weights: (K,), not negative, of sum 1.
            columns: the labels of the macro mean, or the one label.
            level: of the interval.
        """
        value, part, reason = self._moved(weights, columns)
        if len(columns) == 1 and self.bounds in ("auroc", "share"):
            return self._bounded(value, part, reason, column=columns[0], level=level)
        if part is None:
            return Estimate(value, None, reason)
        if self.bounds == "none":
            return symmetric(value, (part,), level)
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

    def fold_difference(
        self, weights: FloatArray, columns: Sequence[int], level: float, *, test_share: float
    ) -> Estimate:
        """Return the mean of contrasts, one a fold, for other patients and other trainings.

        Args:
            weights: (F, K), each of sum 0: what a fold's arms are apart.
            columns: the labels of the macro mean, or the one label.
            level: of the interval.
            test_share: as `estimate.over_folds` takes it.
        """
        value, part, reason = self._moved(weights.mean(axis=0), columns)
        if part is None:
            return Estimate(value, None, reason)
        models = np.flatnonzero(weights.any(axis=0))
        kept = self.defined(columns, models)
        by_fold = weights[:, models] @ self.value[models][:, kept].mean(axis=1)
        return over_folds(by_fold, test_share, level)

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
        models, seeds = np.flatnonzero(weights.any(axis=0)), len(weights)
        kept = self.defined(columns, models)
        by_seed = weights[:, models] @ self.value[models][:, kept].mean(axis=1)
        if seeds > 1:
            own = float(np.mean(_variance(self._influence(weights, models, kept).mean(axis=1))))
            part = Part(max(0.0, (seeds * part.variance - own) / (seeds - 1)), part.df)
        return with_trainings(symmetric(value, (part,), level), by_seed, level)

    def _bounded(
        self, value: float, part: Part | None, reason: str | None, *, column: int, level: float
    ) -> Estimate:
        """Return one label's AUROC or share, which has an interval at its very bounds too."""
        patients = self.patients[column]
        if part is None and (reason != _ALIKE or value not in (0, 1)):
            return Estimate(value, None, reason)
        if self.bounds == "share":
            images = self.images[column]
            behind = float(images.sum() ** 2 / np.sum(images**2))  # patients, were all alike
            part = part or Part(0.0, max(1.0, behind - 1))
            return bounded_share(value, part, level, patients=behind)
        if value == 0:
            return Estimate(value, None, reason)
        part = part or Part(0.0, float(patients.min()))
        return bounded_auroc(
            value, part, level, positives=int(patients[0]), negatives=int(patients[1])
        )

    def _moved(
        self, weights: FloatArray, columns: Sequence[int]
    ) -> tuple[float, Part | None, str | None]:
        """Return the value, its variance over patients, and the reason where there is none."""
        models = np.flatnonzero(weights)
        kept = self.defined(columns, models)
        if not kept:
            named = [reason for column in columns if (reason := self.reason(column, models))]
            return math.nan, None, named[0] if named else "no label"
        value = float(np.mean(weights[models] @ self.value[models][:, kept]))
        lacking = [column for column in kept if self.reason(column, models)]
        if lacking:
            where = f"{self.labels[lacking[0]]}, " if len(columns) > 1 else ""
            return value, None, f"{where}{self.reason(lacking[0], models)}"
        each = self._influence(weights[None], models, kept)[0]  # (L', P)
        variance = float(_variance(each.mean(axis=0)))
        if not math.sqrt(variance) > _ROUNDING:
            return value, None, _ALIKE
        return value, Part(variance, self._freedom(each, kept)), None

    def _influence(
        self, weights: FloatArray, models: NDArray[np.intp], kept: Sequence[int]
    ) -> FloatArray:
        """Return (S, L', P) the influences on S weighted sums (S, K) of these models."""
        found = np.empty((len(weights), len(kept), self.influence.shape[-1]))
        for place, column in enumerate(kept):
            found[:, place] = weights[:, models] @ self.influence[models, column]
        return found

    def _freedom(self, each: FloatArray, kept: Sequence[int]) -> float:
        """Return the degrees of freedom of the variance of these influences, (L', P).

        Each kind of patient of each label shares its sum of squares out by the patients' images.
        """
        by_patient = np.zeros(each.shape[1])
        for moved, column in zip(each, kept, strict=True):
            kind, images = self.kind[column], self.images[column]
            squares = np.bincount(kind, weights=moved**2)
            of_kind = np.bincount(kind, weights=images)
            by_image = np.divide(squares, of_kind, out=np.zeros(len(squares)), where=of_kind > 0)
            by_patient += by_image[kind] * images
        if not by_patient.any():  # moved by false alarms alone, which an F1 does not rest on
            by_patient = np.sum(each**2, axis=0)
        return max(1.0, float(by_patient.sum() ** 2 / np.sum(by_patient**2)) - 1)


def _variance(influence: FloatArray) -> FloatArray:
    """Return the jackknife's variance over the patients, the last axis."""
    patients = influence.shape[-1]
    spread = influence - influence.mean(axis=-1, keepdims=True)
    return np.asarray((patients - 1) / patients * np.sum(spread**2, axis=-1))
