"""What a simulated study says at thresholds, of calibration and of groups; of one label.

A model calls positive from half its shift on, where sensitivity and specificity are alike. Its
probabilities are those that are right for its scores, so that slope and intercept are 1 and 0.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy import special

from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.regime import Cell
from fedcxr.metrics.scored_areas import score_models
from fedcxr.metrics.scored_calibration import score_calibration
from fedcxr.metrics.scored_models import ScoredModels
from fedcxr.metrics.scored_rates import call_images, odds, score_net_benefit, score_rate
from fedcxr.metrics.simulated_study import BoolArray, Design, Found, Study, shift_law

RATE_INTERVALS = (
    "rate",
    "rate_difference",
    "rate_methods",
    "ppv",
    "npv",
    "f1",
    "ppv_difference",
    "net_benefit",
    "benefit_difference",
)
CALIBRATION_INTERVALS = ("brier", "slope", "intercept", "slope_difference")
GROUP_INTERVALS = ("rate_gap", "gap_difference", "auroc_gap")
_LABELS = ("0",)
_TREATED_FROM = 0.1
"""The probability of treatment that the net benefit is tried at."""


def rates_of(study: Study, cell: Cell, design: Design) -> dict[str, Found]:
    """Return the intervals at thresholds by name, those that there are of the study.

    - `rate`, `ppv`, `npv`, `f1`, `net_benefit`: the second arm's sensitivity, and so on, for other
      patients; `ppv_difference`, `benefit_difference`: the first arm's less the second's.
    - `rate_difference`, `rate_methods`: the difference in sensitivity, of these models and of the
      ways of training.

    What holds the models fixed is held against what is true of these very models.
    """
    target, models = _pairs(study)
    called = call_images(target, models, study.patient, _LABELS, study.shift.reshape(-1, 1) / 2)
    prevalence, rate = float(target.mean()), special.ndtr(study.shift / 2)  # (2, S)
    ill, well = prevalence, 1 - prevalence
    truths = {
        "rate": rate,
        "ppv": ill * rate / (ill * rate + well * (1 - rate)),
        "npv": well * rate / (well * rate + ill * (1 - rate)),
        "f1": 2 * ill * rate / (2 * ill * rate + 1 - rate),
        "net_benefit": ill * rate - well * (1 - rate) * odds(_TREATED_FROM),
    }
    scored: dict[str, ScoredModels] = {
        "rate": score_rate(called, "sensitivity"),
        "ppv": score_rate(called, "ppv"),
        "npv": score_rate(called, "npv"),
        "f1": score_rate(called, "f1"),
        "net_benefit": score_net_benefit(called, _TREATED_FROM),
    }
    second, contrast = _weights(study)
    found = {
        name: Found(each.mean(second, [0], design.level), float(truths[name][1].mean()))
        for name, each in scored.items()
    }
    for name, of in (("rate", "rate"), ("ppv", "ppv"), ("benefit", "net_benefit")):
        truth = truths[of].mean(axis=1)
        difference = scored[of].difference(contrast, [0], design.level)
        found[f"{name}_difference"] = Found(difference, float(truth[0] - truth[1]))
    seeds = study.scores.shape[1]
    if seeds > 1:
        pairs = np.hstack([np.eye(seeds), -np.eye(seeds)])
        mean, spread = shift_law(cell, design)
        expected = special.ndtr(mean / 2 / np.sqrt(1 + spread**2 / 4))
        methods = scored["rate"].method_difference(pairs, [0], design.level)
        found["rate_methods"] = Found(methods, float(expected[0] - expected[1]))
    return found


def calibration_of(study: Study, _cell: Cell, design: Design) -> dict[str, Found]:
    """Return the second arm's `brier`, `slope` and `intercept`, and `slope_difference`."""
    target, models = _pairs(study)
    shift = study.shift.reshape(-1)
    prevalence = float(target.mean())
    probs = _right_chance(models, shift[:, None, None], prevalence)
    scored = score_calibration(target, probs, study.patient, _LABELS, threads=1)
    second, contrast = _weights(study)
    own = study.shift[1]
    truths = {"brier": _brier_of(own, prevalence), "slope": 1.0, "intercept": 0.0}
    found: dict[str, Found] = {}
    for name, each in scored.items():
        found[name] = Found(each.mean(second, [0], design.level), truths[name])
    difference = scored["slope"].difference(contrast, [0], design.level)
    return {**found, "slope_difference": Found(difference, 0.0)}


def groups_of(study: Study, _cell: Cell, design: Design) -> dict[str, Found]:
    """Return the intervals of a group against the rest; each has half of each class's patients.

    `rate_gap`, `auroc_gap`: the second arm's sensitivity and AUROC in the group less those in the
    rest; `gap_difference`: how far the arms differ in the first of them.
    """
    target, models = _pairs(study)
    cuts = study.shift.reshape(-1, 1) / 2
    is_inside = _every_second(study.positive[0])[study.patient]
    parts = [np.where((is_inside == side)[:, None], target, np.nan) for side in (True, False)]

    def gap(score: Callable[[FloatArray], ScoredModels]) -> ScoredModels:
        group, rest = map(score, parts)
        return group.minus(rest, "gap")

    def sensitivity(part: FloatArray) -> ScoredModels:
        called = call_images(part, models, study.patient, _LABELS, cuts)
        return score_rate(called, "sensitivity")

    seeds = study.scores.shape[1]

    def auroc(part: FloatArray) -> ScoredModels:
        own = models[seeds:]
        found = score_models(part, own, study.patient, _LABELS, measures=["auroc"], threads=1)
        return found["auroc"]

    second, contrast = _weights(study)
    rates = gap(sensitivity)
    return {
        "rate_gap": Found(rates.mean(second, [0], design.level), 0.0),
        "gap_difference": Found(rates.difference(contrast, [0], design.level), 0.0),
        "auroc_gap": Found(gap(auroc).mean(second[seeds:], [0], design.level), 0.0),
    }


def _pairs(study: Study) -> tuple[FloatArray, FloatArray]:
    """Return target (N, 1) and scores (2 S, N, 1)."""
    arms, seeds, images, _ = study.scores.shape
    target = study.positive[:, study.patient].T.astype(float)
    return target, study.scores.reshape(arms * seeds, images, 1)


def _weights(study: Study) -> tuple[FloatArray, FloatArray]:
    """Return the weights of the models in the second arm's mean, and in the difference."""
    seeds = study.scores.shape[1]
    return np.repeat([0.0, 1.0], seeds) / seeds, np.repeat([1.0, -1.0], seeds) / seeds


def _every_second(positive: BoolArray) -> BoolArray:
    """Return (P,) every second patient of those with the finding, and of those without."""
    ranks = np.where(positive, np.cumsum(positive), np.cumsum(~positive))
    return np.asarray(ranks % 2 == 1)


def _right_chance(scores: FloatArray, shift: FloatArray, prevalence: float) -> FloatArray:
    """Return the chance of a finding at these scores, where positives score higher by a shift."""
    return np.asarray(special.expit(shift * scores - shift**2 / 2 + special.logit(prevalence)))


def _brier_of(shift: FloatArray, prevalence: float) -> float:
    """Return the mean Brier score of models whose probabilities are right.

    >>> round(_brier_of(np.array([0.0]), 0.3), 6)  # 0.3 of all: 0.3 · 0.7
    0.21
    """
    nodes, weights = _nodes()
    moved = shift[:, None]
    ill = (1 - _right_chance(nodes + moved, moved, prevalence)) ** 2 @ weights
    well = _right_chance(nodes, moved, prevalence) ** 2 @ weights
    return float(np.mean(prevalence * ill + (1 - prevalence) * well))


@cache
def _nodes() -> tuple[FloatArray, FloatArray]:
    """Return the places that the mean over a normal variable is taken over, and their weights."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    return nodes, weights / weights.sum()
