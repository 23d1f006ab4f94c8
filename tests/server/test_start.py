"""What is refused before a run begins."""

from types import SimpleNamespace

import pytest

from fedcxr.config import load_config
from fedcxr.errors import ConfigError
from server.context import site_keys
from server.job import ComputePlan
from server.start import run_command, start_job


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"uncertain_by_label": {"Hernia": "ones"}}, r"data\.uncertain_by_label: Hernia is not"),
        ({"blank_by_label": {"Hernia": "ones"}}, r"data\.blank_by_label: Hernia is not among the"),
        (
            {"uncertain_by_label": {"Edema": "self_trained"}, "self_train_after": 4},
            r"data\.self_train_after: 4 of 4 rounds; .*Edema would never be filled",
        ),
    ],
)
def test_a_policy_that_cannot_act_stops_a_run_before_it_starts(data, words, tmp_path):
    keys = {f"data.{key}": value for key, value in data.items()}
    config = load_config(overrides={"server.rounds": 4, **keys})
    prepared = SimpleNamespace(plan=SimpleNamespace(labels=("Edema", "Fracture")))
    with pytest.raises(ConfigError, match=words):
        start_job(config, SimpleNamespace(path=tmp_path), prepared, ComputePlan("local", 1, 2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"train.loss": "focl"}, r"no loss 'focl' \(did you mean 'focal'\?\)"),
        ({"train.optimizer": "rprop"}, r"no optimiser 'rprop'"),
        ({"train.lr_schedule": "linear"}, r"no schedule 'linear'"),
        ({"train.momentum": 0.5}, r"train\.optimizer = adam does not read it"),
        ({"server.min_improvement": 0.1}, r"acts with server\.stop_after only"),
        (
            {"train.loss": "focal", "data.uncertain_by_label": {"Edema": "multi_class"}},
            r"not defined for labels of three classes, and Edema has the policy multi_class",
        ),
    ],
)
def test_a_choice_that_cannot_be_trained_with_stops_a_run_before_it_starts(keys, words, tmp_path):
    config = load_config(overrides={"train.lr_schedule": "constant", **keys})
    prepared = SimpleNamespace(plan=SimpleNamespace(labels=("Edema", "Fracture")))
    with pytest.raises(ConfigError, match=words):
        start_job(config, SimpleNamespace(path=tmp_path), prepared, ComputePlan("local", 1, 2))
    assert not list(tmp_path.iterdir())


def test_an_aggregator_that_needs_more_sites_stops_a_run_before_it_starts(tmp_path):
    # config says 9 sites, and the plan of a deployment may have others
    config = load_config(overrides={"server.aggregator": "krum", "partition.clients": 9})
    plan = SimpleNamespace(labels=("Edema",), sites=[object()] * 4)
    with pytest.raises(ConfigError, match=r"needs at least 2·1 \+ 3 = 5 updates a round"):
        start_job(
            config,
            SimpleNamespace(path=tmp_path),
            SimpleNamespace(plan=plan),
            ComputePlan("superlink", 1, 2),
        )
    assert not list(tmp_path.iterdir())


def test_a_manifest_has_the_users_command_and_no_secret_of_flowers(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/bin/fedcxr", "simulate", "--rounds", "2"])
    assert run_command() == ["fedcxr", "simulate", "--rounds", "2"]
    monkeypatch.setattr("sys.argv", ["/bin/flwr-serverapp", "--token", "a-secret"])
    assert run_command() == ["flwr-serverapp"]


def test_the_run_config_names_the_folder_of_the_sites_keys(tmp_path):
    (tmp_path / "site-00.pem").write_bytes(b"a key")
    (tmp_path / ".writing-1").write_bytes(b"half")
    assert site_keys({"site-keys": str(tmp_path)}) == {"site-00": b"a key"}
    assert site_keys({"site-keys": ""}) is None
    assert site_keys({}) is None
