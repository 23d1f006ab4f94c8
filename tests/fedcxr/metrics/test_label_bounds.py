import math

import numpy as np
import pytest
from scipy import stats

from fedcxr.metrics.estimate import Estimate, Part, symmetric
from fedcxr.metrics.label_bounds import holm_lower_bounds
from fedcxr.metrics.non_inferiority import holm

MARGIN = 0.01


def differences(values, se=0.01, df=20.0):
    return [symmetric(value, (Part(se**2, df),), 0.95) for value in values]


def test_one_label_has_the_lower_end_of_its_own_interval():
    (found,) = differences([0.02])
    assert holm_lower_bounds([found], MARGIN, 0.95) == [pytest.approx(found.ci[0])]


def test_where_all_are_shown_each_has_bonferronis_bound_or_minus_the_margin():
    values = [0.05, 0.06, 0.0125]
    # the third passes at Holm's last step, and not at the level that three share
    shared = stats.t.ppf(1 - 0.025 / 3, 20) * 0.01
    assert 0.0125 - shared < -MARGIN < 0.0125 - stats.t.ppf(0.975, 20) * 0.01
    found = holm_lower_bounds(differences(values), MARGIN, 0.95)
    assert found == pytest.approx([0.05 - shared, 0.06 - shared, -MARGIN])


def test_where_one_is_not_shown_those_that_are_keep_the_margin():
    found = holm_lower_bounds(differences([0.05, -0.02, 0.0]), MARGIN, 0.95)
    shared = stats.t.ppf(1 - 0.025 / 2, 20) * 0.01
    assert found == pytest.approx([-MARGIN, -0.02 - shared, -shared])


@pytest.mark.parametrize("seed", range(20))
def test_a_bound_of_the_margin_or_more_says_what_holms_p_says(seed):
    values = np.random.default_rng(seed).normal(0.015, 0.012, 6)
    found = holm_lower_bounds(differences(values), MARGIN, 0.95)
    one_sided = stats.t.sf((values + MARGIN) / 0.01, 20)
    shown = [p <= 0.025 for p in holm(one_sided)]
    assert [bound >= -MARGIN for bound in found] == shown


def test_all_bounds_hold_together_as_often_as_they_say():
    rng = np.random.default_rng(0)
    truth = np.array([-0.02, -0.0101, 0.0, 0.03])
    held = 0
    for _ in range(2000):
        values = rng.normal(truth, 0.01)
        bounds = holm_lower_bounds(differences(values, df=math.inf), MARGIN, 0.95)
        held += bool(np.all(bounds <= truth))
    assert held / 2000 > 0.965  # 97.5 %, give or take two standard errors of 0.35 %


def test_a_label_without_an_interval_is_no_test():
    found = [*differences([0.02]), Estimate(0.1, None, "few patients")]
    bounds = holm_lower_bounds(found, MARGIN, 0.95)
    assert bounds[0] == pytest.approx(found[0].ci[0])
    assert math.isnan(bounds[1])
    assert holm_lower_bounds([], MARGIN, 0.95) == []
