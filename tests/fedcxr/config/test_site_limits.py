import pytest

from fedcxr.config.kit import SiteKitConfig, SiteLimits, kit_yaml, read_kit_yaml
from fedcxr.config.privacy import PrivacyConfig
from fedcxr.errors import ConfigError, LimitError


@pytest.mark.parametrize(
    ("limits", "changes"),
    [
        ({"local_epochs": 2}, {"train": {"local_epochs": 3}}),
        ({"image_size": 32}, {"model": {"name": "densenet_small", "image_size": 64}}),
        ({"models": ["densenet121"]}, {}),
        ({"algorithms": ["fedavg"]}, {"algorithm": {"name": "fedprox"}}),
        ({"vae": False}, {"vae": {"enabled": True}}),
        ({"label_counts": False}, {"counts_known": True}),
        ({"label_counts": False}, {"train": {"class_frequencies": "shared"}}),
    ],
)
def test_a_run_that_asks_for_more_than_a_limit_is_refused_by_its_name(limits, changes, make_task):
    (name,) = limits
    with pytest.raises(LimitError, match=rf"kit\.yaml, limits: the run asks for more: {name}: "):
        SiteLimits(**limits).check(make_task(**changes), num_sites=3)
    SiteLimits().check(make_task(**changes), num_sites=3)


def test_a_round_of_too_few_sites_or_too_many_steps_is_refused_and_so_are_scores(make_task):
    limits = SiteLimits(min_sites=3, steps=4, scores=False)
    with pytest.raises(LimitError, match="min_sites: it asks 2 sites, and 3 are needed"):
        limits.check(make_task(), num_sites=2)
    with pytest.raises(LimitError, match="scores: none are to leave"):
        limits.check(make_task(), num_sites=3, asks_scores=True)
    with pytest.raises(LimitError, match="asks for more: steps: 5 of 4"):
        limits.check_steps(5)
    limits.check(make_task(), num_sites=3)
    limits.check_steps(4)


def test_limits_are_read_from_the_kit(tmp_path, make_task):
    limits = SiteLimits(local_epochs=1, models=("densenet_small",), algorithms=("fedavg",))
    said = SiteKitConfig(site="charite", server="fl.example.org:9092", limits=limits)
    (tmp_path / "kit.yaml").write_text(kit_yaml(said))
    assert read_kit_yaml(tmp_path) == said
    said.limits.check(make_task(), num_sites=3)
    text = (tmp_path / "kit.yaml").read_text().replace("local_epochs: 1", "local_epoch: 0")
    (tmp_path / "kit.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"limits\.local_epoch: Extra inputs"):
        read_kit_yaml(tmp_path)


@pytest.mark.parametrize("limits", [{"privacy": "patient"}, {"epsilon": 8.0}, {"delta": 1e-4}])
@pytest.mark.parametrize("level", ["none", "client"])
def test_a_site_that_insists_on_its_patients_protection_refuses_a_run_without(
    make_task, limits, level
):
    privacy = PrivacyConfig(level=level, epsilon=None if level == "none" else 1.0)
    protected = PrivacyConfig(level="patient", epsilon=1.0)

    SiteLimits(**limits).check(make_task(privacy=protected), num_sites=3)
    with pytest.raises(LimitError, match=f"patient is needed, and the run has {level}"):
        SiteLimits(**limits).check(make_task(privacy=privacy), num_sites=3)


def test_more_epsilon_or_delta_than_the_owner_allows_is_refused():
    limits = SiteLimits(epsilon=3.0, delta=1e-4)

    limits.check_privacy(3.0, 1e-4)
    with pytest.raises(LimitError, match=r"epsilon: 3.01 of 3"):
        limits.check_privacy(3.01, 1e-4)
    with pytest.raises(LimitError, match=r"delta: 0.001 of 0.0001"):
        limits.check_privacy(1.0, 1e-3)
