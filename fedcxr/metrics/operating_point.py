"""Operating points: what a threshold that was fixed on validation data gives on test data.

Choosing (`thresholds`) and applying (`apply`, `apply_all`) are two steps on two sets of images. The
intervals hold for the threshold as it is: that another validation set would have given another one
is not in them.

Sources: Altman and Bland 1994, "Diagnostic tests 2: predictive values" (PPV at a prevalence);
`confusion` for the intervals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.metrics.auroc import FloatArray, check_scores
from fedcxr.metrics.confusion import (
    FN,
    FP,
    TN,
    TP,
    check_draws,
    confusion_cells,
    estimate,
    estimate_of,
    measure,
    patients_behind,
    resampled_counts,
)
from fedcxr.metrics.estimate import Estimate
from fedcxr.metrics.thresholds import POINTS, Threshold, thresholds

__all__ = [
    "MEASURES",
    "POINTS",
    "Operating",
    "Threshold",
    "apply",
    "apply_all",
    "ppv_at",
    "thresholds",
]

MEASURES = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1", "ppv_at_prevalence")

_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Operating:
    """What one threshold gives for one label."""

    threshold: float  # nan if there is none
    prevalence: float | None  # the one of `ppv_at_prevalence`, in (0, 1); None = not stated
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    accuracy: Estimate
    f1: Estimate
    ppv_at_prevalence: Estimate
    tp: int | None  # images, as are the next three; None without a threshold
    fp: int | None
    tn: int | None
    fn: int | None

    @property
    def precision(self) -> Estimate:
        """The PPV under its other name."""
        return self.ppv

    @property
    def recall(self) -> Estimate:
        """The sensitivity under its other name."""
        return self.sensitivity

    @property
    def reason(self) -> str | None:
        """Why numbers or intervals are missing, naming them; None if all are there."""
        stated = MEASURES if self.prevalence is not None else MEASURES[:-1]
        missing: dict[str, list[str]] = {}
        for name in stated:
            why = getattr(self, name).reason
            if why is not None:
                missing.setdefault(why, []).append(name.replace("_", " "))
        if len(missing) == 1 and len(next(iter(missing.values()))) == len(stated):
            return next(iter(missing))
        return "; ".join(f"{', '.join(names)}: {why}" for why, names in missing.items()) or None


def apply(
    target: ArrayLike,
    probs: ArrayLike,
    patient_id: ArrayLike,
    threshold: Threshold,
    *,
    prevalence: float | None = None,
    resamples: int,
    seed: int,
    level: float = 0.95,
) -> Operating:
    """Return what one threshold gives for one label; arguments as in `apply_all`, but (N,).

    >>> found = apply([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], list("abcd"), Threshold(0.5),
    ...               prevalence=0.1, resamples=50, seed=0)
    >>> found.sensitivity.value, found.tp, found.fp, round(found.ppv_at_prevalence.value, 3)
    (0.5, 1, 1, 0.1)
    """
    (found,) = apply_all(
        np.asarray(target)[..., None],
        np.asarray(probs)[..., None],
        patient_id,
        [{"point": threshold}],
        prevalence=[prevalence],
        resamples=resamples,
        seed=seed,
        level=level,
    )
    return found["point"]


def apply_all(
    target: ArrayLike,
    probs: ArrayLike,
    patient_id: ArrayLike,
    thresholds: Sequence[Mapping[str, Threshold]],
    *,
    prevalence: Sequence[float | None] | None = None,
    resamples: int,
    seed: int,
    level: float = 0.95,
) -> tuple[dict[str, Operating], ...]:
    """Return what the thresholds give for each label, by point.

    Args:
        target: (N, L) in {0, 1, nan}; nan is left out.
        probs: (N, L) scores.
        patient_id: (N,) whose image each row is.
        thresholds: of each of the L labels, by point; the same points for all.
        prevalence: of each label, in (0, 1), for `ppv_at_prevalence`; None = not stated.
        resamples: how many times the patients are drawn, the same draws for all labels.
        seed: root seed of the draws.
        level: share of resamples inside an interval.

    Raises:
        RunError: a score is not finite.
        ValueError: arguments that do not agree or are out of range.
    """
    truth, scores = check_scores(target, probs)
    if truth.ndim != 2 or len(thresholds) != truth.shape[1] or not thresholds:
        raise ValueError(f"targets {truth.shape} need thresholds for each of L >= 1 labels")
    points = list(thresholds[0])
    if any(list(of_label) != points for of_label in thresholds):
        raise ValueError(f"every label needs the points {points}, in this order")
    chances = _check_prevalence(prevalence, len(thresholds))
    patient = check_draws(len(truth), patient_id, resamples, level)
    cuts = np.array([[of_label[point].value for point in points] for of_label in thresholds])
    cells = confusion_cells(truth[:, :, None], scores[:, :, None], cuts)  # (N, L, K, 4)
    table = _tabulate(*resampled_counts(cells, patient, resamples, seed))
    return tuple(
        {
            point: _operating(of_label[point], chances[row], table, at=(row, column), level=level)
            for column, point in enumerate(points)
        }
        for row, of_label in enumerate(thresholds)
    )


def ppv_at(sensitivity: ArrayLike, specificity: ArrayLike, prevalence: float) -> FloatArray:
    """Return the chance that an image called positive is positive, at a prevalence (Bayes).

    A test set seldom has the prevalence of the clinic, and its own PPV holds for its own only.

    >>> float(ppv_at(0.75, 0.75, 0.25))  # 0.1875 of all called rightly, 0.1875 wrongly
    0.5
    """
    rightly = np.asarray(sensitivity, dtype=np.float64) * prevalence
    called = rightly + (1 - np.asarray(specificity, dtype=np.float64)) * (1 - prevalence)
    result: FloatArray = np.full(called.shape, np.nan)
    np.divide(rightly, called, out=result, where=called > 0)
    return result


@dataclass(frozen=True, slots=True)
class _Table:
    """Every ratio for every label and point."""

    cells: FloatArray  # (L, K, 4)
    value: dict[str, FloatArray]  # (L, K)
    draws: dict[str, FloatArray]  # (R, L, K)
    patients: dict[str, NDArray[np.intp]]  # (L, K)


def _tabulate(counts: FloatArray, draws: FloatArray) -> _Table:
    cells = counts.sum(axis=0)
    names = MEASURES[:-1]
    return _Table(
        cells=cells,
        value={name: measure(name, cells) for name in names},
        draws={name: measure(name, draws) for name in names},
        patients={name: patients_behind(name, counts) for name in names},
    )


def _operating(
    threshold: Threshold,
    prevalence: float | None,
    table: _Table,
    *,
    at: tuple[int, int],
    level: float,
) -> Operating:
    """Return what is in the table at one label and point."""
    if np.isnan(threshold.value):
        none = Estimate(_NAN, None, threshold.reason or "no threshold")
        found = dict.fromkeys(MEASURES, none)
        return Operating(_NAN, prevalence, **found, tp=None, fp=None, tn=None, fn=None)
    found = {
        name: estimate_of(
            name,
            float(table.value[name][at]),
            table.draws[name][:, at[0], at[1]],
            patients=int(table.patients[name][at]),
            level=level,
        )
        for name in MEASURES[:-1]
    }
    found["ppv_at_prevalence"] = _at_prevalence(found, prevalence, table, at=at, level=level)
    tp, fp, tn, fn = (int(table.cells[at][cell]) for cell in (TP, FP, TN, FN))
    return Operating(threshold.value, prevalence, **found, tp=tp, fp=fp, tn=tn, fn=fn)


def _at_prevalence(
    found: Mapping[str, Estimate],
    prevalence: float | None,
    table: _Table,
    *,
    at: tuple[int, int],
    level: float,
) -> Estimate:
    """Return the PPV at the prevalence, which rests on both rates."""
    if prevalence is None:
        return Estimate(_NAN, None, "no prevalence stated")
    names = ("sensitivity", "specificity")
    for name in names:
        if np.isnan(found[name].value):
            return found[name]
    value = float(ppv_at(found[names[0]].value, found[names[1]].value, prevalence))
    if np.isnan(value):
        return Estimate(_NAN, None, "no image called positive")
    for name in names:
        if table.patients[name][at] < 2:
            return Estimate(value, None, found[name].reason)
    first, second = (table.draws[name][:, at[0], at[1]] for name in names)
    return estimate(value, ppv_at(first, second, prevalence), level)


def _check_prevalence(
    prevalence: Sequence[float | None] | None, num_labels: int
) -> list[float | None]:
    chances: list[float | None] = [None] * num_labels
    if prevalence is not None:
        chances = list(prevalence)
    if len(chances) != num_labels or any(p is not None and not 0 < p < 1 for p in chances):
        raise ValueError(f"prevalence must be {num_labels} numbers in (0, 1) or None: {chances}")
    return chances
