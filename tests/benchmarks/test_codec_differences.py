"""The figures of `benchmarks.codecs`: differences, their intervals, and the verdict."""

import numpy as np
import pytest

from benchmarks.codecs import (
    FULL,
    SHORT,
    Arm,
    Held,
    arms_table,
    difference,
    judged_rows,
    macro_draws,
    student,
)
from fedcxr.metrics.auroc import auroc

PATIENTS = 60


@pytest.fixture(scope="module")
def held():
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(PATIENTS), 2)
    target = (rng.random((2 * PATIENTS, 3)) < 0.4).astype(np.float64)
    target[:5, 0] = np.nan
    return Held(target, patient)


def arm(held, codec, seed, noise):
    rng = np.random.default_rng(seed)
    probs = np.nan_to_num(held.target, nan=0.5) + noise * rng.normal(0, 1, held.target.shape)
    each = [auroc(held.target[:, label], probs[:, label]) for label in range(3)]
    return Arm(codec, seed, probs, float(np.mean(each)), {"none": 1000, "int8": 251}[codec])


def test_the_interval_over_five_seeds_is_students():
    # mean 3, deviation sqrt(2.5), 2.776 · sqrt(2.5 / 5) = 1.9629
    assert student([1, 2, 3, 4, 5]) == pytest.approx((3 - 1.9629, 3 + 1.9629), abs=1e-4)
    assert student([1, 2]) is None


def test_arms_that_predict_the_same_do_not_differ_however_patients_are_drawn(held):
    same = [arm(held, codec, seed, 1.0) for seed in range(5) for codec in ("none", "int8")]
    found = difference(same, macro_draws(held, same, 150), "int8")
    assert found["by_seed"] == [0.0] * 5
    assert found["mean"] == 0.0
    assert found["over_patients"] == found["over_seeds"] == (0.0, 0.0)


def test_a_difference_is_found_in_sign_and_size_and_lies_in_its_interval(held):
    arms = [arm(held, "none", seed, 0.5) for seed in range(5)]
    arms += [arm(held, "int8", seed, 1.5) for seed in range(5)]
    draws = macro_draws(held, arms, 150)
    assert draws.shape == (150, 10)
    found = difference(arms, draws, "int8")
    by_hand = np.mean([a.macro_auroc for a in arms[5:]]) - np.mean(
        [a.macro_auroc for a in arms[:5]]
    )
    assert found["mean"] == pytest.approx(by_hand)
    for low, high in (found["over_patients"], found["over_seeds"]):
        assert low < found["mean"] < high < 0
    row = arms_table(arms, {"int8": found}).rows[1]
    assert (row[0], row[-1]) == ("int8", "25.1 %")


@pytest.mark.parametrize(
    ("patients", "seeds", "num", "met"),
    [
        ((-0.001, 0.002), (-0.004, 0.0049), 5000, True),
        ((-0.001, 0.002), (-0.004, 0.0051), 5000, False),
        ((-0.006, 0.004), (-0.001, 0.001), 5000, False),
        ((-0.001, 0.002), (-0.001, 0.001), 4999, False),
    ],
)
def test_the_wider_interval_is_judged(patients, seeds, num, met):
    found = {"mean": 0.0, "over_patients": patients, "over_seeds": seeds}
    auroc_row, bytes_row = judged_rows(found, 0.251, num, short=False)
    assert (auroc_row.met, bytes_row.met) == (met, True)
    assert judged_rows(found, 0.2511, num, short=True)[0].met is None
    assert judged_rows(found, 0.2511, num, short=True)[1].met is False


def test_the_long_form_holds_out_as_many_patients_as_the_goal_names():
    # a fifth is the official test set, which folds leave out; half of the rest is held out
    assert FULL.patients * 0.8 / 2 >= 5000
    assert FULL.seeds["none"] == FULL.seeds["int8"] == 5
    assert set(SHORT.seeds.values()) == {1}
