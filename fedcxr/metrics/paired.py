"""Arms scored on the same patients, resampled together: how far apart two ways of training are.

An *arm* is a way of training; each of its seeds gave one model, and the arm's value is the mean
over them, in every resample too. All arms see the same draws of patients, so what makes a draw
easy for all cancels in a difference. The intervals are conditional on the trained models: they
say what other patients would change, not what another training would (see `training_claim`).

Rules for what a resample, or leaving out a patient, can lose; they are those of `bootstrap`:
- A label that keeps one class only has neither area there. By itself it does without that
  resample; in a macro mean its full-set value stands in.
- A label whose positives, or negatives, all come from one patient gets no interval.

Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 13 and 14.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.cores import cores
from fedcxr.metrics.auroc import FloatArray, Interval, check_scores
from fedcxr.metrics.bca import bca, percentile
from fedcxr.metrics.resampled import resampled_areas
from fedcxr.metrics.resampling import group

MEASURES = ("auroc", "ap")


@dataclass(frozen=True, slots=True)
class ArmScores:
    """One measure of one arm, label by label; nan where not defined."""

    value: FloatArray  # (L,) mean over seeds
    by_seed: FloatArray  # (S, L)
    draws: FloatArray  # (R, L) mean over seeds in each resample
    jackknife: FloatArray  # (P, L) mean over seeds without each patient
    reasons: tuple[str | None, ...]  # (L,) why there is no value, or no interval


@dataclass(frozen=True, slots=True)
class PairedDraws:
    """Every arm's scores under the same draws; a measure not asked for is empty."""

    auroc: dict[str, ArmScores]
    ap: dict[str, ArmScores]
    resamples: int
    num_patients: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval over patients, or the reason for having none."""

    value: float | None
    ci: Interval | None
    se: float | None  # standard deviation over the resamples; None where `ci` is
    reason: str | None = None


Difference = Estimate  # of the first arm minus the second


def paired_bootstrap(
    target: ArrayLike,
    arms: Mapping[str, ArrayLike],
    patient_id: ArrayLike,
    *,
    resamples: int,
    seed: int,
    measures: Sequence[str] = MEASURES,
    threads: int | None = None,
) -> PairedDraws:
    """Return the areas of every arm on the full set, in each resample and without each patient.

    Args:
        target: (N, L) in {0, 1, nan}.
        arms: (S, N, L) scores by arm; arms may differ in S.
        patient_id: (N,) whose image each row is.
        resamples: R, how many times the patients are drawn.
        seed: root seed of the draws, which are those of `bootstrap_auroc`.
        measures: of "auroc" and "ap".
        threads: at most so many, the cores there are if not given; the result is the same.

    Raises:
        RunError: a score is not finite.
        ValueError: shapes that do not agree, or an argument out of range.
    """
    truth, stacks = _checked(target, arms)
    ids = np.asarray(patient_id)
    if ids.shape != truth.shape[:1] or not len(ids):
        raise ValueError(f"patient_id must be {truth.shape[:1]} and not empty, got {ids.shape}")
    if resamples < 1 or not set(measures) <= set(MEASURES):
        raise ValueError(f"need resamples >= 1 and measures of {MEASURES}, got {measures}")
    patient = group(ids)
    reasons = tuple(_reason(column, patient) for column in truth.T)
    models = np.concatenate(list(stacks.values()))  # (M, N, L), the seeds of all arms
    drawn, without = resampled_areas(
        truth, models, patient, resamples=resamples, seed=seed, threads=threads or cores()
    )
    ends = np.cumsum([len(stack) for stack in stacks.values()])
    rows = dict(zip(stacks, np.split(np.arange(len(models)), ends[:-1]), strict=True))
    auroc, ap = (
        {name: _arm_scores(drawn[place, m], without[place, m], reasons) for name, m in rows.items()}
        if measure in measures
        else {}
        for place, measure in enumerate(MEASURES)
    )
    return PairedDraws(auroc, ap, resamples, int(patient.max()) + 1)


def macro_value(scores: ArmScores, columns: Sequence[int]) -> float:
    """Return the mean over those of these labels that have a value, nan if none has."""
    defined = _defined(scores, columns)
    return float(scores.value[defined].mean()) if defined else float("nan")


def macro_draws(scores: ArmScores, columns: Sequence[int]) -> FloatArray:
    """Return (R,) the mean over these labels in each resample; a lost one takes its full value.

    One label asked for by itself stays nan where it is lost. A label without a value is left out.
    """
    return _macro(scores, scores.draws, columns)


def macro_jackknife(scores: ArmScores, columns: Sequence[int]) -> FloatArray:
    """Return (P,) the mean over these labels without each patient, as `macro_draws` does it."""
    return _macro(scores, scores.jackknife, columns)


def estimate(scores: ArmScores, *, columns: Sequence[int], level: float) -> Estimate:
    """Return an arm's mean over these labels, or one label, with its percentile interval."""
    value = macro_value(scores, columns)
    draws = macro_draws(scores, columns)
    return _estimate(value, draws, percentile(draws, level), _why(scores, columns))


def difference(
    scores: Mapping[str, ArmScores],
    first: str,
    second: str,
    *,
    columns: Sequence[int],
    level: float,
) -> Difference:
    """Return the first arm's mean over these labels minus the second's, with its BCa interval.

    Args:
        scores: of one measure, from one call of `paired_bootstrap`.
        first: an arm.
        second: another.
        columns: the labels of the macro mean, or the one label.
        level: of the interval, in (0, 1).

    Raises:
        ValueError: a level out of range.
    """
    one, two = scores[first], scores[second]
    value = macro_value(one, columns) - macro_value(two, columns)
    draws = macro_draws(one, columns) - macro_draws(two, columns)
    without = macro_jackknife(one, columns) - macro_jackknife(two, columns)
    ci, reason = bca(value, draws, without, level)
    return _estimate(value, draws, ci, _why(one, columns) or reason)


def _checked(
    target: ArrayLike, arms: Mapping[str, ArrayLike]
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Return target (N, L) and scores (S, N, L) once every model is fit to be scored."""
    stacks = {}
    truth = np.asarray(target, dtype=np.float64)
    if truth.ndim != 2 or not arms:
        raise ValueError(f"need a target (N, L) and at least one arm, got {truth.shape}")
    for name, probs in arms.items():
        stack = np.asarray(probs, dtype=np.float64)
        if stack.ndim != 3 or not len(stack):
            raise ValueError(f"arm {name!r}: scores must be (S, N, L), got {stack.shape}")
        for model in stack:
            check_scores(truth, model)
        stacks[name] = stack
    return truth, stacks


def _reason(truth: FloatArray, patient: NDArray[np.intp]) -> str | None:
    """Return why a label has no value, or no interval."""
    owners = {"positive": patient[truth == 1], "negative": patient[truth == 0]}
    missing = [state for state, whose in owners.items() if not len(whose)]
    if missing:
        return "no known target" if len(missing) == 2 else f"no known {missing[0]}"
    for state, whose in owners.items():
        if whose.min() == whose.max():
            return f"no interval: all {state}s are of one patient"
    return None


def _arm_scores(
    drawn: FloatArray, without: FloatArray, reasons: tuple[str | None, ...]
) -> ArmScores:
    """Return the scores of one arm from (S, L, 1 + R) and (S, L, P)."""
    mean = drawn.mean(axis=0)
    return ArmScores(
        value=mean[:, 0],
        by_seed=drawn[:, :, 0],
        draws=mean[:, 1:].T,
        jackknife=without.mean(axis=0).T,
        reasons=reasons,
    )


def _defined(scores: ArmScores, columns: Sequence[int]) -> list[int]:
    return [column for column in columns if not np.isnan(scores.value[column])]


def _macro(scores: ArmScores, table: FloatArray, columns: Sequence[int]) -> FloatArray:
    """Return the mean of each row of the table over these labels, with the stand-ins."""
    if len(columns) == 1:
        return table[:, columns[0]]
    defined = _defined(scores, columns)
    if not defined:
        return np.full(len(table), np.nan)
    kept = table[:, defined]
    mean: FloatArray = np.where(np.isnan(kept), scores.value[defined], kept).mean(axis=1)
    return mean


def _why(scores: ArmScores, columns: Sequence[int]) -> str | None:
    """Return why these labels have no value or no interval; None while one of them has."""
    if not columns:
        return "no label"
    reasons = [scores.reasons[column] for column in _defined(scores, columns) or columns]
    return reasons[0] if None not in reasons else None


def _estimate(value: float, draws: FloatArray, ci: Interval, reason: str | None) -> Estimate:
    if np.isnan(value):
        return Estimate(None, None, None, reason)
    if reason is None and np.isnan(ci[0]):
        reason = "no interval: no resample has both classes"
    if reason is not None:
        return Estimate(value, None, None, reason)
    kept = draws[~np.isnan(draws)]
    return Estimate(value, ci, float(kept.std(ddof=1)) if len(kept) > 1 else None)
