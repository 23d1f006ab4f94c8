import math
import sys

import pytest
from opacus.accountants.analysis.prv import domain
from scipy.integrate import quad
from scipy.stats import norm

from fedcxr.errors import ConfigError
from fedcxr.privacy import accounting
from fedcxr.privacy.accounting import Sampling, account, noise_for

CHEXPERT = Sampling(patients=191_027, batch=64, steps=29_848, delta=1e-6)


def exact_delta_of_one_step(epsilon, rate, noise):
    """Hockey-stick divergence of one sampled Gaussian step, both directions, by integration."""

    def with_patient(x):
        return (1 - rate) * norm.pdf(x, 0, noise) + rate * norm.pdf(x, 1, noise)

    def without(x):
        return norm.pdf(x, 0, noise)

    def beyond(p, q):
        return quad(lambda x: max(0.0, p(x) - math.exp(epsilon) * q(x)), -12, 13, limit=500)[0]

    return max(beyond(with_patient, without), beyond(without, with_patient))


def test_the_published_values_are_met():
    # 191,027 radiographs, batches of 64, 10 epochs, δ = 1e-6, σ = 0.6
    found = account(CHEXPERT, 0.6)
    assert found.rdp == pytest.approx(2.93, rel=0.01)
    assert found.prv == pytest.approx(1.93, rel=0.01)


@pytest.mark.parametrize(("noise", "steps"), [(2.0, 4), (20.0, 200)])
def test_without_sampling_both_bound_the_exact_value_of_the_gaussian_mechanism(noise, steps):
    # Balle & Wang 2018, theorem 8: δ(ε) = Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ), μ = √steps ÷ σ
    sampling = Sampling(patients=50, batch=50, steps=steps, delta=1e-5)
    found, mu = account(sampling, noise), math.sqrt(steps) / noise

    def exact_delta(epsilon):
        log_second = epsilon + norm.logcdf(-mu / 2 - epsilon / mu)
        return norm.cdf(mu / 2 - epsilon / mu) - math.exp(log_second)

    assert exact_delta(found.rdp) < 1e-5
    assert exact_delta(found.prv) <= 1e-5 < exact_delta(0.985 * found.prv)
    assert found.prv < found.rdp


def test_one_sampled_step_is_bounded_in_both_directions():
    found = account(Sampling(patients=100, batch=20, steps=1, delta=1e-4), 1.0)
    assert exact_delta_of_one_step(found.rdp, 0.2, 1.0) < 1e-4
    assert exact_delta_of_one_step(found.prv, 0.2, 1.0) <= 1e-4
    assert exact_delta_of_one_step(0.98 * found.prv, 0.2, 1.0) > 1e-4


def test_a_noise_that_was_looked_for_gives_just_the_epsilon():
    sampling = Sampling(patients=1_000, batch=1_000, steps=200, delta=1e-4)
    by_rdp, by_prv = noise_for(sampling, 3.0)
    assert 0.98 * 3.0 < by_rdp.rdp <= 3.0
    assert by_prv.prv is not None
    assert 0.98 * 3.0 < by_prv.prv <= 3.0
    assert by_prv.noise < by_rdp.noise


def test_more_noise_fewer_steps_and_a_rarer_patient_cost_less():
    def epsilon(noise=1.0, *, batch=50, steps=200):
        return accounting.epsilon_by_rdp(Sampling(1_000, batch, steps, 1e-4), noise)

    assert epsilon(1.1) < epsilon()
    assert epsilon(steps=199) < epsilon()
    assert epsilon(batch=49) < epsilon()


def test_an_epsilon_that_protects_nothing_is_told_by_rdp_alone():
    found = account(Sampling(patients=100, batch=50, steps=10_000, delta=1e-4), 0.5)
    assert found.rdp > 1_000
    assert found.prv is None


def test_prv_of_many_steps_stays_within_bounded_memory(monkeypatch):
    # a million steps at ε ≈ 0.1: at half a percent its mesh would have 10⁸ points
    sizes = []
    aligned = domain.Domain.create_aligned.__func__

    def measured(cls, *arguments):
        sizes.append(aligned(cls, *arguments).size)
        raise RuntimeError  # before it takes the memory

    monkeypatch.setattr(domain.Domain, "create_aligned", classmethod(measured))
    found = accounting.epsilon_by_prv(Sampling(1_000_000, 64, 1_000_000, 1e-7), 4.0)
    assert found is None  # as wherever Opacus's own checks fail
    assert sizes[0] < 1.2 * 2**22


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"delta": 0.01}, "--delta 0.01: expected a number above 0 and below 1/patients = 0.01"),
        ({"delta": 0.0}, "--delta 0: "),
        ({"delta": math.nan}, "--delta nan: "),
        ({"patients": 0}, "--patients 0: expected at least 1"),
        ({"batch": 0}, "--batch 0: expected 1 to 100"),
        ({"batch": 101}, "--batch 101: expected 1 to 100"),
        ({"steps": 0}, "No step is taken"),
    ],
)
def test_a_sampling_out_of_range_is_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        Sampling(**{"patients": 100, "batch": 10, "steps": 5, "delta": 1e-3} | change)


@pytest.mark.parametrize("noise", [0.0, -1.0, math.nan, math.inf, 0.001])
def test_a_noise_out_of_range_is_refused(noise):
    with pytest.raises(ConfigError, match=f"--noise {noise:g}: expected a number from 0.01"):
        account(CHEXPERT, noise)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan, math.inf, 101.0])
def test_an_epsilon_out_of_range_is_refused(epsilon):
    with pytest.raises(ConfigError, match=f"--epsilon {epsilon:g}: expected a number above 0"):
        noise_for(CHEXPERT, epsilon)


def test_an_epsilon_that_no_noise_reaches_is_refused():
    # RDP's orders end at 63: below ε ≈ 0.1 no noise is enough for it
    with pytest.raises(ConfigError, match="no noise up to 1e\\+06 is enough"):
        noise_for(CHEXPERT, 1e-4)


def test_without_opacus_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "opacus", None)
    for ask in (lambda: account(CHEXPERT, 0.6), lambda: noise_for(CHEXPERT, 3.0)):
        with pytest.raises(ConfigError, match=r"pip install 'fedcxr\[privacy\]'"):
            ask()


def test_epochs_are_rounded_up_to_steps():
    found = [accounting.steps_of_epochs(3, n, 7) for n in (7, 8, 700)]
    assert found == [3, 4, 300]
