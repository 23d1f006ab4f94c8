from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from fedcxr.metrics import simulated_rates
from fedcxr.metrics.count_outcomes import FAMILIES, families_of
from fedcxr.metrics.regime import Cell
from fedcxr.metrics.scored_rates import call_images, score_rate
from fedcxr.metrics.simulated_rates import (
    CALIBRATION_INTERVALS,
    GROUP_INTERVALS,
    RATE_INTERVALS,
    calibration_of,
    groups_of,
    rates_of,
)
from fedcxr.metrics.simulated_study import Design, simulate_study

DESIGN = Design()
CELL = Cell(40, 80, 3.0, True, 0.5, 1, seeds=2)


def study_of(cell, seed=5):
    return simulate_study(cell, DESIGN, np.random.default_rng(seed))


def test_the_intervals_of_a_study_are_those_of_the_product():
    study = study_of(CELL)
    found = rates_of(study, CELL, DESIGN)
    assert set(found) == set(RATE_INTERVALS)
    target = study.positive[:, study.patient].T.astype(float)
    models = study.scores.reshape(4, -1, 1)
    cuts = study.shift.reshape(4, 1) / 2
    scored = score_rate(call_images(target, models, study.patient, ["0"], cuts), "sensitivity")
    contrast = np.array([0.5, 0.5, -0.5, -0.5])
    assert found["rate"].estimate == scored.mean(np.array([0, 0, 0.5, 0.5]), [0], 0.95)
    assert found["rate_difference"].estimate == scored.difference(contrast, [0], 0.95)
    pairs = np.array([[1.0, 0, -1, 0], [0, 1, 0, -1]])
    assert found["rate_methods"].estimate == scored.method_difference(pairs, [0], 0.95)
    # a positive is called with Φ(shift / 2)
    rates = stats.norm.cdf(study.shift / 2).mean(axis=1)
    assert found["rate"].truth == pytest.approx(rates[1])
    assert found["rate_difference"].truth == pytest.approx(rates[0] - rates[1])


def test_one_training_says_nothing_of_methods():
    single = replace(CELL, seeds=1)
    assert set(RATE_INTERVALS) - set(rates_of(study_of(single), single, DESIGN)) == {"rate_methods"}


def test_a_cell_of_several_labels_tries_areas_and_one_of_unusual_trainings_no_groups():
    usual = replace(CELL, seeds=3)
    assert families_of(usual) == tuple(name for name in FAMILIES if name != "folds")
    assert families_of(replace(usual, folds=5)) == ("folds",)
    assert families_of(replace(usual, labels=5)) == ("areas",)
    assert families_of(replace(usual, seeds=5)) == ("areas", "rates")
    assert families_of(replace(usual, training_sd=0.03)) == ("areas", "rates")


def test_what_is_true_is_what_very_many_patients_show():
    cell = Cell(60_000, 140_000, 1.0, False, 0.0, 1, seeds=2, training_sd=0.02)
    study = study_of(cell, 0)
    found = {}
    for find in (rates_of, calibration_of, groups_of):
        found |= find(study, cell, DESIGN)
    names = (*RATE_INTERVALS, *CALIBRATION_INTERVALS, *GROUP_INTERVALS)
    assert set(found) == set(names)
    for name in set(names) - {"rate_methods"}:
        each = found[name]
        assert each.estimate.value == pytest.approx(each.truth, abs=0.02), name


def test_the_expected_difference_of_methods_is_that_of_very_many_trainings():
    cell = replace(CELL, seeds=60_000, training_sd=0.03, positives=1, negatives=1)
    shift = simulated_rates_shifts(cell)
    expected = np.subtract(*stats.norm.cdf(shift / 2).mean(axis=1))
    few = replace(cell, seeds=2, positives=10, negatives=10)
    found = rates_of(study_of(few), few, DESIGN)["rate_methods"]
    assert found.truth == pytest.approx(expected, abs=0.001)


def simulated_rates_shifts(cell):
    mean, spread = simulated_rates.shift_law(cell, DESIGN)
    rng = np.random.default_rng(0)
    return mean[:, None] + spread[:, None] * rng.standard_normal((2, cell.seeds))


def test_the_brier_score_of_right_probabilities_is_that_of_very_many_images():
    rng = np.random.default_rng(0)
    target = rng.random(400_000) < 0.2
    scores = rng.standard_normal(len(target)) + 1.5 * target
    chance = expit(1.5 * scores - 1.5**2 / 2 + logit(0.2))
    expected = np.mean((chance - target) ** 2)
    assert simulated_rates._brier_of(np.array([1.5]), 0.2) == pytest.approx(expected, abs=0.001)
    assert np.mean(chance) == pytest.approx(0.2, abs=0.002)


def test_half_of_the_patients_of_each_class_are_in_the_group():
    positive = np.array([True, False, True, True, False, True, False])
    found = simulated_rates._every_second(positive)
    assert found.tolist() == [True, True, False, True, False, False, True]
