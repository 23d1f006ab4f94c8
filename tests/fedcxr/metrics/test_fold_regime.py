"""The cross-validations for which the interval over folds is shown, and their simulation."""

import dataclasses

import numpy as np
import pytest
from scipy import special, stats
from sklearn.metrics import roc_auc_score

from fedcxr.metrics import simulated_folds
from fedcxr.metrics.fold_regime import FoldStudy
from fedcxr.metrics.regime import Cell, Regime, Tally
from fedcxr.metrics.simulated_folds import fold_shifts, folds_of
from fedcxr.metrics.simulated_study import Design, simulate_study

HELD, FAILED = Tally(1000, 950, 25, 25, 0), Tally(1000, 800, 100, 100, 0)
STUDY = FoldStudy(folds=5, trainings=1, training_sd=None, cluster=1.0, auroc=0.8)


def cell(positives, folds=5, seeds=1, sd=0.01, cluster=1.0):
    shape = (cluster, False, 0.0, 1)
    return Cell(positives, 400, *shape, seeds=seeds, training_sd=sd, folds=folds)


REGIME = Regime(
    "folds",
    0.95,
    (
        *((cell(positives), HELD) for positives in (10, 40, 200)),
        (cell(40, folds=3), HELD),
        (cell(40, folds=10), HELD),
        (cell(200, folds=10), FAILED),
        (cell(40, seeds=3), HELD),
        (cell(200, seeds=3, sd=0.02), FAILED),
        (cell(40, cluster=3.0), FAILED),
    ),
)


def asked(fewest, **changes):
    return dataclasses.replace(STUDY, **changes).covers(fewest, regime=REGIME)


def test_larger_folds_are_not_safer():
    assert asked(10)[0]
    assert asked(200)[0]
    assert asked(40, folds=10)[0]
    held, why = asked(60, folds=10)
    assert not held
    assert why.startswith(
        "60 patients have the rarest finding in one fold; the interval over folds"
    )
    assert "10 folds with 200 each, 1 training of each arm on a fold" in why
    assert not asked(60, folds=7)[0]


def test_the_trainings_spread_decides_which_cells_are_asked():
    three = {"trainings": 3, "training_sd": 0.008}
    assert asked(60, **three)[0]
    held, why = asked(60, **{**three, "training_sd": 0.012})
    assert not held
    assert "3 trainings of each arm on a fold and a standard deviation of 0.02" in why
    assert not asked(60, trainings=2, training_sd=0.012)[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fewest": 9}, "9 patients have the rarest finding in one fold; the self-test"),
        ({"fewest": 201}, "has tried the interval over folds from 10 to 200"),
        ({"folds": 2}, "there are 2 folds; "),
        ({"folds": 11}, "there are 11 folds; "),
        ({"trainings": 4, "training_sd": 0.01}, "each arm has 4 trainings on each fold; "),
        ({"trainings": 3, "training_sd": 0.03}, "has the standard deviation 0.030; "),
        ({"cluster": 4.0}, "the test set has 4.0 images a patient; "),
        ({"auroc": 0.9}, "the AUROC is 0.900; "),
        ({"auroc": np.nan}, "the AUROC is nan; "),
        ({"cluster": 2.0}, "5 folds with 40 each"),
    ],
)
def test_what_was_not_tried_or_failed_is_not_shown(changes, words):
    held, why = asked(**{"fewest": 40, **changes})
    assert not held
    assert words in why


def test_trainings_lie_apart_by_seed_and_by_the_training_patients_that_folds_share():
    one = Cell(1, 1, 1.0, False, 0.0, 1, auroc=0.9, seeds=2, training_sd=0.01, folds=5)
    rng = np.random.default_rng(0)
    drawn = np.array([fold_shifts(one, Design(), rng) for _ in range(6000)])  # (R, F, 2, S)
    aurocs = special.ndtr(drawn / np.sqrt(2))
    assert aurocs.mean(axis=(0, 1, 3)) == pytest.approx([0.89, 0.9], abs=0.0005)
    # the seed's variance and as much of the training patients'
    assert aurocs.var(axis=0).mean() == pytest.approx(2 * 0.01**2, rel=0.1)
    among = np.corrcoef(aurocs.reshape(len(aurocs), -1).T)
    at = {place: number for number, place in enumerate(np.ndindex(5, 2, 2))}
    expected = {
        ((0, 0, 0), (0, 0, 1)): 0.5,  # another seed on the same fold
        ((0, 0, 0), (3, 0, 0)): 0.5 * 3 / 4,  # of 4 parts that a fold trains on, 3 are the same
        ((0, 0, 0), (0, 1, 0)): 0.5 * 0.8,  # the other arm
        ((0, 0, 0), (3, 1, 1)): 0.5 * 0.8 * 3 / 4,
    }
    for (first, second), correlation in expected.items():
        assert among[at[first], at[second]] == pytest.approx(correlation, abs=0.05)


def test_the_interval_of_a_simulated_cross_validation_is_that_of_the_product():
    one = Cell(12, 30, 2.0, False, 0.5, 2, seeds=2, folds=3)
    found = folds_of(one, Design(), np.random.default_rng(4))["folds"]
    assert found.truth == -0.01
    (part,) = found.estimate.parts
    low, high = found.estimate.ci
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 2) * np.sqrt(part.variance))


@pytest.mark.parametrize(("corrected", "covers"), [(True, True), (False, False)])
def test_without_the_correction_the_interval_holds_too_seldom(corrected, covers):
    # Correlated by the share of the patients that is tested, 1 / K, as the source assumes: the mean
    # of 5 has the variance (1 + 4 · 0.2) / 5 = 0.36, and 0.8 is expected of s².
    # (1/5 + 1/4) · 0.8 = 0.36; without 1/4 it is 0.16: t(4) beyond 2.776 · 2/3 has 13.8 %.
    rng = np.random.default_rng(1)
    shared, own = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 5))
    by_fold = np.sqrt(0.2) * shared + np.sqrt(0.8) * own
    share = 1 / 4 if corrected else 1e-12
    half = stats.t.ppf(0.975, 4) * np.sqrt((1 / 5 + share) * by_fold.var(axis=1, ddof=1))
    coverage = float(np.mean(np.abs(by_fold.mean(axis=1)) < half))
    assert (coverage > 0.94) == covers
    assert coverage == pytest.approx(0.95 if corrected else 0.862, abs=0.02)


def test_the_areas_of_a_simulated_fold_are_those_of_an_independent_library():
    one = Cell(12, 30, 2.0, True, 0.5, 2, seeds=2, folds=3)
    study = simulate_study(one, Design(), np.random.default_rng(4))
    truth = study.positive[:, study.patient]
    for arm, training in np.ndindex(2, 2):
        areas = [
            roc_auc_score(truth[label], study.scores[arm, training, :, label]) for label in (0, 1)
        ]
        assert simulated_folds._macro(study)[arm, training] == pytest.approx(np.mean(areas))
