"""Intervals of the calibration over patients: their variances, and how often they hold."""

import numpy as np
import pytest
from one_calibration import calibration
from scipy.special import expit, logit
from scipy.stats import t as student

from fedcxr.errors import RunError
from fedcxr.metrics.scored_calibration import score_calibration

NAN = float("nan")
SMOOTH = ("brier", "slope", "intercept")


def study(seed, patients=120, *, offset=-1.4, sharpness=1.6, shift=0.3):
    """Return targets, probabilities and patients of 1 to 5 images, which resemble one another."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), rng.integers(1, 6, patients))
    own = rng.normal(0, 1, (2, patients))[:, patient]
    x = 0.8 * own[0] + 0.6 * rng.normal(0, 1, len(patient))
    chance = expit(offset + 1.2 * x + 0.7 * own[1])  # the patient's own part is not in the image
    target = (rng.random(len(patient)) < chance).astype(float)
    return target, expit(offset + shift + sharpness * x), patient


def estimates(target, probs, patient, level=0.95):
    """Return by name what is said of one model and label."""
    models = np.asarray(probs, dtype=float)[None, :, None]
    found = score_calibration(np.asarray(target)[:, None], models, patient, ["a"])
    return {name: found[name].mean(np.ones(1), [0], level) for name in SMOOTH}


def delete_one_patient(name, target, probs, patient):
    """Return the jackknife's standard error, every patient left out in turn and all done anew."""
    found = [
        getattr(calibration(target[patient != one], probs[patient != one]), name)
        for one in np.unique(patient)
    ]
    num = len(found)
    return np.sqrt((num - 1) / num * np.sum((found - np.mean(found)) ** 2))


@pytest.mark.parametrize("seed", range(3))
def test_the_brier_scores_variance_is_that_of_leaving_out_each_patient(seed):
    target, probs, patient = study(seed, patients=40)
    found = estimates(target, probs, patient)["brier"]
    expected = delete_one_patient("brier", target, probs, patient)
    assert found.se == pytest.approx(expected, rel=1e-10)
    quantile = student.ppf(0.975, found.parts[0].df)
    for end in found.ci:  # a score interval: t standard errors away, at the end's own variance
        there = expected * np.sqrt(end * (1 - end) / (found.value * (1 - found.value)))
        assert abs(found.value - end) == pytest.approx(quantile * there, rel=1e-9)


@pytest.mark.parametrize("name", ["slope", "intercept"])
@pytest.mark.parametrize("seed", range(3))
def test_one_newton_step_is_near_to_fitting_without_each_patient(seed, name):
    target, probs, patient = study(seed)
    found = estimates(target, probs, patient)[name]
    expected = delete_one_patient(name, target, probs, patient)
    assert found.se == pytest.approx(
        expected, rel=0.03
    )  # with 60 patients it is 5 % off, with 400 0.3 %


def test_standard_error_and_degrees_of_freedom_by_hand():
    # Said is 0.2 of 4 with the finding, 0.64 off when squared, and of 16 without, 0.04 off: their
    # mean is 0.16. With an image each, the squares of 0.48 and 0.12 add up to 0.9216 + 0.2304.
    # Each of the 4 has a quarter of the first sum and each of the 16 a sixteenth of the second:
    # 1.152² / (0.9216² / 4 + 0.2304² / 16) - 1 = 67 / 13.
    target = np.repeat([1.0, 0.0], [4, 16])
    found = estimates(target, np.full(20, 0.2), np.arange(20))["brier"]
    assert found.value == pytest.approx(0.16)
    assert found.se == pytest.approx(np.sqrt(1.152 / (20 * 19)), rel=1e-12)
    assert found.parts[0].df == pytest.approx(67 / 13, rel=1e-12)


def test_every_patient_twice_changes_no_number_and_narrows_every_interval():
    target, probs, patient = study(0)
    once = estimates(target, probs, patient)
    twice = estimates(
        *(np.tile(part, 2) for part in (target, probs)), np.r_[patient, patient + 500]
    )
    for name in SMOOTH:
        one, two = once[name], twice[name]
        assert two.value == pytest.approx(one.value, abs=1e-9)
        assert two.se / one.se == pytest.approx(np.sqrt(0.5), rel=0.02)
        assert two.parts[0].df == pytest.approx(2 * one.parts[0].df + 1, rel=0.02)


def test_copies_of_a_patients_images_make_nothing_surer():
    target, probs, patient = study(1)
    once = estimates(target, probs, patient)
    copies = estimates(*(np.repeat(part, 3) for part in (target, probs, patient)))
    for name in SMOOTH:
        assert copies[name].ci == pytest.approx(once[name].ci, rel=1e-6)
    apart = estimates(*(np.repeat(part, 3) for part in (target, probs)), np.arange(3 * len(target)))
    assert apart["slope"].se < 0.7 * once["slope"].se


def test_the_order_of_the_images_changes_no_interval():
    target, probs, patient = study(3)
    rows = np.random.default_rng(0).permutation(len(target))
    one, two = (
        estimates(target, probs, patient),
        estimates(target[rows], probs[rows], patient[rows]),
    )
    for name in SMOOTH:
        assert two[name].ci == pytest.approx(one[name].ci, rel=1e-9)


def test_models_and_labels_stand_side_by_side_and_unknown_targets_are_left_out():
    cases = [study(seed, patients=50) for seed in (4, 4)]
    target, probs = (np.stack([case[part] for case in cases], axis=1) for part in (0, 1))
    patient = cases[0][2]
    target[::3, 1] = NAN
    models = np.stack([np.full(probs.shape, 0.4), probs])
    found = score_calibration(target, models, patient, ["a", "b"])
    known = ~np.isnan(target[:, 1])
    alone = [
        estimates(target[:, 0], probs[:, 0], patient),
        estimates(target[known, 1], probs[known, 1], patient[known]),
    ]
    for name in SMOOTH:
        for column, one in enumerate(alone):
            mine = found[name].mean(np.array([0.0, 1.0]), [column], 0.95)
            # the P in (P - 1) / P counts patients without a known image of the label, too
            assert mine.ci == pytest.approx(one[name].ci, rel=1e-3)
    assert found["slope"].reasons[0] == ("no slope: all probabilities are the same",) * 2
    assert np.isnan(found["slope"].value[0]).all()
    assert found["brier"].value[0, 0] == pytest.approx(np.mean((target[:, 0] - 0.4) ** 2))


def test_a_difference_of_two_models_has_the_variance_of_leaving_out_each_patient():
    target, probs, patient = study(6, patients=40)
    other = expit(0.3 + 0.6 * logit(probs))
    models = np.stack([probs, other])[:, :, None]
    found = score_calibration(target[:, None], models, patient, ["a"])
    contrast = np.array([1.0, -1.0])
    brier = found["brier"].difference(contrast, [0], 0.95)
    without = []
    for one in np.unique(patient):
        kept = patient != one
        errors = [np.mean((each[kept] - target[kept]) ** 2) for each in (probs, other)]
        without.append(errors[0] - errors[1])
    num = len(without)
    variance = (num - 1) / num * np.sum((without - np.mean(without)) ** 2)
    assert brier.parts[0].variance == pytest.approx(variance, rel=1e-9)
    half = student.ppf(0.975, brier.parts[0].df) * np.sqrt(variance)
    assert brier.ci == pytest.approx((brier.value - half, brier.value + half), abs=1e-9)
    # logit(other) = 0.3 + 0.6 logit(probs): its slope is that of probs over 0.6
    slopes = found["slope"].value[:, 0]
    assert slopes[1] == pytest.approx(slopes[0] / 0.6, rel=1e-6)


@pytest.mark.parametrize(
    ("target", "patient", "why"),
    [
        ([0, 0, 0, 0], "abcd", "no interval: no known positive"),
        ([1, 1, 1, 1], "abcd", "no interval: no known negative"),
        ([1, 1, 0, 0], "aabc", "no interval: all positives are of one patient"),
        ([1, 1, 0, 0], "abcc", "no interval: all negatives are of one patient"),
    ],
)
def test_what_has_no_interval_says_why_and_keeps_its_number(target, patient, why):
    found = estimates(target, [0.4, 0.2, 0.3, 0.6], list(patient))
    assert (found["brier"].ci, found["brier"].reason) == (None, why)
    assert np.isfinite(found["brier"].value)
    assert found["slope"].ci is found["intercept"].ci is None
    if "no known" in why:
        assert np.isnan([found["slope"].value, found["intercept"].value]).all()
        assert found["slope"].reason == why.replace("interval", "slope")
        assert found["intercept"].reason == why.replace("interval", "intercept")
    else:
        assert found["intercept"].reason == why


def test_separated_classes_have_all_intervals_but_the_slopes():
    found = estimates([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.9], np.arange(6))
    assert found["slope"].reason == "no slope: the probabilities separate the classes"
    assert found["slope"].ci is None
    assert found["intercept"].ci[0] < 0 < found["intercept"].ci[1]
    assert found["brier"].ci[0] > 0


def test_a_slope_that_hangs_on_one_patient_has_no_interval():
    # without patient a all probabilities are the same
    target, probs = [0, 1, 0, 1, 0, 1], [0.2, 0.2, 0.2, 0.2, 0.9, 0.9]
    found = estimates(target, probs, list("bcdeaa"))
    assert found["slope"].reason == "no interval: one patient decides it"
    assert np.isfinite(found["slope"].value)
    assert found["intercept"].ci is not None


def test_a_number_that_no_patient_moves_has_no_interval():
    # every image is as far off as every other
    found = estimates([1, 0, 1, 0], [0.5] * 4, list("abcd"))["brier"]
    assert found.value == 0.25
    assert found.reason == "no interval: no patient moves it"


def test_a_label_without_a_known_target_has_nothing():
    for found in estimates([NAN] * 3, [0.1, 0.2, 0.3], list("abc")).values():
        assert np.isnan(found.value)
        assert (found.ci, found.reason) == (None, "no known target")


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="patient_id must be"):
        estimates([0, 1], [0.2, 0.3], list("abc"))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        estimates([0, 1], [0.2, 1.3], list("ab"))
    with pytest.raises(RunError, match="not finite"):
        estimates([0, 1], [0.2, NAN], list("ab"))


def coverage(offset, studies=400, **how):
    """Return by name the share of the studies whose interval holds the truth."""
    truth = calibration(*study(10**6, patients=300_000, offset=offset, **how)[:2])
    held = dict.fromkeys(SMOOTH, 0)
    for seed in range(studies):
        found = estimates(*study(seed, offset=offset, **how))
        for name in held:
            ci = found[name].ci
            held[name] += ci is not None and ci[0] <= getattr(truth, name) <= ci[1]
    return {name: count / studies for name, count in held.items()}


@pytest.mark.slow
@pytest.mark.parametrize("offset", [-1.4, -3.4])  # 27 % of the images are positive, 7 %
def test_the_intervals_hold_the_truth_as_often_as_they_say(offset):
    # 400 studies of 120 patients; 95 % of them are 380, give or take 2 x 4.4
    found = coverage(offset)
    for name in SMOOTH:
        assert 0.925 <= found[name] <= 0.985, (name, found)
