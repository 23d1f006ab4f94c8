"""Local privacy of updates: what goes with it, what is refused, and the words about it."""

import pytest

from fedcxr.config import load_config
from fedcxr.errors import ConfigError
from fedcxr.report.privacy_words import PROMISES, privacy_line
from fedcxr.results.run_privacy import RunEpsilon, RunPrivacy
from server.choices import check_choices

pytest.importorskip("opacus")

GOOD = {"privacy.level": "update", "privacy.epsilon": 3.0, "server.batch_norm": "group"}
SGD = {"train.optimizer": "sgd", "train.momentum": 0.0}


@pytest.mark.parametrize(
    "keys",
    [
        {"server.aggregator": "median"},
        {"server.codec": "topk"},
        {"server.batch_norm": "local"},
        {"server.batch_norm": "frozen"},
        {"algorithm.name": "fedadam"},
        {"server.fraction": 0.2},
    ],
)
def test_what_works_on_noised_updates_passes(keys):
    check_choices(load_config(overrides={**GOOD, **keys}))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"privacy.epsilon": None}, "privacy.epsilon or privacy.noise, and neither"),
        ({"privacy.noise": 1.0}, "privacy.epsilon or privacy.noise, and both"),
        ({"server.batch_norm": "average"}, "--batch-norm group, local or frozen"),
        ({"server.aggregator": "label-mean"}, "server.aggregator=label-mean needs each"),
        ({"train.normalization": "pooled"}, "train.normalization=pooled"),
        (
            {"train.class_frequencies": "shared", "train.loss": "weighted_bce"},
            "train.class_frequencies=shared",
        ),
        ({"algorithm.name": "scaffold", **SGD}, "algorithm.name=scaffold"),
    ],
)
def test_what_would_break_it_is_refused(keys, words):
    with pytest.raises(ConfigError) as caught:
        check_choices(load_config(overrides={**GOOD, **keys}))

    assert str(caught.value).startswith("privacy.level = update: ")
    assert words in str(caught.value)


def test_a_delta_of_1_over_the_sites_ends_with_exit_code_2(run_main):
    sizes = ["data.synthetic.patients=40", "data.synthetic.size_px=32", "model.image_size=32"]
    flags = [part for size in sizes for part in ("--set", size)]
    code, _, err = run_main(
        *("simulate", "--privacy", "update", "--epsilon", "3", "--batch-norm", "group"),
        *("--clients", "3", "--set", "privacy.delta=0.34", *flags),
    )

    assert code == 2
    assert "privacy.delta = 0.34: expected below 1/sites" in err


def test_whom_it_protects_against_whom_stands_beside_its_epsilon():
    privacy = RunPrivacy(level="update", epsilon=3.0, delta=0.01, clip=1.0, noise=2.0, rate=1.0)

    words = privacy_line(privacy, RunEpsilon(rdp=2.99, prv=2.5))

    assert "ε = 2.99 by RDP, 2.5 by PRV, at δ = 0.01" in words
    assert PROMISES["update"].unit in words
    assert "the server too" in words
