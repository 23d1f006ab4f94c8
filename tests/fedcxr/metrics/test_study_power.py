import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from fedcxr.metrics.study_power import Variances, power, upper_variances

MARGIN = 0.01
PILOT = Variances(patients=9e-6, patients_df=60.0, trainings=3e-5, seeds=3, num_patients=1000)
NO_TRAININGS = Variances(1e-5, math.inf, 0.0, 2, 1000)


def simulated(parts, room, studies=400_000):
    """Return how often the interval clears minus the margin, and the error of that share.

    Args:
        parts: variance of the mean difference and degrees of freedom of each part.
        room: true difference plus margin.
        studies: simulated.
    """
    rng = np.random.default_rng(20250301)
    difference, squares = np.full(studies, room), np.zeros(studies)
    for variance, df in parts:
        difference += rng.normal(0, math.sqrt(variance), studies)
        estimate = variance * rng.chisquare(df, studies) / df
        squares += stats.t.ppf(0.975, df) ** 2 * estimate
    share = float(np.mean(difference - np.sqrt(squares) > 0))
    return share, math.sqrt(share * (1 - share) / studies)


@pytest.mark.parametrize("patients", [500, 1000, 4000])
@pytest.mark.parametrize("truth", [0.0, -0.003, 0.002])
def test_without_trainings_and_with_a_known_variance_it_is_the_normal_formula(patients, truth):
    se = math.sqrt(1e-5 * 1000 / patients)
    expected = stats.norm.cdf((MARGIN + truth) / se - stats.norm.ppf(0.975))
    assert power(NO_TRAININGS, patients, 5, MARGIN, truth) == pytest.approx(expected, abs=1e-12)


def test_many_degrees_of_freedom_are_nearly_a_known_variance():
    many = replace(NO_TRAININGS, patients_df=1e6)
    assert power(many, 1000, 5, MARGIN) == pytest.approx(
        power(NO_TRAININGS, 1000, 5, MARGIN), abs=1e-5
    )


@pytest.mark.parametrize("seeds", [2, 3, 4, 10, 50])
def test_trainings_alone_give_the_power_of_a_t_test(seeds):
    # the lower bound is above -m where (difference + m) / (s / √S), noncentral t, exceeds t
    shift = MARGIN / math.sqrt(3e-5 / seeds)
    expected = stats.nct.sf(stats.t.ppf(0.975, seeds - 1), seeds - 1, shift)
    found = power(PILOT, math.inf, seeds, MARGIN)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("df", [2.5, 40.0])
def test_patients_alone_give_the_power_of_a_t_test(df):
    alone = replace(PILOT, trainings=0.0, patients_df=df)
    expected = stats.nct.sf(stats.t.ppf(0.975, df), df, MARGIN / math.sqrt(9e-6))
    assert power(alone, 1000, 5, MARGIN) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("patients", "seeds", "truth"),
    [(1000, 2, 0.0), (1000, 5, 0.0), (4000, 3, -0.002), (300, 10, 0.001), (20, 4, 0.0)],
)
def test_it_is_how_often_simulated_studies_show_it(patients, seeds, truth):
    parts = [
        (3e-5 / seeds, seeds - 1),
        (9e-6 * 1000 / patients, max(1.0, 60 * patients / 1000)),
    ]
    share, error = simulated(parts, MARGIN + truth)
    assert power(PILOT, patients, seeds, MARGIN, truth) == pytest.approx(share, abs=4 * error)


def test_with_partitions_too():
    known = replace(PILOT, partitions=1e-5, partitions_df=4.0)
    parts = [((1e-5 + 3e-5 / 3) / 5, 4), (9e-6, 60.0)]
    share, error = simulated(parts, MARGIN)
    assert power(known, 1000, 3, MARGIN, partitions=5) == pytest.approx(share, abs=4 * error)


def test_at_minus_the_margin_it_is_the_type_1_error():
    one_part = replace(PILOT, trainings=0.0)
    assert power(one_part, 1000, 3, MARGIN, -MARGIN) == pytest.approx(0.025, abs=1e-6)
    assert power(PILOT, 1000, 3, MARGIN, -MARGIN) < 0.025  # two parts are on the safe side


def test_it_grows_with_patients_seeds_and_margin():
    def over(name, values):
        return [power(**{**asked, name: value}) for value in values]

    asked = {"variances": PILOT, "patients": 1000, "seeds": 5, "margin": MARGIN}
    for name, values in {
        "patients": (100, 1000, 10_000, math.inf),
        "seeds": (2, 3, 5, 20),
        "margin": (0.002, 0.01, 0.02),
    }.items():
        found = over(name, values)
        assert found == sorted(found)
        assert len(set(found)) == len(found)


def test_without_any_variance_it_is_certain():
    none = replace(NO_TRAININGS, patients=0.0)
    assert power(none, 1000, 2, MARGIN) == 1.0
    assert power(none, 1000, 2, MARGIN, -2 * MARGIN) == 0.0


@pytest.mark.parametrize(
    "wrong", [{"patients": 0}, {"seeds": 1}, {"margin": 0.0}, {"margin": math.nan}, {"level": 1.0}]
)
def test_a_number_out_of_range_is_refused(wrong):
    asked = {"variances": PILOT, "patients": 1000, "seeds": 5, "margin": MARGIN, **wrong}
    with pytest.raises(ValueError, match="need patients > 0, seeds >= 2, margin > 0"):
        power(**asked)


@pytest.mark.parametrize(("known", "partitions"), [(None, 2), (1e-5, 1)])
def test_several_partitions_go_with_their_variance(known, partitions):
    pilot = replace(PILOT, partitions=known, partitions_df=4.0)
    with pytest.raises(ValueError, match="need several partitions where their variance is known"):
        power(pilot, 1000, 3, MARGIN, partitions=partitions)


def test_the_upper_variances_are_the_bounds_of_the_chi_square_distribution():
    upper = upper_variances(replace(PILOT, partitions=1e-5, partitions_df=4.0), 0.9)
    assert upper.trainings == pytest.approx(3e-5 * 10 / stats.chi2.ppf(0.1, 10))  # 5 (3 - 1)
    assert upper.patients == pytest.approx(9e-6 * 60 / stats.chi2.ppf(0.1, 60))
    # of the mean of a partition's three trainings 1e-5 + 3e-5 / 3 is known, with 4 df
    of_means = 2e-5 * 4 / stats.chi2.ppf(0.1, 4)
    assert upper.partitions == pytest.approx(of_means - 1e-5)
    alone = upper_variances(PILOT, 0.9)
    assert alone.trainings == pytest.approx(3e-5 * 2 / stats.chi2.ppf(0.1, 2))
    assert upper_variances(NO_TRAININGS) == NO_TRAININGS  # nothing is unknown of them


def test_the_bound_of_a_variance_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(7)
    found = 3e-5 * rng.chisquare(2, 2000) / 2
    bounds = [upper_variances(replace(PILOT, trainings=each)).trainings for each in found]
    assert np.mean(np.array(bounds) > 3e-5) == pytest.approx(0.8, abs=4 * 0.009)
