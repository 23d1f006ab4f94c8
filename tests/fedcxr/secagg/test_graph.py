"""Degree and threshold: by hand, by scipy's tails, and by drawing circles."""

import itertools
import secrets

import numpy as np
import pytest
from scipy.stats import hypergeom

from fedcxr.secagg.graph import (
    CORRECTNESS,
    PRIVACY,
    at_least,
    correctness_failure,
    graph_plan,
    majority,
    neighbours,
    privacy_failure,
)


@pytest.mark.parametrize(
    ("sites", "threshold", "fewest"),
    # t: more than half of all; at least two honest ones beside a third that tells all it knows
    [(3, 2, 3), (4, 3, 3), (5, 3, 3), (6, 4, 4), (10, 6, 6), (20, 11, 11)],
)
def test_few_sites_are_all_neighbours(sites, threshold, fewest):
    plan = graph_plan(sites)
    assert plan.is_complete
    assert (plan.threshold, plan.fewest) == (threshold, fewest)
    assert (plan.privacy_failure, plan.correctness_failure) == (0.0, 0.0)
    assert threshold > sites // 3  # what corrupt ones hold opens nothing
    assert plan.most_dropped >= 3 * sites // 10


def test_fewer_than_three_sites_have_no_graph():
    with pytest.raises(ValueError, match="at least 3 sites, not 2"):
        graph_plan(2)


@pytest.mark.parametrize("sites", [60, 100, 200, 500])
def test_many_sites_have_fewer_neighbours_and_the_failures_are_as_small_as_they_must_be(sites):
    plan = graph_plan(sites)
    assert 2 <= plan.degree < sites
    assert plan.threshold == majority(plan.degree)
    assert plan.privacy_failure <= PRIVACY == 2**-40
    assert plan.correctness_failure <= CORRECTNESS == 2**-30
    assert plan.degree % 2 == 0 or plan.is_complete
    if not plan.is_complete:
        fewer, third, silent = plan.degree - 2, sites // 3, 3 * sites // 10
        hidden = privacy_failure(sites, fewer, majority(fewer), third, silent)
        opened = correctness_failure(sites, fewer, majority(fewer), silent)
        assert hidden > PRIVACY or opened > CORRECTNESS


def test_tails_are_scipys():
    for least, marked, drawn in itertools.product((0, 1, 5, 11, 20), (7, 33), (10, 40)):
        expected = hypergeom.sf(least - 1, 99, marked, drawn)
        assert at_least(least, 99, marked, drawn) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_failures_are_those_that_drawn_circles_show():
    # 12 sites, 4 neighbours each, 4 corrupt, 3 silent: failures are frequent, so they can be
    # counted. Bounds are unions, so what is counted is no more but for chance (4 deviations).
    sites, degree, corrupt, silent = 12, 4, 4, 3
    threshold = majority(degree)
    names = [f"site-{number:02d}" for number in range(sites)]
    rng, runs = np.random.default_rng(0), 2000
    shown = closed = 0
    for _ in range(runs):
        circle = [names[place] for place in rng.permutation(sites)]
        near = {name: neighbours(circle, degree, name) for name in names}
        bad, gone = set(names[:corrupt]), set(names[corrupt : corrupt + silent])
        honest = set(names) - bad
        opened = any(len(bad & set(near[name])) >= threshold for name in honest)
        shown += opened or is_parted(honest - gone, near)
        closed += any(len({*near[name], name} - gone) < threshold for name in names)
    hidden = privacy_failure(sites, degree, threshold, corrupt, silent)
    correct = correctness_failure(sites, degree, threshold, silent)
    assert 0 < shown / runs <= hidden + 4 * (hidden * (1 - min(hidden, 0.99)) / runs) ** 0.5
    assert 0 < closed / runs <= correct + 4 * (correct * (1 - min(correct, 0.99)) / runs) ** 0.5


def is_parted(left, near):
    reached, todo = set(), [min(left)]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += [other for other in near[name] if other in left]
    return reached != left


def test_neighbours_know_each_other_and_are_as_many_as_they_should_be():
    names = [f"site-{number:02d}" for number in range(17)]
    circle = list(names)
    secrets.SystemRandom().shuffle(circle)
    for name in names:
        found = neighbours(circle, 6, name)
        assert len(set(found)) == 6
        assert name not in found
        assert all(name in neighbours(circle, 6, other) for other in found)
