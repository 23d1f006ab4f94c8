import pytest

from fedcxr.config.kit import SiteKitConfig, SiteLimits, kit_yaml, read_kit_yaml
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
        SiteLimits(**limits).check(make_task(**changes))
    SiteLimits().check(make_task(**changes))


def test_limits_are_read_from_the_kit(tmp_path, make_task):
    limits = SiteLimits(local_epochs=1, models=("densenet_small",), algorithms=("fedavg",))
    said = SiteKitConfig(site="charite", server="fl.example.org:9092", limits=limits)
    (tmp_path / "kit.yaml").write_text(kit_yaml(said))
    assert read_kit_yaml(tmp_path) == said
    said.limits.check(make_task())
    text = (tmp_path / "kit.yaml").read_text().replace("local_epochs: 1", "local_epoch: 0")
    (tmp_path / "kit.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"limits\.local_epoch: Extra inputs"):
        read_kit_yaml(tmp_path)
