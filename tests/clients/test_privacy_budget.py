"""A site's account of its patients' privacy, and its secret."""

import json
from dataclasses import replace

import numpy as np
import pytest

from clients.privacy_budget import Budget, Spent, budget_of, digest_of
from clients.site import SiteLocation
from fedcxr.config.privacy import PrivacyConfig
from fedcxr.config.train import TrainConfig
from fedcxr.errors import ArtefactError
from fedcxr.training.private_plan import private_plan

pytest.importorskip("opacus")

TRAIN = TrainConfig(batch_size=10)


@pytest.fixture
def budget(tmp_path):
    return Budget(tmp_path / "privacy")


def plan_of(**keys):
    return private_plan(PrivacyConfig(level="patient", **keys), TRAIN, rounds=3, patients=40)


def entry(plan, round_num, inputs="a"):
    return Spent(round_num, inputs, plan.noise, plan.rate, plan.steps)


def test_all_rounds_of_the_run_fit_into_its_epsilon_and_no_more(budget):
    plan = plan_of(epsilon=2.0)

    told = [budget.spend(entry(plan, r), plan, 2.0, last_round=r - 1) for r in (1, 2, 3, 4)]

    assert told == [True, True, True, False]
    assert 1.99 < budget.epsilon(plan.delta) <= 2.0


def test_an_order_sent_again_spends_nothing(budget):
    plan = plan_of(epsilon=2.0)
    budget.spend(entry(plan, 1), plan, 2.0, 0)
    before = budget.epsilon(plan.delta)

    for _ in range(10):
        assert budget.spend(entry(plan, 1), plan, 2.0, 0)

    assert budget.epsilon(plan.delta) == before


def test_the_same_round_with_another_model_spends_again(budget):
    plan = plan_of(epsilon=2.0)

    told = [budget.spend(entry(plan, 1, name), plan, 2.0, 0) for name in "abcd"]

    assert told == [True, True, True, False]


def test_a_server_that_goes_back_gets_nothing_returned(budget):
    plan = plan_of(epsilon=2.0)
    for r in (1, 2, 3):
        budget.spend(entry(plan, r), plan, 2.0, 0)

    assert not budget.spend(entry(plan, 1, "another"), plan, 2.0, 0)
    assert not budget.spend(entry(plan, 2, "another"), plan, 2.0, 0)


def test_with_a_given_noise_there_are_as_many_trainings_as_rounds(budget):
    plan = plan_of(noise=1.0)

    told = [budget.spend(entry(plan, r), plan, None, 0) for r in (1, 2, 3, 4)]

    assert told == [True, True, True, False]


def test_what_was_spent_with_other_noise_counts_as_what_it_was(budget):
    plan = plan_of(epsilon=2.0)
    less_noise = replace(plan, noise=plan.noise / 2)
    assert budget.spend(entry(less_noise, 1), less_noise, 100.0, 0)

    assert not budget.spend(entry(plan, 2), plan, 2.0, 1)


def test_an_account_that_is_gone_is_refused(budget):
    plan = plan_of(epsilon=2.0)

    with pytest.raises(ArtefactError, match="round 2 is gone"):
        budget.spend(entry(plan, 3), plan, 2.0, last_round=2)


def test_a_damaged_account_is_refused(budget):
    plan = plan_of(epsilon=2.0)
    budget.spend(entry(plan, 1), plan, 2.0, 0)
    (budget.folder / "spent.json").write_text('{"trainings": [{"round": 1}]}')

    with pytest.raises(ArtefactError, match="damaged"):
        budget.spend(entry(plan, 2), plan, 2.0, 0)


def test_a_damaged_secret_is_refused(budget):
    budget.stream("x")
    (budget.folder / "noise.secret").write_bytes(b"short")

    with pytest.raises(ArtefactError, match="expected 32"):
        budget.stream("x")


def test_two_sites_of_one_run_draw_otherwise_and_each_the_same_again(tmp_path):
    sites = [
        budget_of(SiteLocation(name, tmp_path / "t.csv", None, tmp_path / name), "run")
        for name in ("site-00", "site-01")
    ]

    first, other = (site.stream("run", 1, "inputs", 0, "noise").normals(9) for site in sites)

    assert not np.array_equal(first, other)
    again = sites[0].stream("run", 1, "inputs", 0, "noise").normals(9)
    assert first.tobytes() == again.tobytes()
    secrets = [site.folder / "noise.secret" for site in sites]
    assert {file.stat().st_mode & 0o777 for file in secrets} == {0o600}


def test_a_simulation_keeps_its_secrets_out_of_the_run_folder(tmp_path):
    location = SiteLocation("s", tmp_path / "t.csv", None, tmp_path / "run", tmp_path / "own")

    assert budget_of(location, "run").folder.is_relative_to(tmp_path / "own")


def test_the_account_names_no_patient_and_no_file(budget):
    plan = plan_of(epsilon=2.0)
    budget.spend(entry(plan, 1), plan, 2.0, 0)

    account = json.loads((budget.folder / "spent.json").read_text())
    assert account["epsilon"] == budget.epsilon(plan.delta)
    assert account["delta"] == plan.delta
    (row,) = account["trainings"]
    assert set(row) == {"round", "inputs", "noise", "rate", "steps", "what"}


@pytest.mark.parametrize(
    "other",
    [
        ("text", {"a": np.zeros(3), "b": np.ones(3)}),
        ("texts", {"a": np.zeros(3)}),
        ("text", {"b": np.zeros(3)}),
        ("text", {"a": np.zeros((3, 1))}),
        ("text", {"a": np.zeros(3, np.float32)}),
        ("text", {}, {"a": np.zeros(3)}),
    ],
)
def test_other_inputs_have_another_digest(other):
    assert digest_of("text", {"a": np.zeros(3)}) != digest_of(*other)
