"""What models say at thresholds: their rates, and how far each patient moves them, in closed form.

Each model has a threshold of its own for each label, fixed on validation patients (`thresholds`).
An image then falls into one of four cells, and a rate is a ratio of two sums over them. Without a
patient both sums are less by the patient's own part: leaving out is exact and needs no loop. The
intervals hold for the thresholds as they are; what other validation patients would have given is
not in them, but with several trainings some of it is, in the spread over trainings.

Net benefit weighs false alarms against findings as someone does who treats from a probability of t
on: a false alarm is worth t / (1 - t) of a finding. Beside it belongs what treating all and
treating none would give (`treat_all`, and 0).

Sources: Altman and Bland 1994, "Diagnostic tests 2: predictive values" (PPV at a prevalence);
Vickers and Elkin 2006, Medical Decision Making 26, 565-574 (net benefit, decision curve).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.patient_images import PatientImages
from fedcxr.metrics.scored_models import Bounds, Reasons, ScoredModels
from fedcxr.metrics.studies import IMAGES, Units

Rate = Literal["sensitivity", "specificity", "fpr", "ppv", "npv", "f1", "accuracy"]
Cells = tuple[float, float, float, float]
"""What an image of each cell counts: found, missed, false alarm, rightly let go."""

NET_BENEFIT_AT = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Probabilities of treatment of the decision curve: from rare and grave to a coin's toss."""


@dataclass(frozen=True, slots=True)
class _Ratio:
    """A measure as a ratio of two weighted sums over the cells, and what it rests on."""

    above: Cells
    below: Cells
    behind: Cells
    """Must hold an image for a value, of two patients for an interval."""
    one: str
    """Of the images behind; {one} and {many} are what they are called."""
    many: str
    bounds: Bounds = "share"


_RATIOS: dict[Rate, _Ratio] = {
    "sensitivity": _Ratio((1, 0, 0, 0), (1, 1, 0, 0), (1, 1, 0, 0), "known positive", "positives"),
    "specificity": _Ratio((0, 0, 0, 1), (0, 0, 1, 1), (0, 0, 1, 1), "known negative", "negatives"),
    "fpr": _Ratio((0, 0, 1, 0), (0, 0, 1, 1), (0, 0, 1, 1), "known negative", "negatives"),
    "ppv": _Ratio(
        (1, 0, 0, 0), (1, 0, 1, 0), (1, 0, 1, 0), "{one} called positive", "{many} called positive"
    ),
    "npv": _Ratio(
        (0, 0, 0, 1), (0, 1, 0, 1), (0, 1, 0, 1), "{one} called negative", "{many} called negative"
    ),
    # tp / (tp + (fn + fp) / 2) is 0 where no image is positive; but then there is no recall
    "f1": _Ratio((2, 0, 0, 0), (2, 1, 1, 0), (1, 1, 0, 0), "known positive", "positives"),
    "accuracy": _Ratio((1, 0, 0, 1), (1, 1, 1, 1), (1, 1, 1, 1), "known target", "{many}"),
}
RATES: tuple[Rate, ...] = tuple(_RATIOS)


@dataclass(frozen=True, slots=True)
class CalledImages:
    """Which images of each patient K models call positive for L labels."""

    labels: tuple[str, ...]
    whose: PatientImages
    found: NDArray[np.int32]  # (K, L, P) positives called positive
    alarms: NDArray[np.int32]  # (K, L, P) negatives called positive
    reasons: Reasons  # why a model has no threshold for a label
    units: Units

    def sums(self, weights: Cells) -> FloatArray:
        """Return (K, L, P) the weighted sum of each patient's cells."""
        tp, fn, fp, tn = weights
        total = np.asarray(
            fn * self.whose.positives + tn * self.whose.negatives, dtype=np.float64
        )  # (L, P)
        for more, images in ((tp - fn, self.found), (fp - tn, self.alarms)):
            if more:  # what all models share is kept once
                total = total + more * images
        return np.broadcast_to(total, self.found.shape)

    def cells(self) -> NDArray[np.int64]:
        """Return (K, L, 4) images in each cell: found, missed, false alarm, rightly let go."""
        found, alarms = self.found.sum(axis=-1), self.alarms.sum(axis=-1)
        positives, negatives = (
            each.sum(axis=-1) for each in (self.whose.positives, self.whose.negatives)
        )
        return np.stack([found, positives - found, alarms, negatives - alarms], axis=-1)


def call_images(
    truth: NDArray[np.floating],
    models: FloatArray,
    patient: NDArray[np.intp],
    labels: Sequence[str],
    cuts: ArrayLike,
    *,
    reasons: Reasons | None = None,
    num_patients: int | None = None,
    units: Units = IMAGES,
) -> CalledImages:
    """Return what models call positive at their thresholds.

    Args:
        truth: (N, L) in {0, 1, nan}; nan is left out.
        models: (K, N, L) finite scores.
        patient: (N,) whose image each row is, in 0 to P - 1.
        labels: the L names.
        cuts: (K, L), or one for all; positive from there on; nan = no threshold.
        reasons: why there is none.
        num_patients: P, if it is more than are met.
        units: what the rows are called.
    """
    whose = PatientImages.of(truth, patient, num_patients)
    at = np.broadcast_to(np.asarray(cuts, dtype=np.float64), (len(models), len(labels)))
    counted = np.zeros((2, len(models), *whose.positives.shape), np.int32)
    for column in range(len(labels)):
        for place, state in enumerate((1, 0)):
            rows = np.flatnonzero(truth[:, column] == state)
            called = models[:, rows, column] >= at[:, column, None]  # (K, N'); nan calls nothing
            for row, own in enumerate(called):
                counted[place, row, column] = np.bincount(
                    patient[rows[own]], minlength=counted.shape[-1]
                )
    stated = tuple(
        tuple(
            (reasons[row][column] if reasons else None) or "no threshold" if is_none else None
            for column, is_none in enumerate(np.isnan(own))
        )
        for row, own in enumerate(at)
    )
    found, alarms = counted
    return CalledImages(tuple(labels), whose, found, alarms, stated, units)


def score_rate(called: CalledImages, rate: Rate) -> ScoredModels:
    """Return a rate of all models and labels, leaving out each patient exactly."""
    return _scored(called, rate, _RATIOS[rate])


def score_net_benefit(called: CalledImages, at: float) -> ScoredModels:
    """Return the net benefit of calling positive from a probability on.

    Args:
        called: at that probability.
        at: in (0, 1).
    """
    ratio = _Ratio((1, 0, -odds(at), 0), (1, 1, 1, 1), (1, 1, 1, 1), "known target", "{many}")
    return _scored(called, "net_benefit", ratio, bounds="none")


def treat_all(prevalence: FloatArray, at: float) -> FloatArray:
    """Return the net benefit of calling every image positive.

    >>> float(treat_all(np.array(0.3), 0.2))  # 0.3 - 0.7 / 4
    0.125
    """
    return np.asarray(prevalence - (1 - prevalence) * odds(at))


def odds(chance: float) -> float:
    """Return what a false alarm costs in findings, treating from a probability on."""
    return chance / (1 - chance)


def score_ppv_at(called: CalledImages, prevalence: Sequence[float | None]) -> ScoredModels:
    """Return the PPV at a stated prevalence of each label, by Bayes' rule.

    A test set seldom has the prevalence of the clinic, and its own PPV holds for its own only.

    Args:
        called: at thresholds.
        prevalence: of each label, in (0, 1); None = not stated, and there is no value.

    Raises:
        ValueError: not one for each label, or out of range.
    """
    if len(prevalence) != len(called.labels) or any(
        each is not None and not 0 < each < 1 for each in prevalence
    ):
        raise ValueError(
            f"prevalence must be {len(called.labels)} numbers in (0, 1) or None: {prevalence}"
        )
    chance = np.array([np.nan if each is None else each for each in prevalence])[:, None]  # (L, 1)
    rates = score_rate(called, "sensitivity"), score_rate(called, "fpr")
    values = [rate.value[..., None] for rate in rates]
    whole = _by_bayes(values[0], values[1], chance)[..., 0]
    without = _by_bayes(values[0] - rates[0].influence, values[1] - rates[1].influence, chance)
    one, many = called.units
    one_alone = f"no interval: all {many} called positive are of one patient"
    unstated = ["no prevalence stated" if each is None else None for each in prevalence]
    reasons = tuple(
        tuple(
            unstated[column]
            or rates[0].reasons[row][column]
            or rates[1].reasons[row][column]
            or (f"no {one} called positive" if np.isnan(whole[row, column]) else None)
            or (one_alone if np.isnan(without[row, column]).any() else None)
            for column in range(len(called.labels))
        )
        for row in range(len(whole))
    )
    return ScoredModels(
        measure="ppv_at_prevalence",
        bounds="area",
        labels=called.labels,
        patients=called.whose.patients,
        value=whole,
        influence=whole[..., None] - without,
        kind=called.whose.has_finding.astype(np.int8),
        images=called.whose.images.astype(np.float64),
        reasons=reasons,
    )


def _by_bayes(sensitivity: FloatArray, fpr: FloatArray, prevalence: FloatArray) -> FloatArray:
    rightly = sensitivity * prevalence
    called = rightly + fpr * (1 - prevalence)
    result: FloatArray = np.full(called.shape, np.nan)
    np.divide(rightly, called, out=result, where=called > 0)
    return result


def _scored(
    called: CalledImages, name: str, ratio: _Ratio, bounds: Bounds | None = None
) -> ScoredModels:
    above, below = called.sums(ratio.above), called.sums(ratio.below)
    behind = below if ratio.behind == ratio.below else called.sums(ratio.behind)
    patients_behind = np.count_nonzero(behind, axis=-1)  # (K, L)
    reasons = tuple(
        tuple(
            why or _lacks(ratio, int(num), called.units)
            for why, num in zip(of_model, patients_behind[row], strict=True)
        )
        for row, of_model in enumerate(called.reasons)
    )
    has_cut = np.array([[why is None for why in row] for row in called.reasons], dtype=np.bool_)
    has_value = (patients_behind > 0) & has_cut
    whole = _divide(above.sum(axis=-1), below.sum(axis=-1), has_value)
    without = _divide(
        above.sum(axis=-1, keepdims=True) - above,
        below.sum(axis=-1, keepdims=True) - below,
        (has_value & (patients_behind > 1))[..., None],
    )
    return ScoredModels(
        measure=name,
        bounds=bounds or ratio.bounds,
        labels=called.labels,
        patients=called.whose.patients,
        value=whole,
        influence=whole[..., None] - without,
        kind=called.whose.has_finding.astype(np.int8),
        images=behind.mean(axis=0),
        reasons=reasons,
    )


def _lacks(ratio: _Ratio, patients: int, units: Units) -> str | None:
    one, many = (text.format(one=units[0], many=units[1]) for text in (ratio.one, ratio.many))
    if not patients:
        return f"no {one}"
    return f"no interval: all {many} are of one patient" if patients == 1 else None


def _divide(above: FloatArray, below: FloatArray, where: NDArray[np.bool_]) -> FloatArray:
    result: FloatArray = np.full(below.shape, np.nan)
    np.divide(above, below, out=result, where=where & (below != 0))
    return result
