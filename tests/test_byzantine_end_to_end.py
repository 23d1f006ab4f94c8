"""A study of hostile sites, tiny: attacks arrive, figures and page follow, it is resumed (row 17).

Whether an aggregator is robust such a size cannot say: `fedcxr byzantine` is for that.
"""

import json

import numpy as np
import pytest

from fedcxr.cli import byzantine as verb
from fedcxr.config import load_config
from fedcxr.errors import ConfigError
from fedcxr.experiments import simulate
from fedcxr.experiments.byzantine.byzantine_study import (
    report_byzantine,
    resume_byzantine,
    study_hostile_sites,
)
from fedcxr.experiments.byzantine.design import Design, check_design
from fedcxr.experiments.byzantine.hostile_sites import HostileSites
from fedcxr.results.byzantine import read_byzantine
from partitions.table import read_table

TINY = {
    "data.synthetic.patients": 120,
    "data.synthetic.size_px": 48,
    "data.labels": ["Cardiomegaly", "Edema"],
    "model.image_size": 32,
    "train.local_epochs": 1,
    "train.max_steps": 2,
    "partition.clients": 5,
    "server.rounds": 2,
    "compare.seeds": 1,
    "explain.images_per_outcome": 0,
    "explain.max_boxes": 0,
    "engine.precision": "fp32",
}


def config_in(folder, **changes):
    keys = {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(overrides={**TINY, "runs_dir": str(folder), **keys})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The short form: two aggregators, one attack."""
    folder = tmp_path_factory.mktemp("byzantine")
    design = Design(defences=("mean", "krum"), attacks=("scaling",))
    return study_hostile_sites(config_in(folder), design)


def last_weights(folder):
    return json.loads((folder / "summary.json").read_text())["parameters_sha256"]


@pytest.mark.slow
def test_a_study_says_what_each_aggregator_scores_and_how_many_hostile_updates_it_took(study):
    # row 17 of the bad-input table
    found = read_byzantine(study)
    assert (found.sites, found.hostile, found.byzantine) == (5, 1, 1)
    assert len(found.runs) == 4
    for defence in ("mean", "krum"):
        honest, attacked = found.cell(defence, "none"), found.cell(defence, "scaling")
        assert 0 <= honest.auroc.value <= 1
        assert (honest.counted, honest.sent) == (0, 0)
        assert attacked.counted == attacked.sent == 2  # no bound on the length: nothing refused
    assert found.cell("mean", "none").drop == 0
    # the attacked mean is another model; krum, which never takes the one outlier, has the same
    models = {
        name: last_weights(study / "trainings" / f"{name}-seed-0")
        for name in ("mean-none", "mean-scaling", "krum-none", "krum-scaling")
    }
    assert models["mean-none"] != models["mean-scaling"]
    assert models["krum-none"] != models["mean-none"]


@pytest.mark.slow
def test_its_page_tables_and_terminal_have_every_aggregator_and_attack(study, capsys):
    page = (study / "report.html").read_text()
    verb.print_byzantine(study)
    printed = capsys.readouterr().out
    for words in ("Scaling ×100", "krum", "No attack"):
        assert words in page
        assert words in printed
    assert printed.splitlines()[-1] == f"Report: {study / 'report.html'}"
    table = (study / "tables" / "hostile_sites.csv").read_text().splitlines()
    assert len(table) == 5
    assert table[0].startswith("aggregator,attack,auroc,auroc_low")


@pytest.mark.slow
def test_a_finished_study_is_written_again_to_the_same_bytes_and_trains_nothing_anew(study):
    page, figures = (study / "report.html").read_bytes(), (study / "byzantine.json").read_bytes()
    begun = {file: file.stat().st_mtime_ns for file in study.glob("trainings/*/summary.json")}
    assert len(begun) == 4
    report_byzantine(study)
    resume_byzantine(study)
    assert (study / "report.html").read_bytes() == page
    assert (study / "byzantine.json").read_bytes() == figures
    assert {file: file.stat().st_mtime_ns for file in begun} == begun
    with pytest.raises(ConfigError, match=r"--set server\.rounds: a run that goes on cannot"):
        resume_byzantine(study, settings=["server.rounds=3"])


@pytest.mark.slow
def test_flipped_labels_are_trained_on_and_the_truth_of_the_server_stays(tmp_path):
    config = config_in(tmp_path, engine__workers=2)
    honest = simulate(config, tampering=HostileSites("none", (), 0.0))
    flipped = simulate(config, tampering=HostileSites("label-flip", ("site-01",), 0.0))
    assert last_weights(honest.path) != last_weights(flipped.path)
    own = read_table(flipped.path / "partition" / "sites" / "site-01.csv")
    poisoned = read_table(flipped.path / "poisoned" / "site-01.csv")
    train = np.array(own.split) == "train"
    known = (own.states == 0) | (own.states == 1)
    assert (poisoned.states == 1 - own.states)[train[:, None] & known].all()
    np.testing.assert_array_equal(poisoned.states[~train], own.states[~train])
    # only the losses of that site are others in round 1; all start from the same weights
    losses = [
        {
            row["site_id"]: row["train_loss"]
            for row in json.loads((run.path / "rounds.jsonl").read_text().splitlines()[1])["sites"]
        }
        for run in (honest, flipped)
    ]
    assert [site for site in losses[0] if losses[0][site] != losses[1][site]] == ["site-01"]
    assert not (honest.path / "report.html").exists()


@pytest.mark.slow
def test_a_training_that_the_attack_breaks_is_a_finding_and_no_failure(tmp_path):
    # all sites must answer rightly, and the bound refuses the hostile one from round 2 on
    config = config_in(tmp_path, server__quorum=1.0)
    design = Design(defences=("mean", "mean+bound"), attacks=("scaling",))
    found = read_byzantine(study_hostile_sites(config, design))
    broken = found.cell("mean+bound", "scaling")
    assert "sites answered rightly, 5 are needed" in broken.broke_off
    assert (broken.auroc.value, broken.drop, broken.is_held) == (None, None, False)
    assert (broken.counted, broken.sent) == (1, 1)
    assert found.cell("mean+bound", "none").auroc.value is not None


@pytest.mark.parametrize(
    ("design", "changes", "words"),
    [
        (
            {"attacks": ("sign-flop",)},
            {},
            r"--attacks: there is no sign-flop\. Known: sign-flip, s",
        ),
        ({"defences": ("median",)}, {}, r"--aggregators: add mean, without an attack what all are"),
        ({"defences": ("mean", "mean")}, {}, r"--aggregators: mean given twice"),
        ({"attacks": ()}, {}, r"--attacks: none"),
        ({"share": 0.1}, {}, r"--attackers 0\.1: of 5 sites that is 0, and it takes one or more"),
        ({"share": 0.6}, {}, r"of 5 sites that is 3, and it takes one or more, but fewer than hal"),
        ({"share": 0.4}, {}, r"krum with server\.byzantine=2 needs at least 2·2 \+ 3 = 7 updates"),
        ({}, {"server.aggregator": "median"}, r"server\.aggregator: a study of hostile sites sets"),
        ({}, {"server.trim": 0.1}, r"server\.trim: a study of hostile sites sets this itself"),
        ({}, {"server.codec": "int8"}, r"needs engine\.kind=local and server\.codec=none"),
        ({}, {"engine.kind": "ray"}, r"needs engine\.kind=local and server\.codec=none"),
        ({"defences": ("mean", "meen")}, {}, r"there is no aggregator 'meen' \(did you mean"),
    ],
)
def test_what_cannot_be_studied_is_refused_before_anything_is_made(design, changes, words):
    config = load_config(overrides={**TINY, **changes})
    with pytest.raises(ConfigError, match=words):
        check_design(Design(**design), config)
