"""Secure aggregation with what else a run chooses: what is refused, and what is told."""

import pytest

from fedcxr.config import load_config
from fedcxr.errors import ConfigError
from server.choices import check_choices
from server.secure_check import check_secure, secure_facts, secure_task


def config_with(**settings):
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    return load_config(overrides={"server.secure_aggregation": True, **keys})


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"server__aggregator": "median"}, "server.aggregator=median needs each of them"),
        ({"server__aggregator": "krum"}, "server.aggregator=krum needs each of them"),
        ({"server__aggregator": "multi-krum"}, "multi-krum needs each of them"),
        ({"server__aggregator": "trimmed-mean"}, "trimmed-mean needs each of them"),
        ({"server__aggregator": "label-mean"}, "label-mean needs each of them"),
        ({"server__codec": "topk"}, "server.codec=topk would make each of them"),
        ({"server__codec": "fp16"}, "server.codec=fp16 would make each of them"),
        ({"algorithm__name": "scaffold"}, "algorithm.name=scaffold has sites send more"),
        ({"privacy__level": "update"}, "privacy.level=update has noise in each of them"),
        ({"server__min_sites": 2}, "server.min_sites=2 could begin with fewer than the 3"),
        (
            {"server__secure_aggregation": False, "server__secure_range": 0.2},
            "server.secure_range = 0.2: acts under server.secure_aggregation=true",
        ),
    ],
)
def test_what_does_not_go_with_it_is_refused(settings, told):
    with pytest.raises(ConfigError, match=told.replace(".", r"\.")):
        check_secure(config_with(**settings))


@pytest.mark.parametrize("key", ["secure_range", "secure_buffer_range"])
@pytest.mark.parametrize("value", [0, -1, float("inf")])
def test_a_range_is_a_number_above_zero(key, value):
    with pytest.raises(ConfigError, match=key):
        config_with(**{f"server__{key}": value})


def test_the_other_choices_go_with_it():
    for settings in (
        {},
        {"algorithm__name": "fedbn"},
        {"algorithm__name": "fedprox"},
        {"server__batch_norm": "local"},
        {"server__norm_factor": None},
        {"server__min_sites": 3},
    ):
        check_choices(config_with(**settings))


def test_fewer_than_three_sites_a_round_are_refused():
    five = {f"site-{number:02d}": 10 for number in range(5)}
    with pytest.raises(ConfigError, match="a round has 2 of 2 sites"):
        secure_task(config_with(), dict(list(five.items())[:2]))
    with pytest.raises(ConfigError, match=r"a round has 2 of 5 sites \(server.fraction=0.3\)"):
        secure_task(config_with(server__fraction=0.3), five)
    assert secure_task(config_with(server__fraction=0.6), five).sites == 3


def test_the_words_have_room_for_the_largest_sites_of_a_round():
    sites = {"a": 10, "b": 500, "c": 30, "d": 40, "e": 20}
    assert secure_task(config_with(), sites).most_weight == 600
    assert secure_task(config_with(server__fraction=0.6), sites).most_weight == 570
    with pytest.raises(ConfigError, match="would keep 11 of its bits"):
        secure_task(config_with(), {**sites, "f": 1_100_000})


def test_the_manifest_has_graph_threshold_and_step():
    assert secure_facts(None) is None
    facts = secure_facts(secure_task(config_with(), {f"s{n}": 2000 for n in range(100)}))
    # 200,000 images: 2**32 / 200,000 = 21,474, so 14 bits
    assert facts["bits"] == 14
    assert facts["step"] == pytest.approx(0.2 / 16383)
    assert (facts["sites"], facts["degree"], facts["threshold"], facts["fewest"]) == (
        100,
        66,
        34,
        70,
    )
    assert facts["privacy_failure"] <= 2**-40
