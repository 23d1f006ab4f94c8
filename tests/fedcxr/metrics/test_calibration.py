import numpy as np
import pytest
from one_calibration import calibration
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, logit
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from fedcxr.errors import RunError
from fedcxr.metrics.auroc import auroc
from fedcxr.metrics.calibration import (
    NO_TEMPERATURE,
    Bin,
    fit_temperature,
    mean_bins,
    reliability,
    tempered,
    wilson,
)
from fedcxr.metrics.curves import bce

NAN = float("nan")


def make_case(seed=0, num=600, sharpness=1.0, shift=0.0):
    """Targets drawn from known chances, and what a model with too sharp logits says of them."""
    rng = np.random.default_rng(seed)
    true_logits = rng.normal(-0.5, 1.2, num)
    target = (rng.random(num) < expit(true_logits)).astype(float)
    return target, expit(sharpness * true_logits + shift)


def sklearn_slope(target, probs, intercept=True):
    fit = LogisticRegression(
        C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=500, fit_intercept=intercept
    ).fit(logit(probs)[:, None], target)
    return fit.coef_[0, 0], fit.intercept_[0] if intercept else 0.0


@pytest.mark.parametrize("decimals", [2, 9])
@pytest.mark.parametrize("bins", [1, 5, 15])
@pytest.mark.parametrize("seed", range(3))
def test_brier_and_bins_equal_sklearn(seed, bins, decimals):
    target, probs = make_case(seed)
    probs = probs.round(decimals)
    found = calibration(target, probs, bins)
    assert found.brier == pytest.approx(brier_score_loss(target, probs), abs=1e-12)
    observed, predicted = calibration_curve(target, probs, n_bins=bins, strategy="quantile")
    assert [one.observed for one in found.bins] == pytest.approx(observed, abs=1e-12)
    assert [one.predicted for one in found.bins] == pytest.approx(predicted, abs=1e-12)
    assert sum(one.count for one in found.bins) == len(target)
    shares = np.array([one.count for one in found.bins]) / len(target)
    assert found.ece == pytest.approx(np.sum(shares * np.abs(observed - predicted)), abs=1e-12)


@pytest.mark.parametrize(("sharpness", "shift"), [(1, 0), (3, 0.5), (0.3, -1), (-1, 0)])
@pytest.mark.parametrize("seed", range(3))
def test_slope_and_intercept_equal_sklearn(seed, sharpness, shift):
    target, probs = make_case(seed, sharpness=sharpness, shift=shift)
    found = calibration(target, probs)
    assert found.slope == pytest.approx(sklearn_slope(target, probs)[0], abs=1e-6)
    # With the logit as an offset, the mean probability becomes the share of positives.
    intercept = brentq(lambda a: np.mean(expit(a + logit(probs))) - np.mean(target), -20, 20)
    assert found.intercept == pytest.approx(intercept, abs=1e-9)
    assert found.reason is None


def test_the_slope_by_hand_with_two_probabilities():
    # A line through two points is exact: at logit(0.2) = -ln 4 one in three is positive, at
    # logit(0.8) = ln 4 three in four. The logits of these are -ln 2 and ln 3, so the slope is
    # (ln 3 + ln 2) / (2 ln 4).
    found = calibration([1, 0, 0, 1, 1, 1, 0], [0.2] * 3 + [0.8] * 4)
    assert found.slope == pytest.approx(np.log(6) / (2 * np.log(4)), abs=1e-9)


def test_the_intercept_by_hand():
    # Said is 0.2, an odds of 1 to 4; three in four are positive, an odds of 3: ln 3 + ln 4.
    assert calibration([1, 1, 1, 0], [0.2] * 4).intercept == pytest.approx(np.log(12), abs=1e-9)
    # As often 0.2 as 0.8, and half are positive: right on average, whatever the slope.
    assert calibration([1, 0, 1, 0], [0.2, 0.2, 0.8, 0.8]).intercept == pytest.approx(0, abs=1e-9)


def test_a_model_that_is_right_on_average_has_no_intercept_whatever_its_slope():
    # Rare and twice too sharp: half the logit, moved until the mean is that of the probabilities.
    rng = np.random.default_rng(3)
    x = rng.normal(-3, 1.5, 100_000)
    moved = brentq(lambda a: np.mean(expit(a + x / 2)) - np.mean(expit(x)), -10, 10)
    target = (rng.random(len(x)) < expit(moved + x / 2)).astype(float)
    found = calibration(target, expit(x))
    assert found.slope == pytest.approx(0.5, abs=0.02)
    assert found.intercept == pytest.approx(0, abs=0.03)
    _, fitted_with_the_slope = sklearn_slope(target, expit(x))
    assert fitted_with_the_slope < -0.8  # what used to be called the intercept


def test_true_chances_are_calibrated_and_sharper_ones_are_not():
    target, probs = make_case(num=200_000)
    right = calibration(target, probs)
    assert right.slope == pytest.approx(1, abs=0.03)
    assert right.intercept == pytest.approx(0, abs=0.03)
    assert right.ece < 0.005
    wrong = calibration(target, expit(2 * logit(probs)))
    assert wrong.slope == pytest.approx(right.slope / 2, abs=1e-6)  # the same line, twice as wide
    assert wrong.brier > right.brier
    assert wrong.ece > 0.05


def test_the_ece_and_brier_by_hand():
    # halves: mean 0.2 with 1 of 2 positive, mean 0.75 with 1 of 2: (0.3 + 0.25) / 2
    # squares: 0.1² + 0.7² + 0.3² + 0.8²
    found = calibration([0, 1, 1, 0], [0.1, 0.3, 0.7, 0.8], bins=2)
    assert found.ece == pytest.approx(0.275)
    assert found.brier == pytest.approx((0.01 + 0.49 + 0.09 + 0.64) / 4)


def test_ties_stay_in_one_bin_whatever_the_order_of_the_images():
    target, probs = make_case(2)
    probs = probs.round(1)
    rows = np.random.default_rng(1).permutation(len(target))
    again = calibration(target[rows], probs[rows])
    assert [one.count for one in again.bins] == [
        one.count for one in calibration(target, probs).bins
    ]
    assert len(calibration(target, np.full(len(target), 0.3)).bins) == 1


@pytest.mark.parametrize(("hits", "count"), [(0, 7), (3, 7), (7, 7), (40, 900)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_equals_scipy(hits, count, level):
    expected = binomtest(hits, count).proportion_ci(level, method="wilson")
    assert wilson(hits, count, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_every_bin_has_the_interval_of_its_own_counts():
    target, probs = make_case()
    for one in calibration(target, probs, level=0.9).bins:
        assert one.ci == wilson(round(one.observed * one.count), one.count, 0.9)


def test_the_bins_of_models_are_averaged_place_by_place():
    one = reliability([0, 1, 0, 1], [0.2, 0.4, 0.6, 0.8], bins=2)
    other = reliability([0, 1, 0, 1], [0.1, 0.7, 0.3, 0.9], bins=2)
    assert [each.place for each in one] == [0, 1]
    low, high = mean_bins([one, other])
    assert (low.predicted, low.observed, low.count) == (pytest.approx((0.3 + 0.2) / 2), 0.25, 2)
    assert (high.predicted, high.observed) == (pytest.approx((0.7 + 0.8) / 2), 0.75)
    assert low.ci == wilson(0.5, 2, 0.95)
    # of a model whose images are all tied there is one bin: it is left out of the other place
    tied = reliability([0, 1, 0, 1], [0.3] * 4, bins=2)
    assert tied == (Bin(0, pytest.approx(0.3), 0.5, 4, wilson(2, 4, 0.95)),)
    assert mean_bins([one, tied])[1] == one[1]
    assert mean_bins([(), ()]) == ()


def test_unknown_targets_are_left_out():
    target, probs = make_case()
    target[::3] = NAN
    known = ~np.isnan(target)
    assert calibration(target, probs) == calibration(target[known], probs[known])


@pytest.mark.parametrize(
    ("target", "probs", "reason"),
    [
        ([1, 1], [0.2, 0.7], "no slope: no known negative"),
        ([0, 0], [0.2, 0.7], "no slope: no known positive"),
        ([0, 1], [0.4, 0.4], "no slope: all probabilities are the same"),
        ([0, 0, 1], [0.1, 0.4, 0.7], "no slope: the probabilities separate the classes"),
        ([1, 1, 0], [0.1, 0.4, 0.7], "no slope: the probabilities separate the classes"),
        ([0, 1, 1], [0.4, 0.4, 0.7], "no slope: the probabilities separate the classes"),
    ],
)
def test_what_has_no_slope_says_why_and_keeps_its_brier(target, probs, reason):
    found = calibration(target, probs)
    assert np.isnan(found.slope)
    assert np.isnan(found.intercept) == ("no known" in reason)
    assert found.reason == reason
    assert found.brier == pytest.approx(np.mean((np.array(target) - probs) ** 2))


def test_no_known_target_has_nothing():
    found = calibration([NAN, NAN], [0.1, 0.2])
    assert np.isnan([found.brier, found.ece, found.slope, found.intercept]).all()
    assert (found.bins, found.reason) == ((), "no known target")


def test_a_nearly_separated_case_still_converges():
    # One swapped pair among 2,000: the slope is steep, but finite. The case is its own mirror
    # image, so the intercept is 0 and the slope solves sum x (y - expit(slope x)) = 0 alone.
    probs = np.linspace(0.001, 0.999, 2000)
    target = (probs > 0.5).astype(float)
    target[[999, 1000]] = [1, 0]
    found = calibration(target, probs)
    x = logit(probs)
    slope = brentq(lambda b: np.sum(x * (target - expit(b * x))), 1, 1e4, xtol=1e-10)
    assert found.reason is None
    assert slope > 100
    assert found.slope == pytest.approx(slope, rel=1e-6)
    assert found.intercept == pytest.approx(0, abs=1e-6)


def test_probabilities_of_exactly_0_and_1_are_finite():
    target, probs = make_case()
    probs[:5], probs[5:10] = 0, 1
    found = calibration(target, probs)
    assert np.isfinite([found.slope, found.intercept, found.brier]).all()
    assert np.isfinite(tempered(probs, 3.0)).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_temperature_is_the_inverse_of_the_slope_that_sklearn_fits_through_the_origin(seed):
    target, probs = make_case(seed, sharpness=2.5)
    slope, _ = sklearn_slope(target, probs, intercept=False)
    assert fit_temperature(target[:, None], probs[:, None]) == pytest.approx(1 / slope, rel=1e-6)


def test_one_temperature_serves_all_labels_and_has_the_lowest_cross_entropy():
    cases = [make_case(seed, sharpness=sharp) for seed, sharp in enumerate((1.5, 3.0, 2.0))]
    target, probs = (np.stack(part, axis=1) for part in zip(*cases, strict=True))
    target[::5, 1] = NAN
    found = fit_temperature(target, probs)
    best = minimize_scalar(
        lambda t: bce(target, tempered(probs, t)),
        bounds=(0.2, 10),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert found == pytest.approx(best.x, rel=1e-4)
    assert bce(target, tempered(probs, found)) <= best.fun + 1e-12


def test_what_is_tempered_already_needs_no_temperature():
    target, probs = make_case(sharpness=2.5)
    target, probs = target[:, None], probs[:, None]
    found = fit_temperature(target, probs)
    assert found > 1
    assert fit_temperature(target, tempered(probs, found)) == pytest.approx(1, abs=1e-9)


def test_tempering_keeps_the_auroc_and_moves_the_slope():
    target, probs = make_case(sharpness=2.0)
    cooler = tempered(probs, 2.0)
    assert auroc(target, cooler) == auroc(target, probs)
    before, after = calibration(target, probs), calibration(target, cooler)
    assert after.slope == pytest.approx(2 * before.slope, rel=1e-9)
    assert tempered(probs, 1.0) == pytest.approx(probs, abs=1e-12)


@pytest.mark.parametrize(
    ("target", "probs"),
    [
        ([NAN, NAN], [0.2, 0.8]),
        ([0, 1], [0.2, 0.8]),  # separated: the sharper the better
        ([1, 0], [0.2, 0.8]),  # the wrong way round: the flatter the better
        ([0, 1], [0.5, 0.5]),  # says nothing at any temperature
    ],
)
def test_where_no_temperature_is_best_it_is_nan(target, probs):
    assert np.isnan(fit_temperature(np.array(target)[:, None], np.array(probs)[:, None]))
    assert NO_TEMPERATURE.startswith("no temperature: ")


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        calibration([0, 1], [0.2, 1.2])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        fit_temperature([[0], [1]], [[-0.1], [0.3]])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        tempered([0.2, NAN], 1.0)
    with pytest.raises(ValueError, match="bins >= 1"):
        calibration([0, 1], [0.2, 0.3], bins=0)
    with pytest.raises(ValueError, match="level < 1"):
        calibration([0, 1], [0.2, 0.3], level=1.0)
    with pytest.raises(ValueError, match=r"need \(N,\)"):
        calibration([[0], [1]], [[0.2], [0.3]])
    for wrong in (0.0, -1.0, NAN, np.inf):
        with pytest.raises(ValueError, match="temperature must be finite"):
            tempered([0.2], wrong)
    with pytest.raises(RunError, match="not finite"):
        calibration([0, 1], [0.2, NAN])
