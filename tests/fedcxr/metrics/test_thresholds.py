import numpy as np
import pytest
from sklearn.metrics import roc_curve

from fedcxr.errors import RunError
from fedcxr.metrics.thresholds import POINTS, thresholds


def random_case(seed, num=200, decimals=2):
    rng = np.random.default_rng(seed)
    target = (rng.random(num) < 0.3).astype(float)
    return target, np.clip(rng.normal(0.4 + 0.15 * target, 0.2), 0, 1).round(decimals)


def values(target, probs):
    return {point: found.value for point, found in thresholds(target, probs).items()}


def test_thresholds_by_hand():
    # From the top, as (score: positives found of 10, negatives called of 10):
    # 0.9: 5, 0   0.8: 8, 1   0.7: 8, 2   0.6: 9, 3   0.5: 9, 5   0.4: 10, 5   0.3: 10, 10
    steps = [(0.9, 5, 0), (0.8, 3, 1), (0.7, 0, 1), (0.6, 1, 1), (0.5, 0, 2), (0.4, 1, 0)]
    target, probs = [], []
    for score, positives, negatives in [*steps, (0.3, 0, 5)]:
        target += [1] * positives + [0] * negatives
        probs += [score] * (positives + negatives)
    # Youden: 0.8 gives 0.8 - 0.1 = 0.7, the most. 0.90 of the positives first at 0.6 (3 called).
    # At most 1 of 10 negatives down to 0.8.
    assert values(target, probs) == {"youden": 0.8, "sens90": 0.6, "spec90": 0.8}


@pytest.mark.parametrize("decimals", [1, 2, 6])
@pytest.mark.parametrize("seed", range(8))
def test_every_threshold_is_the_best_on_the_roc_curve_of_sklearn(seed, decimals):
    target, probs = random_case(seed, decimals=decimals)
    fpr, tpr, cuts = roc_curve(target, probs, drop_intermediate=False)
    fpr, tpr, cuts = fpr[1:], tpr[1:], cuts[1:]  # without the threshold that calls nothing
    found = values(target, probs)
    assert found["youden"] == cuts[np.argmax((tpr - fpr).round(12))]
    enough = tpr >= 0.9 - 1e-12
    best = enough & (fpr == fpr[enough].min())
    assert found["sens90"] == cuts[best][np.argmax(tpr[best])]
    enough = fpr <= 0.1 + 1e-12
    best = enough & (tpr == tpr[enough].max())
    assert found["spec90"] == cuts[best][np.argmin(fpr[best])]


def test_27_of_30_are_nine_in_ten_though_rounding_says_otherwise():
    # The 27th of 30 positives comes before 100 negatives, the other three after them.
    for total in range(10, 200, 10):
        target = [1] * (total * 9 // 10) + [0] * 100 + [1] * (total // 10)
        probs = np.linspace(1, 0, len(target))
        assert values(target, probs)["sens90"] == probs[total * 9 // 10 - 1]


def test_a_tie_goes_to_the_threshold_that_is_better_in_the_other_rate():
    # 0.9 and 0.8 both call no negative: of the two, sens90 takes the one that finds all.
    assert values([1] * 9 + [1] + [0], [0.9] * 9 + [0.8] + [0.1])["sens90"] == 0.8
    # 0.9 finds every positive; 0.8 finds no more and calls one negative of ten.
    assert values([1] + [0] * 10, [0.9, 0.8] + [0.1] * 9)["spec90"] == 0.9


def test_unknown_targets_are_left_out():
    target, probs = random_case(3)
    expected = values(target, probs)
    extra = np.full(50, np.nan)
    assert values(np.append(extra, target), np.append(np.linspace(0, 1, 50), probs)) == expected


def test_the_order_of_the_images_does_not_matter():
    target, probs = random_case(4, decimals=1)
    rows = np.random.default_rng(0).permutation(len(target))
    assert values(target[rows], probs[rows]) == values(target, probs)


@pytest.mark.parametrize(
    ("target", "missing"), [([1, 1], "negative"), ([0, np.nan], "positive"), ([np.nan], "target")]
)
def test_one_class_has_no_threshold(target, missing):
    found = thresholds(target, np.full(len(target), 0.5))
    assert tuple(found) == POINTS
    for one in found.values():
        assert np.isnan(one.value)
        assert one.reason == f"no threshold: no known {missing} in the validation data"


def test_scores_without_any_order_have_no_youden_and_no_spec90():
    found = thresholds([0, 1, 0, 1], [0.5] * 4)
    assert found["youden"].reason == (
        "no threshold: no score separates the classes better than chance"
    )
    assert "misses all positives" in found["spec90"].reason
    assert np.isnan([found["youden"].value, found["spec90"].value]).all()
    assert found["sens90"].value == 0.5  # calls all positive, which does find 0.90 of them


def test_a_specificity_that_only_negatives_reach_gives_no_threshold():
    # One of ten negatives may be called, and it scores above every positive.
    found = thresholds([0] + [1] * 5 + [0] * 9, [0.9] + [0.5] * 5 + [0.5] * 9)
    assert np.isnan(found["spec90"].value)


def test_a_threshold_of_float32_scores_calls_the_very_image_it_was_taken_from():
    probs = np.float32([0.1, 0.3, 0.7])
    found = thresholds([0, 1, 1], probs)
    assert (probs.astype(np.float64) >= found["youden"].value).tolist() == [False, True, True]


def test_a_wrong_shape_and_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="one label"):
        thresholds(np.zeros((2, 1)), np.zeros((2, 1)))
    with pytest.raises(RunError, match="not finite"):
        thresholds([0, 1], [0.1, np.nan])
