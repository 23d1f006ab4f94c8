import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fedcxr.errors import RunError
from fedcxr.metrics.auroc import LabelScore, auroc, macro, rank, score_labels, weighted_auroc


def random_case(seed, num=300, decimals=None):
    rng = np.random.default_rng(seed)
    target = (rng.random(num) < 0.3).astype(float)
    probs = np.clip(rng.normal(0.4 + 0.2 * target, 0.25), 0, 1)
    return target, probs if decimals is None else probs.round(decimals)


def test_a_hand_computed_auroc():
    # positives 0.35 and 0.8 against negatives 0.1 and 0.4: 3 of 4 pairs are in order
    assert auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75


def test_a_tie_counts_one_half():
    # pairs: 0.5 > 0.2 wins, 0.5 = 0.5 ties: (1 + 1/2) / 2
    assert auroc([0, 0, 1], [0.2, 0.5, 0.5]) == 0.75


@pytest.mark.parametrize("decimals", [None, 2, 1, 0])
@pytest.mark.parametrize("seed", range(5))
def test_equals_sklearn_with_and_without_ties(seed, decimals):
    target, probs = random_case(seed, decimals=decimals)
    assert auroc(target, probs) == pytest.approx(roc_auc_score(target, probs), abs=1e-12)


@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("seed", range(5))
def test_equals_sklearn_with_weights(seed, decimals):
    target, probs = random_case(seed, decimals=decimals)
    weights = np.random.default_rng(seed + 100).exponential(size=len(target))
    weights[::7] = 0
    expected = roc_auc_score(target, probs, sample_weight=weights)
    assert auroc(target, probs, weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("positives", [1, 3, 2000])
@pytest.mark.parametrize("decimals", [None, 1])
def test_equals_sklearn_on_unbalanced_labels_weighted_by_multiplicities(positives, decimals):
    rng = np.random.default_rng(positives)
    target = (np.arange(4000) < positives).astype(float)
    probs = rng.normal(0.2 * target)
    probs = probs if decimals is None else probs.round(decimals)
    times = np.bincount(rng.integers(0, 4000, 4000), minlength=4000)
    times[0] = 1
    assert auroc(target, probs) == pytest.approx(roc_auc_score(target, probs), abs=1e-12)
    expected = roc_auc_score(target, probs, sample_weight=times)
    assert auroc(target, probs, times) == pytest.approx(expected, abs=1e-12)


def test_weights_in_whole_numbers_give_the_same_bits_as_floats():
    target, probs = random_case(3, decimals=1)
    ranks = rank(target, probs)
    times = np.random.default_rng(4).poisson(1.0, (20, len(target)))
    whole, floats = weighted_auroc(ranks, times), weighted_auroc(ranks, times.astype(float))
    assert np.array_equal(whole, floats)


def test_unknown_targets_are_left_out():
    target, probs = random_case(1)
    target[::3] = np.nan
    known = ~np.isnan(target)
    assert auroc(target, probs) == pytest.approx(roc_auc_score(target[known], probs[known]))


def test_float32_scores_are_compared_as_they_are():
    probs = np.array([0.1, np.nextafter(np.float32(0.1), np.float32(1))], dtype=np.float32)
    assert auroc(np.array([0, 1], dtype=np.float32), probs) == 1.0


@pytest.mark.parametrize("target", [[1, 1], [0, 0], [np.nan, np.nan], [1, np.nan]])
def test_one_class_has_no_auroc(target):
    assert np.isnan(auroc(target, [0.2, 0.7]))


def test_a_class_of_weight_zero_has_no_auroc():
    assert np.isnan(auroc([0, 1], [0.2, 0.7], [1, 0]))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    with pytest.raises(RunError, match=r"1 of 2 probabilities are not finite.*learning_rate"):
        auroc([0, 1], [0.2, bad])


def test_a_wrong_target_or_shape_or_weight_is_refused():
    with pytest.raises(ValueError, match="0, 1 or nan"):
        auroc([0, -1], [0.2, 0.3])
    with pytest.raises(ValueError, match="do not agree"):
        auroc([0, 1], [0.2])
    with pytest.raises(ValueError, match="do not agree for 2 labels"):
        score_labels(np.zeros((3, 1)), np.zeros((3, 1)), ["a", "b"])
    with pytest.raises(ValueError, match="weights"):
        auroc([0, 1], [0.2, 0.3], [1, -1])
    with pytest.raises(ValueError, match="one label"):
        auroc(np.zeros((2, 1)), np.zeros((2, 1)))


def test_each_label_is_scored_by_itself_and_an_undefined_one_says_why():
    # row 12 of the bad-input table
    nan = np.nan
    target = np.array([[0, 1, 0, nan], [1, 1, 0, nan], [1, nan, 0, nan]])
    probs = np.array([[0.1, 0.5, 0.5, 0.5], [0.2, 0.5, 0.5, 0.5], [0.3, 0.5, 0.5, 0.5]])
    assert score_labels(target, probs, ["a", "b", "c", "d"]) == (
        LabelScore("a", 1.0, None, 2, 1, None),
        LabelScore("b", None, None, 2, 0, "no known negative"),
        LabelScore("c", None, None, 0, 3, "no known positive"),
        LabelScore("d", None, None, 0, 0, "no known target"),
    )


def test_macro_is_over_the_defined_labels_and_states_their_number():
    # row 12 of the bad-input table
    # (0.9 + 0.7) / 2; the undefined label neither poisons the mean nor counts as 0.5
    scores = [
        LabelScore("a", 0.9, None, 2, 2),
        LabelScore("b", None, None, 0, 4, "no known positive"),
        LabelScore("c", 0.7, None, 2, 2),
    ]
    value, number = macro(scores)
    assert value == pytest.approx(0.8)
    assert number == 2


def test_macro_of_no_defined_label_is_none():
    assert macro(score_labels(np.ones((3, 1)), np.ones((3, 1)), ["a"])) == (None, 0)
