"""Scores of membership: by hand, and on confidences that are Gaussian with known parameters."""

import numpy as np
import pytest
from scipy import stats

from fedcxr.attacks.rates import rate_at
from fedcxr.attacks.scores import METHODS, lira_offline, lira_online, methods_of, rmia
from fedcxr.attacks.signals import Answers, References
from fedcxr.errors import ConfigError


def answers(*, loss=None, confidence=None):
    given = np.asarray(confidence if loss is None else loss, dtype=float)
    zeros = np.zeros_like(given)
    return Answers(zeros if loss is None else given, zeros if confidence is None else given)


def references(inside, *, loss=None, confidence=None):
    given = np.asarray(confidence if loss is None else loss, dtype=float)
    zeros = np.zeros_like(given)
    return References(
        zeros if loss is None else given,
        zeros if confidence is None else given,
        np.asarray(inside, dtype=bool),
    )


def test_the_loss_threshold_ranks_by_the_loss_alone():
    none = references(np.empty((0, 2)), loss=np.empty((0, 2)))
    assert METHODS["loss"].score(answers(loss=[0.3, 2.0]), none).tolist() == [-0.3, -2.0]


def test_lira_online_is_the_log_ratio_of_two_gaussians():
    # One record. In: 4 and 6, mean 5; out: 0 and 2, mean 1; each has the variance 2.
    own = references([[1], [1], [0], [0]], confidence=[[4], [6], [0], [2]])
    found = lira_online(answers(confidence=[4.0]), own)
    by_scipy = stats.norm(5, 2**0.5).logpdf(4) - stats.norm(1, 2**0.5).logpdf(4)
    assert found == pytest.approx([by_scipy])
    assert found == pytest.approx([(9 - 1) / 4])  # ((4 - 1)² - (4 - 5)²) / (2·2)


def test_lira_offline_counts_deviations_above_the_models_without_the_record():
    own = references([[1], [0], [0]], confidence=[[50], [0], [2]])
    assert lira_offline(answers(confidence=[4.0]), own) == pytest.approx([3 / 2**0.5])


def test_few_models_share_one_deviation_and_many_have_one_for_each_record():
    # variances 2 and 8 of two records with two models out each: the root of their mean is √5
    few = references([[0, 0], [0, 0]], confidence=[[0, 0], [2, 4]])
    assert lira_offline(answers(confidence=[1.0, 2.0 + 5**0.5]), few) == pytest.approx([0.0, 1.0])
    rng = np.random.default_rng(0)
    many = rng.normal([0.0, 0.0], [1.0, 10.0], (64, 2))
    own = references(np.zeros((64, 2)), confidence=many)
    expected = (3.0 - many.mean(axis=0)) / many.std(axis=0, ddof=1)
    assert lira_offline(answers(confidence=[3.0, 3.0]), own) == pytest.approx(expected)


def test_rmia_is_the_share_of_records_over_which_it_has_become_twice_as_likely():
    # Pr(x) = (1.3·p + 0.7) / 2 of p out: of 0.5 it is 0.675, of 0.1 it is 0.415.
    # Ratios: 0.9 / 0.675 = 1.333, 0.5 / 0.675 = 0.741, 0.2 / 0.415 = 0.482.
    # Half of 1.333 is 0.667, which exceeds one of the three; half of the others exceeds none.
    own = references([[0, 0, 0]], loss=-np.log([[0.5, 0.5, 0.1]]))
    found = rmia(answers(loss=-np.log([0.9, 0.5, 0.2])), own)
    assert found == pytest.approx([1 / 3, 0, 0])


def test_rmia_asks_only_models_that_were_not_taught_the_record():
    loss = -np.log([[0.9, 0.5], [0.1, 0.5]])
    with_both = references([[1, 0], [0, 0]], loss=loss)
    without = references([[0, 0]], loss=loss[1:])
    target = answers(loss=-np.log([0.9, 0.2]))
    assert rmia(target, with_both) == pytest.approx(rmia(target, without))


@pytest.mark.parametrize("method", [lira_online, lira_offline])
def test_lira_finds_as_many_as_the_closed_form_says(method):
    # φ ~ N(2, 1) of members and N(0, 1) of others, the same for all records: the likelihood ratio
    # rises with φ, so TPR at FPR α is 1 - Φ(Φ⁻¹(1 - α) - 2): 0.372 at 1 %.
    rng = np.random.default_rng(1)
    number = 20_000
    inside = np.repeat([True, False], 64)[:, None] & np.ones((1, number), bool)
    confidence = rng.normal(0, 1, (128, number)) + 2 * inside
    own = references(inside, confidence=confidence)
    members = rng.random(number) < 0.5
    target = answers(confidence=rng.normal(0, 1, number) + 2 * members)
    scores = method(target, own)
    expected = stats.norm.sf(stats.norm.isf(0.01) - 2)
    assert expected == pytest.approx(0.372, abs=0.001)
    found = rate_at(scores[members], scores[~members], 0.01)
    # A threshold that 100 alarms set is off by a tenth of its rate, and the curve's slope is 14
    # there: 0.014 is one standard deviation.
    assert found.tpr == pytest.approx(expected, abs=0.04)


def test_lira_beats_the_loss_where_records_differ_in_difficulty():
    # Records' own means spread by 5, membership adds 2: without the references one cannot tell.
    rng = np.random.default_rng(2)
    number = 4000
    difficulty = rng.normal(0, 5, number)
    inside = rng.permuted(np.arange(16)[:, None] < np.full(number, 8), axis=0)
    confidence = difficulty + rng.normal(0, 1, (16, number)) + 2 * inside
    members = rng.random(number) < 0.5
    own = difficulty + rng.normal(0, 1, number) + 2 * members
    lira = lira_online(answers(confidence=own), references(inside, confidence=confidence))
    by_lira = rate_at(lira[members], lira[~members], 0.01).tpr
    by_confidence = rate_at(own[members], own[~members], 0.01).tpr
    assert by_lira > 0.2
    assert by_confidence < 0.05


def test_without_a_difference_no_method_finds_anyone():
    rng = np.random.default_rng(3)
    number = 4000
    loss = rng.exponential(1, (4, number))
    inside = np.stack([np.arange(number) % 2 == k % 2 for k in range(4)])
    own = References(loss, -loss, inside)
    target = Answers(*(rng.exponential(1, number),) * 2)
    members = rng.random(number) < 0.5
    for method in METHODS.values():
        assert method.lacks(own) is None
        scores = method.score(target, own)
        found = rate_at(scores[members], scores[~members], 0.01)
        assert found.ci[0] <= 0.01 + 0.005, method.name


def test_a_method_says_how_many_models_it_lacks():
    none = references(np.empty((0, 1)), loss=np.empty((0, 1)))
    assert METHODS["loss"].lacks(none) is None
    assert "2 models that were taught each record and 2 that were not; there are 0 and 0" in (
        METHODS["lira-online"].lacks(none)
    )
    two = references([[0], [1]], loss=[[1], [1]])
    assert METHODS["rmia"].lacks(two) is None
    assert METHODS["lira-offline"].lacks(two) is not None


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("lyra",), r"--methods: there is no lyra\. Known: loss, lira-online"),
        ((), "name each once, at least one"),
        (("loss", "loss"), "name each once, at least one"),
    ],
)
def test_an_unknown_method_is_refused_by_name(names, words):
    with pytest.raises(ConfigError, match=words):
        methods_of(names)
