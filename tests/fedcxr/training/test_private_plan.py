"""Steps, sampling and noise of a site of n patients."""

import pytest

from fedcxr.config.privacy import PrivacyConfig
from fedcxr.config.train import TrainConfig
from fedcxr.config.vae import VaeConfig
from fedcxr.errors import ConfigError
from fedcxr.privacy.accounting import composed_epsilon
from fedcxr.training.private_plan import private_plan

pytest.importorskip("opacus")


def plan_of(train=None, patients=100, rounds=4, vae=None, **privacy):
    config = PrivacyConfig(level="patient", **{"epsilon": 3.0, **privacy})
    train = train or TrainConfig()
    return private_plan(config, train, rounds=rounds, patients=patients, vae=vae)


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


@pytest.mark.parametrize(("every", "vaes"), [(None, [1, 1, 1, 1]), (2, [1, 1, 2, 2])])
def test_the_steps_of_vaes_count_from_the_round_that_makes_them(every, vaes):
    # 100 patients in steps of 32: 4 steps an epoch, a round has 2 epochs and a VAE 5
    train = TrainConfig(batch_size=32, local_epochs=2)
    plan = plan_of(train, vae=VaeConfig(enabled=True, epochs=5, min_images=100, every=every))

    steps = [8 * rounds + 20 * vaes[rounds - 1] for rounds in (1, 2, 3, 4)]
    assert [plan.steps_after(rounds) for rounds in range(5)] == [0, *steps]
    assert plan.of_a_vae.steps == 20
    spent = [composed_epsilon({(plan.noise, 0.32): taken}, 0.001) for taken in steps]
    assert [plan.epsilon_after(rounds) for rounds in (1, 2, 3, 4)] == spent
    assert 2.97 < spent[-1] <= 3.0
    assert plan.account_after(1).rdp == spent[0]
    assert plan.noise > plan_of(train).noise


@pytest.mark.parametrize("vae", [VaeConfig(), VaeConfig(enabled=True, min_images=101)])
def test_a_site_without_a_vae_has_the_plan_of_a_run_without(vae):
    assert plan_of(vae=vae) == plan_of()


def test_a_sample_counts_as_a_patient_in_what_the_sum_is_divided_by():
    steps = plan_of().of_a_round_with(50)

    # q = 0.32 of 100 patients and of 50 samples
    assert steps.mechanism.expected == pytest.approx(48)
    assert (steps.rate, steps.mechanism.noise) == (0.32, plan_of().noise)


def test_a_given_noise_is_taken_as_it_is():
    assert plan_of(epsilon=None, noise=1.25).noise == 1.25


def test_delta_is_a_tenth_of_one_patient_where_none_is_given():
    assert plan_of(patients=50).delta == pytest.approx(0.002)


@pytest.mark.parametrize("delta", [0.02, 0.5])
def test_a_delta_that_would_let_a_patient_be_published_is_refused(delta):
    with pytest.raises(ConfigError, match=r"privacy\.delta = .*below 1/patients"):
        plan_of(patients=50, delta=delta)
