"""How much noise an update gets under local privacy, and which ε that gives."""

import math

import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from fedcxr.config.privacy import PrivacyConfig
from fedcxr.errors import ConfigError
from fedcxr.privacy.update_plan import update_plan

pytest.importorskip("opacus")


def plan_of(rounds=4, **keys):
    return update_plan(PrivacyConfig(level="update", **{"delta": 1e-3, **keys}), rounds=rounds)


def exact_epsilon(noise, rounds, delta):
    """Return ε of composed Gaussian mechanisms, by the closed form.

    R of them with noise σ are one with σ/√R; δ(ε) of it by Balle and Wang 2018, theorem 8.
    """
    sigma = noise / math.sqrt(rounds)

    def excess(eps):
        near, far = 1 / (2 * sigma) - eps * sigma, -1 / (2 * sigma) - eps * sigma
        return norm.cdf(near) - math.exp(eps) * norm.cdf(far) - delta

    return brentq(excess, 0, 90)


@pytest.mark.parametrize(("noise", "rounds"), [(3.0, 1), (3.0, 4), (8.0, 30)])
def test_epsilon_is_an_upper_bound_close_to_the_closed_form(noise, rounds):
    found = plan_of(noise=noise).account_after(rounds)
    exact = exact_epsilon(noise, rounds, 1e-3)

    assert exact <= found.prv <= 1.02 * exact
    assert exact <= found.rdp <= 1.35 * exact


def test_the_noise_of_an_epsilon_holds_over_all_rounds():
    plan = plan_of(epsilon=3.0)

    assert 2.98 < plan.account_after(4).rdp <= 3.0
    assert plan.account_after(1).rdp < plan.account_after(2).rdp
    assert plan.deviation == plan.noise * 1.0


def test_a_clip_scales_the_noise_and_leaves_epsilon():
    small, large = plan_of(noise=2.0, clip=0.5), plan_of(noise=2.0, clip=5.0)

    assert (small.deviation, large.deviation) == (1.0, 10.0)
    assert small.account_after(4) == large.account_after(4)


def test_a_task_without_delta_is_refused():
    with pytest.raises(ConfigError, match=r"privacy\.delta: the run has none"):
        plan_of(epsilon=3.0, delta=None)
