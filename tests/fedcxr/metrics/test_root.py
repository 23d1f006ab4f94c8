"""Roots of functions of one number."""

import math

import pytest

from fedcxr.metrics.root import root


@pytest.mark.parametrize("power", [2, 3, 5])
def test_a_power_s_root_is_the_root_of_its_number(power):
    assert root(lambda x: x**power - 7, 0, 7) == pytest.approx(math.exp(math.log(7) / power))


def test_a_function_that_does_not_cross_zero_is_refused():
    with pytest.raises(ValueError, match="signs"):
        root(lambda x: x * x + 1, -1, 1)
