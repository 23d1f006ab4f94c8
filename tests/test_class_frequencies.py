"""Weighted losses whose class frequencies all sites share: counted, and sent once."""

import json

import pytest

from fedcxr.config import load_config
from fedcxr.errors import ConfigError
from fedcxr.experiments import simulate

pytestmark = pytest.mark.usefixtures("no_page")

TINY = {
    "data.synthetic.patients": 90,
    "data.synthetic.size_px": 48,
    "model.image_size": 32,
    "partition.clients": 3,
    "partition.scheme": "dirichlet",
    "partition.alpha": 0.3,
    "server.rounds": 1,
    "explain.labels": 1,
    "explain.images_per_outcome": 0,
    "explain.max_boxes": 0,
    "engine.workers": 1,
    "engine.precision": "fp32",
    "train.loss": "weighted_bce",
}


@pytest.fixture(scope="module")
def run_with(tmp_path_factory):
    def run(**changes):
        folder = str(tmp_path_factory.mktemp("runs"))
        keys = {key.replace("__", "."): value for key, value in changes.items()}
        return simulate(load_config(overrides={**TINY, "runs_dir": folder, **keys}))

    return run


def test_the_shares_are_those_of_all_sites_training_targets(run_with):
    run = run_with(train__class_frequencies="shared")
    manifest = json.loads((run.path / "manifest.json").read_text())
    expected = {
        label: kinds["positive"] / (kinds["positive"] + kinds["negative"])
        for label, kinds in manifest["label_counts"]["after"].items()
    }
    assert manifest["positive_share"] == pytest.approx(expected)
    assert 0 < min(expected.values()) < max(expected.values()) < 1
    own = run_with()
    assert json.loads((own.path / "manifest.json").read_text())["positive_share"] is None
    assert own.summary["parameters_sha256"] != run.summary["parameters_sha256"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train__loss": "bce", "train__class_frequencies": "shared"}, "does not read it"),
        ({"train__positive_share": [0.5] * 14}, "is what sites share under"),
    ],
)
def test_what_has_no_effect_is_refused(run_with, changes, words):
    with pytest.raises(ConfigError, match=words):
        run_with(**changes)
