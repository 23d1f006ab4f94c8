import json
import shlex

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fedcxr.cli.partition import partition
from fedcxr.config import load_config
from fedcxr.data.records import DataSet
from fedcxr.errors import ConfigError, LeakError
from fedcxr.experiments.simulate import with_sites_of_plan
from partitions import prepare
from partitions.plan import read_plan
from partitions.table import read_table

APP = typer.Typer()
APP.command()(partition)


@pytest.fixture
def dataset(make_dataset, monkeypatch):
    """A data set of records without files, read in place of any other; keeps the configs."""
    made = make_dataset(60)
    asked = []

    def read_for(config):
        asked.append(config)
        return DataSet(made.root, made.layout, made.labels, made.records, notes=("A note.",))

    monkeypatch.setattr(prepare, "read_for", read_for)
    return asked


def run(*words):
    done = CliRunner().invoke(APP, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_it_writes_the_folder_prints_the_table_and_draws_it(tmp_path, dataset):
    out = tmp_path / "plan"
    text = run("--clients", 3, "--scheme", "dirichlet", "--alpha", 0.3, "--seed", 4, "--out", out)
    plan = read_plan(out)
    assert (plan.scheme, plan.alpha, plan.seed, len(plan.sites)) == ("dirichlet", 0.3, 4, 3)
    assert {path.name for path in out.iterdir()} == {
        "plan.json",
        "global",
        "sites",
        "partition.png",
        "partition.svg",
    }
    rows = [line.split() for line in text.splitlines() if "site-0" in line]
    assert [row[1] for row in rows] == ["site-00", "site-01", "site-02"]
    for site in plan.sites:
        assert f"{site.js_distance:.3f}" in text
    assert "A note." in text
    assert "CheXpert-v1.0-small: dirichlet, alpha 0.3, seed 4" in text
    assert "Global validation: 6 patients, 12 images" in text  # 10 % of 60, two images each
    assert "Global test: 12 patients, 24 images" in text
    # two sets at each of 3 sites, and the server's two: 8 · 7 / 2
    assert "Proven: no patient and no image is in two of 8 sets (28 pairs checked)" in text
    assert "The test set is drawn from the patients: 12 of 60." in text
    assert f"Drawn: {out / 'partition.png'}" in text


def test_every_flag_reaches_the_configuration(tmp_path, dataset):
    run(
        tmp_path / "a", tmp_path / "b", "--exponent", 2, "--min-images", 0,
        "--min-positives", 0, "--views", "all",
        "--labels", "Edema,Fracture", "--label-table", "train_cheXbert.csv", "--clients", 2,
        "--folds", 3, "--fold", 1, "--out", tmp_path / "plan",
    )  # fmt: skip
    config = dataset[0]
    assert config.data.roots == (str(tmp_path / "a"), str(tmp_path / "b"))
    assert (config.data.views, config.data.label_table) == ("all", "train_cheXbert.csv")
    assert config.data.labels == ("Edema", "Fracture")
    chosen = config.partition
    assert (chosen.scheme, chosen.exponent) == ("quantity", 2.0)
    assert (chosen.folds, chosen.fold, chosen.clients) == (3, 1, 2)


def test_the_command_that_it_tells_is_one_that_simulate_takes(tmp_path, dataset):
    out = tmp_path / "a plan"
    text = run(tmp_path / "data", "--labels", "Edema,Lung Opacity", "--out", out)
    words = shlex.split(text.partition("Use it: ")[2].strip())
    assert words == [
        "fedcxr", "simulate", "--data", str(tmp_path / "data"), "--views", "frontal",
        "--labels", "Edema,Lung Opacity", "--partition", str(out),
    ]  # fmt: skip
    text = run(tmp_path / "data", "--follow-links", "--out", tmp_path / "linked")
    assert "--follow-links --partition" in text
    assert dataset[-1].data.follow_links
    text = run("--patients", 77, "--out", tmp_path / "other")
    assert "fedcxr simulate --set data.synthetic.patients=77 --views frontal" in text
    assert dataset[-1].data.synthetic.patients == 77


def test_a_plan_of_no_data_has_the_public_key_and_one_of_real_data_has_not(tmp_path, dataset):
    run("--out", tmp_path / "a")
    run(tmp_path / "data", "--out", tmp_path / "b")
    one, other = read_plan(tmp_path / "a"), read_plan(tmp_path / "b")
    assert one.key_fingerprint != other.key_fingerprint


def test_folds_without_a_fold_give_a_folder_each(tmp_path, dataset):
    text = run("--folds", 4, "--clients", 2, "--out", tmp_path / "cv")
    assert sorted(path.name for path in (tmp_path / "cv").iterdir()) == [
        f"fold-{fold}" for fold in range(4)
    ]
    plans = [read_plan(tmp_path / "cv" / f"fold-{fold}") for fold in range(4)]
    assert [plan.parameters["fold"] for plan in plans] == [0, 1, 2, 3]
    tested = [p for plan in plans for p in set(read_table(plan.test_csv).patient_id)]
    assert len(tested) == len(set(tested)) == 60
    assert text.count("Use it: ") == 4
    for fold in range(4):
        assert f"The test set is fold {fold} of 0 to 3: 15 of 60 patients." in text


def test_what_was_moved_and_left_out_is_told(tmp_path, dataset, make_dataset, monkeypatch):
    records = make_dataset(60).records
    late = make_dataset(70, split="val").records[-6:]
    made = make_dataset(records=[*records, *late])
    monkeypatch.setattr(prepare, "read_for", lambda config: made)
    out = tmp_path / "plan"
    text = run("--scheme", "quantity", "--min-images", 12, "--out", out)
    plan = read_plan(out)
    assert plan.moved_patients > 0
    assert f"Moved to meet the minimum: {plan.moved_patients} patients" in text
    assert "Left out: 6 images of an official set" in text


def test_sites_of_a_file_have_their_names_in_the_table(tmp_path, dataset, make_dataset):
    path = tmp_path / "sites.csv"
    ids = sorted({record.patient_id for record in make_dataset(60).records})
    rows = [f"{p},{'St.Mary' if i % 3 else 'North'}" for i, p in enumerate(ids)]
    path.write_text("\n".join(["patient_id,site", *rows]))
    text = run("--sites-file", path, "--out", tmp_path / "plan")
    assert [site.site_id for site in read_plan(tmp_path / "plan").sites] == ["North", "St.Mary"]
    assert "St.Mary" in text


def test_a_run_has_as_many_clients_as_its_folder_or_file_has_sites(tmp_path, dataset):
    run("--clients", 7, "--out", tmp_path / "plan")
    path = tmp_path / "sites.csv"
    path.write_text("patient_id,site\np1,a\np2,b\np3,a\n")

    def clients(**keys):
        overrides = {f"partition.{key}": value for key, value in keys.items()}
        return with_sites_of_plan(load_config(overrides=overrides)).partition.clients

    assert clients(folder=str(tmp_path / "plan")) == 7
    assert clients(scheme="sites-file", sites_file=str(path)) == 2
    assert clients(clients=4) == 4
    path.write_text("patient_id,site\np1,a\np1,b\n")
    with pytest.raises(LeakError, match="at two sites"):
        clients(scheme="sites-file", sites_file=str(path))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["DIR", "--patients", "9"], "--patients is of the synthetic data set"),
        (["--fold", "0"], "--fold names one of --folds"),
        (["--folds", "3", "--fold", "3"], "fold 3 of 3 folds"),
        (["--scheme", "by-view"], "partition.scheme"),
        (["--clients", "0"], "partition.clients"),
        (["--clients", "40"], "Set --clients 21 or fewer"),
        (["--scheme", "by-source"], "--data twice"),
    ],
)
def test_what_cannot_be_is_a_configuration_error_and_nothing_is_left(
    tmp_path, dataset, words, told
):
    with pytest.raises(ConfigError, match=told):
        run(*words, "--out", tmp_path / "plan")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real
@pytest.mark.parametrize("scheme", ["iid", "dirichlet", "quantity", "by-attribute", "hospitals"])
def test_a_sample_of_real_radiographs_is_partitioned(sample_data, tmp_path, scheme):
    run(sample_data / "nih14", "--scheme", scheme, "--clients", 3, "--out", tmp_path / "plan")
    plan = read_plan(tmp_path / "plan")
    assert len(plan.sites) == 3
    head = json.loads((tmp_path / "plan" / "plan.json").read_text())
    assert np.isfinite([site["js_distance"] for site in head["sites"]]).all()
