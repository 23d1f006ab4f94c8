import math
from dataclasses import replace

import pytest

from fedcxr.metrics.study_plan import (
    CANDIDATES,
    MOST_PATIENTS,
    Aim,
    make_plan,
    needed,
)
from fedcxr.metrics.study_power import Variances, power

AIM = Aim(margin=0.01)
PILOT = Variances(patients=9e-6, patients_df=60.0, trainings=3e-5, seeds=3, num_patients=1000)


def test_one_known_variance_gives_the_textbook_number():
    # 1000 · 1e-5 · ((1.95996 + 0.84162) / 0.01)² = 784.9, rounded up to two digits
    known = Variances(1e-5, math.inf, 0.0, 2, 1000)
    assert [row.patients for row in needed(known, AIM, seeds=(2, 7))] == [790, 790]


def test_the_number_is_the_smallest_that_reaches_the_power():
    for row in needed(PILOT, AIM, seeds=(5, 8, 20)):
        fewer = CANDIDATES[CANDIDATES.index(row.patients) - 1]
        assert power(PILOT, row.patients, row.seeds, 0.01) >= 0.8
        assert power(PILOT, fewer, row.seeds, 0.01) < 0.8


def test_trainings_that_vary_too_much_are_not_made_up_for_by_patients():
    few, many = needed(PILOT, AIM, seeds=(2, 10))
    assert few.patients is None
    assert few.most_power == power(PILOT, math.inf, 2, 0.01) < 0.8
    assert many.patients is not None


def test_a_number_beyond_the_most_is_not_given():
    wide = Variances(patients=1.0, patients_df=60.0, trainings=0.0, seeds=3, num_patients=100)
    (row,) = needed(wide, AIM, seeds=(3,))
    assert (row.patients, row.most_power) == (None, 1.0)


def test_the_candidates_are_every_number_of_two_digits():
    assert sorted(set(CANDIDATES)) == CANDIDATES
    assert CANDIDATES[:2] == [10, 11]
    assert CANDIDATES[89:91] == [99, 100]
    assert CANDIDATES[-1] == MOST_PATIENTS == 990_000


def test_more_seeds_need_no_more_patients_and_an_unlucky_truth_no_fewer():
    plan = make_plan(PILOT, AIM)
    assert [row.seeds for row in plan.needed] == list(range(2, 21))
    found = [row.patients for row in plan.needed if row.patients]
    assert found == sorted(found, reverse=True)
    for row, upper in zip(plan.needed, plan.needed_upper, strict=True):
        assert row.seeds == upper.seeds
        assert (upper.patients or MOST_PATIENTS) >= (row.patients or MOST_PATIENTS)


def test_a_pilot_of_more_seeds_than_the_plan_goes_up_to_has_its_row():
    plan = make_plan(replace(PILOT, seeds=24), AIM)
    assert plan.needed[-1].seeds == 24


def test_the_curves_hold_the_pilots_seeds_and_reach_around_the_plan():
    plan = make_plan(replace(PILOT, seeds=7), AIM)
    assert [curve.seeds for curve in plan.curves] == [3, 5, 7, 10, 20]
    for curve in plan.curves:
        assert len(curve.patients) == len(curve.power)
        assert list(curve.power) == sorted(curve.power)
        assert curve.patients[0] < 1000 < curve.patients[-1]


def test_known_partitions_are_part_of_the_design():
    known = replace(PILOT, partitions=1e-5, partitions_df=4.0)
    plan = make_plan(known, AIM)
    assert {row.partitions for row in plan.needed} == {2, 3, 5, 10}
    row = next(row for row in plan.needed if (row.seeds, row.partitions) == (3, 10))
    assert row.trainings == 30
    assert power(known, row.patients, 3, 0.01, partitions=10) >= 0.8
    assert {curve.partitions for curve in plan.curves} == {10}


@pytest.mark.parametrize(
    "wrong",
    [{"power": 0.4}, {"power": 1.0}, {"true_difference": -0.01}, {"true_difference": math.nan}],
)
def test_an_aim_that_no_study_can_have_is_refused(wrong):
    with pytest.raises(ValueError, match=r"need 0\.5 <= power < 1 and a true difference above"):
        Aim(**{"margin": 0.01, **wrong})
