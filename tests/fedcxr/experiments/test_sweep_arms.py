"""Which arms a privacy sweep has, and its one δ."""

import pytest

from fedcxr.config.load import load_config
from fedcxr.config.privacy import PrivacyConfig
from fedcxr.errors import ConfigError
from fedcxr.experiments.sweep import arms as sweep_arms
from fedcxr.experiments.sweep.arms import delta_of, settings_of, swept_arms
from fedcxr.results.privacy_sweep import SweepDesign

BOTH = ["federated", "centralized"]


@pytest.fixture
def sites(monkeypatch):
    """Three sites of 100, 50 and 250 patients."""
    patients = {"site-00": 100, "site-01": 50, "site-02": 250}
    monkeypatch.setattr(sweep_arms, "prepare", lambda config: None)
    monkeypatch.setattr(sweep_arms, "patients_by_site", lambda prepared: patients)
    return load_config(overrides={"partition.clients": 3})


def test_patients_alone_are_protected_at_one_place_too():
    arms = swept_arms([1.0, 2.5], ["patient", "client"], BOTH)
    assert [arm.name for arm in arms] == [
        "patient-1",
        "patient-2_5",
        "client-1",
        "client-2_5",
        "centralized-patient-1",
        "centralized-patient-2_5",
    ]
    assert [arm.trained for arm in arms] == ["federated"] * 4 + ["centralized"] * 2
    assert all(arm.level == "patient" for arm in arms if arm.trained == "centralized")


def test_each_arm_is_held_against_the_same_training_without_protection():
    design = SweepDesign(delta=1e-4, arms=tuple(swept_arms([3.0], ["patient"], BOTH)))
    assert design.against == {
        "patient-3": "federated",
        "centralized-patient-3": "centralized",
    }
    assert design.places == BOTH
    alone = SweepDesign(delta=1e-4, arms=tuple(swept_arms([3.0], ["client"], BOTH)))
    assert alone.places == ["federated"]  # no unprotected arm that nothing is held against


def test_a_design_of_an_older_fedcxr_is_federated_and_inverts_nothing():
    kept = '{"delta": 0.01, "arms": [{"name": "patient-3", "level": "patient", "epsilon": 3}]}'
    design = SweepDesign.model_validate_json(kept)
    assert (design.places, design.inversion) == (["federated"], None)


def test_delta_is_below_one_over_the_most_patients_of_any_arm(sites):
    federated = swept_arms([3.0], ["patient"], ["federated"])
    assert delta_of(sites, federated, None) == pytest.approx(0.1 / 250)
    assert delta_of(sites, swept_arms([3.0], ["patient"], BOTH), None) == pytest.approx(0.1 / 400)
    assert delta_of(sites, federated, 0.003) == 0.003


def test_a_delta_that_one_arm_could_not_have_is_refused(sites):
    words = r"privacy\.delta = 0\.003: all arms have one δ, and it must be below 1/400 = 0\.0025"
    with pytest.raises(ConfigError, match=words):
        delta_of(sites, swept_arms([3.0], ["patient"], BOTH), 0.003)


def test_all_arms_have_the_same_clip_and_delta():
    (arm,) = swept_arms([3.0], ["client"], ["federated"])
    assert settings_of(arm, PrivacyConfig(clip=0.5), 1e-4) == [
        "privacy.level=client",
        "privacy.epsilon=3.0",
        "privacy.delta=0.0001",
        "privacy.clip=0.5",
        "privacy.physical_batch=32",
    ]


@pytest.mark.parametrize(
    ("places", "words"),
    [
        (["centralized"], r"--arms: a sweep always has the federated arms"),
        (["federated", "local"], r"--arms: there is no local\. Known: federated, centralized"),
        (["federated", "federated"], r"--arms: federated given twice"),
        ([], r"--arms: none"),
    ],
)
def test_places_that_cannot_be_are_refused(places, words):
    with pytest.raises(ConfigError, match=words):
        swept_arms([3.0], ["patient"], places)
