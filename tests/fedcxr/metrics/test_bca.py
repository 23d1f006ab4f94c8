import numpy as np
import pytest
from scipy.stats import bootstrap, norm, skew

from fedcxr.metrics.areas import find_steps, weighted_areas
from fedcxr.metrics.auroc import auroc, rank, weighted_auroc
from fedcxr.metrics.bca import acceleration, bca, percentile
from fedcxr.metrics.jackknife import jackknife_auroc
from fedcxr.metrics.resampling import image_weights


def make_case(seed=0, num=120):
    rng = np.random.default_rng(seed)
    target = (rng.random(num) < 0.25).astype(float)
    return target, rng.normal(1.2 * target)


def resampled(target, probs, resamples, seed):
    """AUROCs with every image a patient of its own."""
    parts = image_weights(np.arange(len(target)), resamples, seed)
    return np.concatenate([weighted_auroc(rank(target, probs), weights) for weights in parts])


def slow_bca(value, draws, jackknife, level):
    """Efron and Tibshirani 1993, equations 14.9 to 14.15, line by line."""
    below = sum(1.0 if draw < value else 0.5 if draw == value else 0.0 for draw in draws)
    z0 = norm.ppf(below / len(draws))
    away = [np.mean(jackknife) - one for one in jackknife]
    a = sum(x**3 for x in away) / (6 * sum(x**2 for x in away) ** 1.5)
    ends = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        z = norm.ppf(tail)
        ends.append(np.quantile(draws, norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z)))))
    return tuple(ends)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_equations_line_by_line(seed, level):
    target, probs = make_case(seed)
    value, draws = auroc(target, probs), resampled(target, probs, 500, seed)
    without = jackknife_auroc(target, probs, np.arange(len(target)))
    found, reason = bca(value, draws, without, level)
    assert found == pytest.approx(slow_bca(value, draws, without, level), abs=1e-12)
    assert reason is None


def test_draws_that_tie_with_the_value_count_one_half():
    # 3 below, 4 ties, 3 above: z0 = 0, and without skewness the percentile is left
    draws = [1.0] * 3 + [2.0] * 4 + [3.0, 4.0, 5.0]
    found, _ = bca(2.0, draws, [1.0, 2.0, 3.0], 0.8)
    assert found == pytest.approx(percentile(draws, 0.8), abs=1e-9)


def test_without_bias_and_skewness_it_is_the_percentile_interval():
    draws = np.random.default_rng(0).normal(size=400)
    draws = np.concatenate([draws, -draws])
    found, _ = bca(0.0, draws, [-1.0, 0.0, 1.0], 0.9)
    assert found == pytest.approx(percentile(draws, 0.9), abs=1e-9)


def test_a_change_of_sign_turns_the_interval_round():
    draws = np.random.default_rng(1).exponential(size=501)
    without = np.random.default_rng(2).exponential(size=60)
    (low, high), _ = bca(0.9, draws, without, 0.95)
    (turned_low, turned_high), _ = bca(-0.9, -draws, -without, 0.95)
    assert (turned_low, turned_high) == pytest.approx((-high, -low), abs=1e-12)


def test_skewness_to_the_right_moves_the_interval_to_the_right():
    # leave-one-out values with one far below the rest: the value has a long upper tail
    draws = np.linspace(-1, 1, 2001)
    (low, high), _ = bca(0.0, draws, [0.0] * 9 + [-1.0], 0.9)
    plain_low, plain_high = percentile(draws, 0.9)
    assert low > plain_low
    assert high > plain_high


@pytest.mark.parametrize("seed", range(3))
def test_is_near_scipy_where_each_patient_has_one_image(seed):
    # The draws differ; so do the ends, by some hundredths of the interval's width.
    target, probs = make_case(seed, num=150)

    def score(rows):
        times = np.bincount(rows, minlength=len(target))
        return float(weighted_auroc(rank(target, probs), times[None])[0])

    theirs = bootstrap(
        (np.arange(len(target)),),
        score,
        vectorized=False,
        n_resamples=4000,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    draws = resampled(target, probs, 4000, seed)
    without = jackknife_auroc(target, probs, np.arange(len(target)))
    (low, high), _ = bca(auroc(target, probs), draws, without, 0.95)
    width = theirs.high - theirs.low
    assert low == pytest.approx(theirs.low, abs=0.06 * width)
    assert high == pytest.approx(theirs.high, abs=0.06 * width)


def test_acceleration_is_a_sixth_of_the_skewness_over_the_root_of_the_number():
    # E & T: a = sum d³ / (6 (sum d²)^1.5) = skew / (6 sqrt n), with d turned round
    values = np.random.default_rng(3).exponential(size=40)
    assert acceleration(values) == pytest.approx(-skew(values) / (6 * np.sqrt(40)), rel=1e-9)


def test_leave_one_out_values_all_alike_have_no_acceleration():
    assert acceleration(np.full(9, 0.1 + 0.2)) == 0
    assert acceleration(np.zeros(3)) == 0


def test_quantiles_beyond_the_draws_end_at_the_outermost():
    # z0 = Φ⁻¹(9/10) = 1.28, a near its bound of 1/6, z = 5.33: a (z0 + z) passes the pole at 1
    draws = np.arange(10.0)
    (low, high), reason = bca(8.5, draws, [0.0] * 99 + [-1.0], 0.9999999)
    assert reason is None
    assert 0 <= low < high == 9


@pytest.mark.parametrize(
    ("value", "draws", "jackknife", "reason"),
    [
        (np.nan, [0.1, 0.2], [0.1, 0.2], "there is no value"),
        (0.2, [0.1, 0.3], [0.2], "fewer than two patients"),
        (0.2, [0.1, 0.3], [np.nan, np.nan, 0.2], "fewer than two patients"),
        (0.2, [np.nan, np.nan], [0.1, 0.2], "no resample has both classes"),
        (0.2, [0.2, 0.2], [0.1, 0.2], "every resample gives the same value"),
        (0.2, [0.3, 0.4], [0.1, 0.2], "all resamples lie on the same side"),
        (0.5, [0.3, 0.4], [0.1, 0.2], "all resamples lie on the same side"),
    ],
)
def test_what_leaves_nothing_to_go_by_gives_no_interval_and_says_why(
    value, draws, jackknife, reason
):
    found, why = bca(value, draws, jackknife, 0.95)
    assert np.isnan(found).all()
    assert reason in why


def test_lost_draws_are_left_out():
    draws = np.random.default_rng(0).normal(size=200)
    without = np.random.default_rng(1).normal(size=30)
    holes = np.insert(draws, [3, 90], np.nan)
    assert bca(0.1, holes, np.append(without, np.nan), 0.9) == bca(0.1, draws, without, 0.9)
    assert percentile(holes, 0.9) == percentile(draws, 0.9)


def test_no_draw_has_no_percentile():
    assert np.isnan(percentile([np.nan], 0.95)).all()


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_a_level_out_of_range_is_refused(level):
    with pytest.raises(ValueError, match="level"):
        percentile([0.1, 0.2], level)
    with pytest.raises(ValueError, match="level"):
        bca(0.1, [0.1, 0.2], [0.1, 0.2], level)


def test_covers_the_true_auroc_about_as_often_as_it_says():
    # Binormal scores, 40 positives in 200 patients, d' = 1: the true AUROC is Φ(1 / √2) = 0.760.
    # 300 studies at 95 %: 285 expected, standard deviation 3.8; six of them below is 262.
    truth, hits = norm.cdf(1 / np.sqrt(2)), 0
    target = np.repeat([1.0, 0.0], [40, 160])
    (weights,) = image_weights(np.arange(200), 400, 0, elements=400 * 200)
    weights = np.ascontiguousarray(weights.T)
    for seed in range(300):
        probs = np.random.default_rng(seed).normal(target)
        draws = weighted_areas(find_steps(target, probs, np.arange(200)), weights).auroc
        without = jackknife_auroc(target, probs, np.arange(200))
        (low, high), _ = bca(auroc(target, probs), draws, without, 0.95)
        hits += low <= truth <= high
    assert 262 <= hits <= 300
