"""What the gradient of a head's bias tells of labels, of one site and of a cohort."""

import numpy as np
import pytest

from fedcxr.attacks.label_mix import cohort_sizes, told_by_cohort


def gradients_of(shares, mean_prob):
    """Return what cross-entropy over all labels of all images has: (mean p - share) / L."""
    return (mean_prob - shares) / shares.shape[1]


def test_of_a_sum_the_cohort_s_mix_is_told_and_not_the_site_s():
    # Two labels. The site has 90 % and 10 %, the three others 10 % and 50 %.
    shares = np.array([[0.9, 0.1], [0.1, 0.5], [0.1, 0.5], [0.1, 0.5]])
    probs = np.array([[0.3, 0.6], [0.5, 0.6]])  # mean 0.4 and 0.6
    gradients = gradients_of(shares, np.array([0.4, 0.6]))
    one, two, four = told_by_cohort(gradients, probs, shares, [1, 2, 4])
    assert (one.cohort, two.cohort, four.cohort) == (1, 2, 4)
    assert [each.cohort_error for each in (one, two, four)] == pytest.approx([0, 0, 0], abs=1e-12)
    assert one.error == pytest.approx(0, abs=1e-12)
    # Of two: told 0.5 and 0.3, off by 0.4 and 0.2. Of four: told 0.3 and 0.4, off by 0.6 and 0.3.
    assert (two.error, two.largest_error) == pytest.approx((0.3, 0.4))
    assert (four.error, four.largest_error) == pytest.approx((0.45, 0.6))


def test_sites_alike_hide_nothing_of_one_another():
    shares = np.full((8, 3), 0.3)
    probs = np.full((5, 3), 0.4)
    found = told_by_cohort(gradients_of(shares, 0.4), probs, shares, cohort_sizes(8))
    assert [each.cohort for each in found] == [2, 4, 8]
    assert max(each.error for each in found) == pytest.approx(0, abs=1e-12)
