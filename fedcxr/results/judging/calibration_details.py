"""Calibration and decision curves of all arms, each model with the temperature of its own val."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fedcxr.metrics import calibration as metrics
from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.calibration import (
    NO_TEMPERATURE,
    expected_error,
    fit_temperature,
    mean_bins,
    reliability,
    tempered,
)
from fedcxr.metrics.scored_calibration import NO_ECE_INTERVAL, score_calibration
from fedcxr.metrics.scored_rates import NET_BENEFIT_AT, call_images, score_net_benefit, treat_all
from fedcxr.results.details import (
    ArmDecisionCurve,
    Bin,
    Calibration,
    CalibrationDifference,
    CalibrationNumbers,
    DecisionCurve,
    LabelCalibration,
    LabelCalibrationDifference,
)
from fedcxr.results.judging.all_models import AllModels, Pair, ScoreTable
from fedcxr.results.score import Score

Tables = Mapping[str, ScoreTable]


class ModelTemperatures:
    """The temperature of each of K models, and their probabilities after it."""

    def __init__(self, models: AllModels) -> None:
        self.each = [fit_temperature(val.target, val.probs) for val in models.val]
        self.probs: FloatArray = np.stack(
            [
                tempered(probs, each) if math.isfinite(each) else probs
                for probs, each in zip(models.probs, self.each, strict=True)
            ]
        )

    def of(self, rows: Sequence[int]) -> list[float] | None:
        """Return those of some models, None where one has none."""
        own = [self.each[row] for row in rows]
        return own if all(map(math.isfinite, own)) else None


def calibrations(
    models: AllModels, temperatures: ModelTemperatures
) -> tuple[dict[str, Calibration], dict[Pair, dict[str, LabelCalibrationDifference]]]:
    """Return the calibration of every arm, and the differences of every pair by label."""
    before, after = _tables(models, models.probs), _tables(models, temperatures.probs)
    labels = models.test.labels

    def of_arm(arm: str) -> Calibration:
        rows = models.rows(arm).tolist()
        own = temperatures.of(rows)
        return Calibration(
            temperature=float(np.mean(own)) if own else None,
            temperature_range=(min(own), max(own)) if own else None,
            reason=None if own else NO_TEMPERATURE,
            by_label={
                label: _of_label(models, temperatures, arm, column, (before, after))
                for column, label in enumerate(labels)
            },
        )

    def of_pair(pair: Pair) -> dict[str, LabelCalibrationDifference]:
        has_all = all(temperatures.of(models.rows(arm).tolist()) for arm in pair)
        found = {}
        for column, label in enumerate(labels):
            apart = CalibrationDifference(**_smooth(after, pair, column))
            found[label] = LabelCalibrationDifference(
                **_smooth(before, pair, column), tempered=apart if has_all else None
            )
        return found

    return (
        {arm: of_arm(arm) for arm in models.names},
        {pair: of_pair(pair) for pair in models.pairs},
    )


def decision_curves(
    models: AllModels, temperatures: ModelTemperatures
) -> tuple[dict[str, dict[str, ArmDecisionCurve]], dict[Pair, dict[str, DecisionCurve]]]:
    """Return the net benefit of every arm and of every pair by label, of tempered probabilities."""
    labels, target = models.test.labels, models.test.target
    reasons = tuple(
        (None if math.isfinite(each) else NO_TEMPERATURE,) * len(labels)
        for each in temperatures.each
    )
    tables = [
        models.table(
            score_net_benefit(
                call_images(
                    target,
                    temperatures.probs,
                    models.patient,
                    labels,
                    at,
                    reasons=reasons,
                    units=models.units,
                ),
                at,
            )
        )
        for at in NET_BENEFIT_AT
    ]
    known = ~np.isnan(target)
    everyone = [
        [float(treat_all(column[rows].mean(), at)) if rows.any() else None for at in NET_BENEFIT_AT]
        for column, rows in zip(target.T, known.T, strict=True)
    ]
    arms = {
        arm: {
            label: ArmDecisionCurve(
                at=NET_BENEFIT_AT,
                net_benefit=tuple(table.arms[arm][column] for table in tables),
                treat_all=tuple(everyone[column]),
            )
            for column, label in enumerate(labels)
        }
        for arm in models.names
    }
    pairs = {
        pair: {
            label: DecisionCurve(
                at=NET_BENEFIT_AT,
                net_benefit=tuple(table.pairs[pair][column] for table in tables),
            )
            for column, label in enumerate(labels)
        }
        for pair in models.pairs
    }
    return arms, pairs


def _tables(models: AllModels, probs: FloatArray) -> dict[str, ScoreTable]:
    test = models.test
    found = score_calibration(test.target, probs, test.patient_id, test.labels)
    return {name: models.table(scored) for name, scored in found.items()}


def _smooth(tables: Tables, of: str | Pair, column: int) -> dict[str, Score]:
    if isinstance(of, str):
        return {name: table.arms[of][column] for name, table in tables.items()}
    return {name: table.pairs[of][column] for name, table in tables.items()}


def _of_label(
    models: AllModels,
    temperatures: ModelTemperatures,
    arm: str,
    column: int,
    tables: tuple[Tables, Tables],
) -> LabelCalibration:
    rows = models.rows(arm)
    target = models.test.target[:, column]
    bins = [reliability(target, models.probs[row, :, column]) for row in rows]
    after = [reliability(target, temperatures.probs[row, :, column]) for row in rows]
    before = _smooth(tables[0], arm, column)
    apart = CalibrationNumbers(**_smooth(tables[1], arm, column), ece=_ece(after))
    return LabelCalibration(
        **before,
        ece=_ece(bins),
        reason=before["slope"].reason if before["slope"].value is None else None,
        bins=tuple(
            Bin(predicted=one.predicted, observed=one.observed, count=one.count, ci=one.ci)
            for one in mean_bins(bins)
        ),
        tempered=apart if temperatures.of(rows.tolist()) else None,
    )


def _ece(bins: Sequence[Sequence[metrics.Bin]]) -> Score:
    """Return the mean over models, which has no interval."""
    if not bins[0]:
        return Score(value=None, reason="no known target")
    return Score(
        value=float(np.mean([expected_error(own) for own in bins])), reason=NO_ECE_INTERVAL
    )
