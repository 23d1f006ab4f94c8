"""Slope and intercept of the truth on the logit, against scikit-learn and by hand."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from fedcxr.metrics.calibration_line import fit_intercept, fit_line, missing_class, to_logit


def case(seed, sharpness=1.0, shift=0.0):
    """Targets drawn from known chances, and the logits that a model gives them."""
    rng = np.random.default_rng(seed)
    true = rng.normal(-1.0, 1.3, 500)
    return (rng.random(500) < expit(true)).astype(float), sharpness * true + shift


@pytest.mark.parametrize(("sharpness", "shift"), [(1, 0), (3, 2), (0.2, -3), (-1, 0)])
@pytest.mark.parametrize("seed", range(3))
def test_the_line_is_scikit_learns(seed, sharpness, shift):
    truth, x = case(seed, sharpness, shift)
    fit = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=500)
    fit.fit(x[:, None], truth)
    line = fit_line(truth, x)
    assert line.slope == pytest.approx(fit.coef_[0, 0], abs=1e-6)
    assert line.height == pytest.approx(fit.intercept_[0], abs=1e-6)
    assert line.reason is None


@pytest.mark.parametrize(("sharpness", "shift"), [(1, 0), (3, 20), (0.2, -30), (0, 0.7)])
def test_the_intercept_is_the_root_of_the_score_with_the_logit_as_offset(sharpness, shift):
    truth, x = case(0, sharpness, shift)
    expected = brentq(lambda a: np.sum(truth - expit(a + x)), -60, 60, xtol=1e-13)
    assert fit_intercept(truth, x) == pytest.approx(expected, abs=1e-9)


def test_moving_every_logit_moves_the_intercept_as_far_and_the_slope_not_at_all():
    truth, x = case(1)
    assert fit_intercept(truth, x + 0.7) == pytest.approx(fit_intercept(truth, x) - 0.7, abs=1e-9)
    assert fit_line(truth, x + 0.7).slope == pytest.approx(fit_line(truth, x).slope, rel=1e-9)


def test_separated_classes_have_an_intercept_and_no_slope():
    truth, x = np.array([0.0, 0.0, 1.0, 1.0]), np.array([-2.0, -1.0, 1.0, 2.0])
    assert fit_line(truth, x).reason == "no slope: the probabilities separate the classes"
    assert fit_intercept(truth, x) == pytest.approx(0, abs=1e-9)  # its own mirror image


def test_one_class_has_neither():
    assert np.isnan(fit_intercept(np.ones(3), np.zeros(3)))
    assert fit_line(np.ones(3), np.zeros(3)).reason == "no slope: no known negative"
    assert missing_class(np.zeros(2)) == "no known positive"


def test_the_logits_of_0_and_1_are_finite():
    assert np.isfinite(to_logit(np.array([0.0, 1.0]))).all()
