"""Operating points of all arms: each model at its own thresholds, from validation patients."""

from collections.abc import Mapping, Sequence

import numpy as np

from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.scored_models import Reasons
from fedcxr.metrics.scored_rates import CalledImages, Rate, call_images, score_ppv_at, score_rate
from fedcxr.metrics.thresholds import POINTS, thresholds
from fedcxr.results.details import OperatingPoint, PointDifference, Rates
from fedcxr.results.judging.all_models import AllModels, Pair, ScoreTable
from fedcxr.results.score import Score

_RATES: tuple[Rate, ...] = ("sensitivity", "specificity", "ppv", "npv", "f1")


def cuts_at(models: AllModels, point: str) -> tuple[FloatArray, Reasons]:
    """Return (K, L) each model's threshold for each label, and why there is none."""
    chosen = [
        [
            thresholds(val.target[:, column], val.probs[:, column])[point]
            for column in range(len(val.labels))
        ]
        for val in models.val
    ]
    cuts = np.array([[each.value for each in own] for own in chosen], dtype=np.float64)
    return cuts, tuple(tuple(each.reason for each in own) for own in chosen)


def operating_points(
    models: AllModels, prevalence: Sequence[float | None]
) -> tuple[dict[str, tuple[OperatingPoint, ...]], dict[Pair, tuple[PointDifference, ...]]]:
    """Return the points of every arm and of every pair of arms, by label and point."""
    labels = models.test.labels
    cuts = {point: cuts_at(models, point) for point in POINTS}
    called = {
        point: call_images(
            models.test.target,
            models.probs,
            models.patient,
            labels,
            own,
            reasons=why,
            units=models.units,
        )
        for point, (own, why) in cuts.items()
    }
    tables = {point: _tables(models, found, prevalence) for point, found in called.items()}
    places = [(column, point) for column in range(len(labels)) for point in POINTS]
    arms = {
        arm: tuple(
            OperatingPoint(
                label=labels[column],
                point=point,
                **_threshold(models, arm, cuts[point], column),
                **_cells(models, arm, called[point], column),
                prevalence=prevalence[column],
                **_rates({name: each.arms[arm] for name, each in tables[point].items()}, column),
            )
            for column, point in places
        )
        for arm in models.names
    }
    pairs = {
        pair: tuple(
            PointDifference(
                label=labels[column],
                point=point,
                **_rates({name: each.pairs[pair] for name, each in tables[point].items()}, column),
            )
            for column, point in places
        )
        for pair in models.pairs
    }
    return arms, pairs


def _tables(
    models: AllModels, called: CalledImages, prevalence: Sequence[float | None]
) -> dict[str, ScoreTable]:
    found: dict[str, ScoreTable] = {}
    for rate in _RATES:
        found[rate] = models.table(score_rate(called, rate))
    return {**found, "ppv_at_prevalence": models.table(score_ppv_at(called, prevalence))}


def _rates(table: Mapping[str, Sequence[Score]], column: int) -> dict[str, Score]:
    return {name: table[name][column] for name in Rates.model_fields}


def _threshold(
    models: AllModels, arm: str, cuts: tuple[FloatArray, Reasons], column: int
) -> dict[str, object]:
    """Return the mean threshold of an arm's models, their range, and why there is none."""
    rows = models.rows(arm)
    own = cuts[0][rows, column]
    lacking = [reason for row in rows if (reason := cuts[1][row][column])]
    if lacking:
        where = f", in {len(lacking)} of {len(rows)} models" if len(rows) > 1 else ""
        return {"threshold": None, "threshold_range": None, "reason": f"{lacking[0]}{where}"}
    middle = float(own.mean())
    return {
        "threshold": middle,
        "threshold_range": (float(own.min()), float(own.max())),
        "reason": None,
    }


def _cells(
    models: AllModels, arm: str, called: CalledImages, column: int
) -> dict[str, float | None]:
    rows, names = models.rows(arm), ("tp", "fn", "fp", "tn")
    if any(called.reasons[row][column] for row in rows):
        return dict.fromkeys(names)
    mean = called.cells()[rows, column].mean(axis=0).tolist()
    return dict(zip(names, mean, strict=True))
