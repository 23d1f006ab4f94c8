"""Steps, sampling and noise of a site of n patients."""

import pytest

from fedcxr.config.privacy import PrivacyConfig
from fedcxr.config.train import TrainConfig
from fedcxr.errors import ConfigError
from fedcxr.training.private_plan import private_plan

pytest.importorskip("opacus")


def plan_of(train=None, patients=100, rounds=4, **privacy):
    config = PrivacyConfig(level="patient", **{"epsilon": 3.0, **privacy})
    return private_plan(config, train or TrainConfig(), rounds=rounds, patients=patients)


def test_a_round_takes_each_patient_once_an_epoch_on_average():
    # 100 patients in steps of 32: ⌈100/32⌉ = 4, twice
    plan = plan_of(TrainConfig(batch_size=32, local_epochs=2))

    assert (plan.steps, plan.rate) == (8, 0.32)
    assert plan.of_a_round.mechanism.expected == 32


def test_most_steps_bound_a_round():
    assert plan_of(TrainConfig(batch_size=10, local_epochs=3, max_steps=5)).steps == 5


def test_a_site_smaller_than_a_batch_takes_all_its_patients():
    plan = plan_of(TrainConfig(batch_size=32), patients=7)

    assert (plan.batch, plan.rate, plan.steps) == (7, 1.0, 1)


@pytest.mark.parametrize("patients", [7, 100, 5000])
def test_the_noise_is_the_smallest_for_the_run_s_epsilon(patients):
    plan = plan_of(patients=patients)

    assert 2.97 < plan.epsilon_after(4) <= 3.0
    account = plan.account_after(4)
    assert account.rdp == plan.epsilon_after(4)
    assert account.prv is not None
    assert account.prv < account.rdp
    assert plan.epsilon_after(1) < plan.epsilon_after(3)
    assert plan.epsilon_after(0) == 0


def test_a_given_noise_is_taken_as_it_is():
    assert plan_of(epsilon=None, noise=1.25).noise == 1.25


def test_delta_is_a_tenth_of_one_patient_where_none_is_given():
    assert plan_of(patients=50).delta == pytest.approx(0.002)


@pytest.mark.parametrize("delta", [0.02, 0.5])
def test_a_delta_that_would_let_a_patient_be_published_is_refused(delta):
    with pytest.raises(ConfigError, match=r"privacy\.delta = .*below 1/patients"):
        plan_of(patients=50, delta=delta)
