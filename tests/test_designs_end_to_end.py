"""Whole comparisons over two partitions and on data from elsewhere, and over folds; resumed."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fedcxr.results
from fedcxr.cli.compare import print_comparison
from fedcxr.config import load_config
from fedcxr.data.labels import POSITIVE
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.errors import ArtefactError, ConfigError, DataError
from fedcxr.experiments.compare.comparing import compare, report_again, resume_comparison
from fedcxr.experiments.plan_study import plan_study
from fedcxr.experiments.simulate import simulate
from fedcxr.metrics.auroc import auroc
from partitions.plan import read_plan
from partitions.table import read_table

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_pictures")]

TINY = {
    "data.synthetic.patients": 120,
    "data.synthetic.size_px": 48,
    "model.image_size": 32,
    "partition.clients": 2,
    "server.rounds": 1,
    "explain.max_boxes": 0,
    "explain.images_per_outcome": 0,
    "engine.precision": "fp32",
    "compare.arms": ["federated", "centralized"],
    "compare.partitions": 2,
    "compare.seeds": 1,
    "compare.min_positives": 3,
    "compare.at_once": 2,
}
RUNS = [
    "centralized-partition-1-seed-100",
    "centralized-seed-0",
    "federated-partition-1-seed-100",
    "federated-seed-0",
]


def configured(folder, **settings):
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    return load_config(overrides={**TINY, "runs_dir": str(folder), **keys})


@pytest.fixture(scope="module")
def nih(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere") / "nih"
    return write_synthetic(folder, patients=100, size_px=48, layout="nih14", seed=5)


@pytest.fixture(scope="module")
def done(tmp_path_factory, nih):
    """A finished comparison."""
    return compare(configured(tmp_path_factory.mktemp("designs"), compare__external=[str(nih)]))


def figures(folder):
    tree = json.loads((folder / "comparison.json").read_text())
    del tree["created"]
    return tree


def scores(file, labels):
    """Return the mean AUROC over some labels, of the test images in a file of predictions."""
    with np.load(file) as arrays:
        columns = np.isin(arrays["labels"], labels)
        pairs = zip(arrays["target"].T[columns], arrays["probs"].T[columns], strict=True)
        return np.mean([auroc(target, probs) for target, probs in pairs])


def external_of(folder):
    return {
        file.parent.parent.name: dict(np.load(file)) for file in folder.glob("arms/*/external/*")
    }


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, arrays in one.items():
        assert arrays.keys() == other[name].keys()
        for key, values in arrays.items():
            assert np.array_equal(values, other[name][key], equal_nan=values.dtype.kind == "f")


def test_every_arm_is_trained_on_every_partition_and_tested_on_the_same_patients(done):
    assert sorted(path.parent.name for path in done.glob("arms/*/summary.json")) == RUNS
    plans = [read_plan(done / at / "partition") for at in (".", "draws/1")]
    assert plans[0].digest != plans[1].digest
    tested, trained = set(), {}
    for name in RUNS:
        with np.load(done / "arms" / name / "predictions.npz") as arrays:
            tested.add((*arrays["image_id"], *arrays["val_image_id"]))
        plan = read_plan(done / "arms" / name / "partition")
        trained[name] = {s.site_id: set(plan.site_table(s.site_id).patient_id) for s in plan.sites}
    assert len(tested) == 1
    assert trained["federated-seed-0"] != trained["federated-partition-1-seed-100"]
    everyone = [set().union(*sites.values()) for sites in trained.values()]
    assert all(patients == everyone[0] for patients in everyone)


def test_the_first_draw_is_the_partition_that_one_alone_would_have(done, tmp_path):
    config = configured(
        tmp_path,
        compare__partitions=1,
        engine__workers=1,
        engine__threads_per_client=1,
        engine__server_threads=1,
    )
    alone = simulate(config)
    summary = json.loads((done / "arms/federated-seed-0/summary.json").read_text())
    assert alone.summary["parameters_sha256"] == summary["parameters_sha256"]


def test_a_difference_is_of_the_partitions_means(done):
    tree = figures(done)
    (gap,) = tree["differences"]
    labels = tree["endpoint"]["labels"]
    by_run = {name: scores(done / "arms" / name / "predictions.npz", labels) for name in RUNS}
    expected = [
        by_run["federated-seed-0"] - by_run["centralized-seed-0"],
        by_run["federated-partition-1-seed-100"] - by_run["centralized-partition-1-seed-100"],
    ]
    assert gap["by_partition"] == pytest.approx(expected, abs=1e-12)
    assert gap["macro_auroc"]["value"] == pytest.approx(np.mean(expected))
    assert (gap["about"], gap["replicated"], gap["replicates"]) == ("methods", "partitions", 2)
    # one training on each partition: what trainings and partitions vary cannot be told apart
    assert (gap["variance"]["trainings"], gap["variance"]["partitions"]) == (None, None)
    assert [arm["models"] for arm in tree["arms"]] == [2, 2]
    draws = tree["data"]["partition"]["draws"]
    assert [draw["seeds"] for draw in draws] == [[0], [100]]
    assert [draw["pairs_compared"] for draw in draws] == [15, 15]
    assert np.shape(tree["site_matrix"]["macro_auroc"]) == (2, 2)


def test_the_external_set_has_its_own_endpoint_and_differences(done):
    (found,) = figures(done)["external"]
    assert found["data"]["name"] == "nih"
    labels = found["endpoint"]["labels"]
    assert 0 < len(labels) < len(found["data"]["labels"])
    by_run = {name: scores(done / "arms" / name / "external/nih.npz", labels) for name in RUNS}
    federated, centralized = found["arms"]
    assert federated["macro_by_seed"] == pytest.approx([by_run[RUNS[3]], by_run[RUNS[2]]])
    assert centralized["macro_by_seed"] == pytest.approx([by_run[RUNS[1]], by_run[RUNS[0]]])
    assert set(federated["by_label"]) == set(found["data"]["labels"])
    (gap,) = found["differences"]
    assert (gap["arm"], gap["against"]) == ("federated", "centralized")
    assert gap["macro_auroc"]["value"] == pytest.approx(
        np.mean(federated["macro_by_seed"]) - np.mean(centralized["macro_by_seed"])
    )
    rarest = min(
        (each["positives"], each["label"])
        for each in found["endpoint"]["patients"]
        if each["label"] in labels
    )
    assert gap["verdict"]["word"] == "withheld"
    assert gap["verdict"]["reason"].startswith(f"{rarest[0]} patients have {rarest[1]}; ")
    assert set(gap["by_label"]) == set(found["data"]["labels"])


def test_partitions_and_external_sets_are_frozen_before_the_first_training(done):
    tree, protocol = figures(done), json.loads((done / "protocol.json").read_text())
    begun = min(file.stat().st_mtime_ns for file in done.glob("arms/*-seed-*/config.yaml"))
    assert (done / "protocol.json").stat().st_mtime_ns < begun
    assert protocol["further_partitions"] == [read_plan(done / "draws/1/partition").digest]
    assert protocol["seeds"] == [0, 100]
    (planned,) = protocol["external"]
    (found,) = tree["external"]
    assert planned == {key: found[key] for key in ("data", "endpoint")}
    assert tree["deviations"] == []


def test_tables_and_predictions_tell_partitions_and_external_sets(done):
    opened = fedcxr.results.open(done)
    found, tables = opened.comparison, opened.tables
    federated = found.arm("federated")
    assert tables["partitions"]["macro_auroc_federated"].tolist() == list(
        federated.macro_by_partition
    )
    (external,) = found.external
    (row,) = tables["external_sets"].to_dict("records")
    assert (row["external"], row["images"]) == ("nih", external.data.images)
    assert tables["external_arms"]["macro_auroc"].tolist() == [
        arm.macro_auroc.value for arm in external.arms
    ]
    (row,) = tables["external_differences"].to_dict("records")
    assert row["verdict_reason"] == external.differences[0].verdict.reason
    by_label = tables["external_differences_by_label"]
    assert by_label["label"].tolist() == list(external.data.labels)
    rows = opened.predictions
    elsewhere = rows[rows["split"] == "external/nih"]
    assert len(elsewhere) == len(RUNS) * external.data.images * len(found.data.labels)
    assert elsewhere[elsewhere["label"] == "Fracture"]["target"].isna().all()


def test_the_page_says_that_it_is_about_other_partitions(done):
    page = (done / "report.html").read_text()
    assert (
        "other patients, other trainings and other partitions, from 2 partitions and 2 seeds"
        in (" ".join(page.split()))
    )
    assert "There are 2 partitions of the patients into sites" in page


def test_the_command_tells_the_verdict_elsewhere(done, capsys):
    print_comparison(done)
    told = capsys.readouterr().out
    assert "On nih, federated minus centralized: " in told


def test_judging_again_needs_neither_the_data_nor_a_prediction(done, nih, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(done, folder)
    hidden = nih.rename(nih.with_name("hidden"))
    try:
        report_again(folder)
        resume_comparison(folder, settings=["compare.margin=0.02"])
    finally:
        hidden.rename(nih)
    before, after = figures(done), figures(folder)
    assert after["external"] == [
        {**each, "differences": after["external"][0]["differences"]} for each in before["external"]
    ]
    assert_same(external_of(done), external_of(folder))


def test_a_killed_comparison_scores_external_sets_to_the_same_bits(done, nih, tmp_path):
    program = (
        "import sys; from fedcxr.cli.main import command;"
        "sys.argv = ['fedcxr', 'compare', '--quiet', *sys.argv[1:]]; command()"
    )
    words = ["--arms", "federated,centralized", "--external", str(nih)]
    for key, value in TINY.items():
        words += ["--set", f"{key}={value}"] if key != "compare.arms" else []
    process = subprocess.Popen(
        [sys.executable, "-c", program, "--runs-dir", str(tmp_path), *words],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    end = time.monotonic() + 120
    while not list(tmp_path.glob("*-compare/arms/*/external/nih.npz")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    (folder,) = tmp_path.glob("*-compare")
    assert not (folder / "comparison.json").exists()
    resume_comparison(folder)
    assert_same(external_of(done), external_of(folder))
    assert figures(folder)["external"] == figures(done)["external"]


def test_a_training_without_its_external_predictions_is_not_finished(done, tmp_path):
    folder = tmp_path / "half"
    shutil.copytree(done, folder)
    (folder / "arms/federated-seed-0/external/nih.npz").unlink()
    with pytest.raises(ArtefactError, match="not finished yet: federated-seed-0"):
        report_again(folder)
    resume_comparison(folder)
    assert_same(external_of(done), external_of(folder))


def test_a_set_added_afterwards_is_scored_and_told_as_a_deviation(done, nih, tmp_path):
    folder = tmp_path / "more"
    shutil.copytree(done, folder)
    other = write_synthetic(tmp_path / "other", patients=60, size_px=48, layout="nih14", seed=9)
    sums = {file: file.read_bytes() for file in folder.glob("arms/*/summary.json")}
    resume_comparison(folder, settings=[f"compare.external=[{nih}, {other}]"])
    tree = figures(folder)
    assert [each["data"]["name"] for each in tree["external"]] == ["nih", "other"]
    assert {file: file.read_bytes() for file in sums} == sums
    told = {each["key"]: each for each in tree["deviations"]}
    assert (told["external"]["planned"], told["external"]["now"]) == (["nih"], ["nih", "other"])
    assert set(told) == {"external", "external_digests", "external_labels"}
    page = (folder / "report.html").read_text()
    assert "Deviation from the protocol: data from elsewhere nih → nih, other" in page


def test_a_primary_label_that_a_set_has_not_is_named(nih, tmp_path):
    config = configured(
        tmp_path,
        compare__external=[str(nih)],
        compare__partitions=1,
        compare__primary_labels=["Support Devices", "Fracture"],
    )
    (found,) = figures(compare(config))["external"]
    (gap,) = found["differences"]
    assert gap["verdict"] == {
        "word": "withheld",
        "reason": "nih has none of the primary labels: Fracture, Support Devices",
    }
    assert gap["macro_auroc"]["value"] is None
    assert gap["by_label"]["Edema"]["value"] is not None


def test_what_cannot_be_read_or_drawn_is_refused_before_anything_is_written(nih, tmp_path):
    (tmp_path / "empty").mkdir()
    runs = tmp_path / "runs"
    with pytest.raises(DataError, match="empty"):
        compare(configured(runs, compare__external=[str(nih), str(tmp_path / "empty")]))
    with pytest.raises(ConfigError, match=r"compare\.partitions=2: partition\.scheme=by-attribute"):
        compare(configured(runs, partition__scheme="by-attribute"))
    assert not runs.exists()


FOLDS = [
    "centralized-fold-0-seed-0",
    "centralized-fold-1-seed-100",
    "federated-fold-0-seed-0",
    "federated-fold-1-seed-100",
]


IN_FOLDS = 96
"""Of 120 patients a fifth is the official test set, which stays unseen."""


@pytest.fixture(scope="module")
def folded(tmp_path_factory):
    """A finished comparison over two folds."""
    config = configured(
        tmp_path_factory.mktemp("folds"),
        compare__partitions=1,
        partition__folds=2,
        compare__min_positives=10,
        data__labels=["Edema", "Support Devices", "Lung Opacity"],
    )
    return compare(config)


def test_each_patient_is_tested_once_by_models_that_never_saw_them(folded):
    assert sorted(path.parent.name for path in folded.glob("arms/*/summary.json")) == FOLDS
    tested = {}
    for name in FOLDS:
        with np.load(folded / "arms" / name / "predictions.npz") as arrays:
            tested[name] = set(arrays["patient_id"].tolist())
        plan = read_plan(folded / "arms" / name / "partition")
        tables = [read_table(plan.val_csv), *(plan.site_table(s.site_id) for s in plan.sites)]
        seen = set().union(*(table.patient_id for table in tables))
        assert not seen & tested[name]
    assert tested[FOLDS[0]] == tested[FOLDS[2]]
    assert not tested[FOLDS[0]] & tested[FOLDS[1]]
    assert len(tested[FOLDS[0]] | tested[FOLDS[1]]) == IN_FOLDS


def test_a_difference_over_folds_is_of_areas_within_them(folded):
    tree = figures(folded)
    (gap,) = tree["differences"]
    labels = tree["endpoint"]["labels"]
    by_run = {name: scores(folded / "arms" / name / "predictions.npz", labels) for name in FOLDS}
    expected = [by_run[FOLDS[2]] - by_run[FOLDS[0]], by_run[FOLDS[3]] - by_run[FOLDS[1]]]
    assert gap["by_partition"] == pytest.approx(expected, abs=1e-12)
    assert gap["macro_auroc"]["value"] == pytest.approx(np.mean(expected))
    assert (gap["about"], gap["replicated"], gap["replicates"]) == ("methods", "folds", 2)
    assert gap["variance"]["folds"] == pytest.approx(np.var(expected, ddof=1))
    plans = [read_plan(folded / at / "partition") for at in (".", "draws/1")]
    shares = [
        48
        / sum(
            len({p for p, s in zip(t.patient_id, t.split, strict=True) if s == "train"})
            for t in map(plan.site_table, [site.site_id for site in plan.sites])
        )
        for plan in plans
    ]
    assert gap["variance"]["test_share"] == pytest.approx(np.mean(shares))
    assert gap["verdict"]["word"] == "withheld"
    assert gap["verdict"]["reason"].startswith("there are 2 folds; the self-test of the statistics")
    federated = tree["arms"][0]
    assert federated["scored"] == tree["data"]["test_images"]
    assert tree["data"]["test_patients"] == IN_FOLDS
    assert tree["data"]["partition"]["folds"] == 2


def test_a_label_needs_its_patients_in_each_fold_and_the_protocol_names_the_folds(folded):
    protocol = json.loads((folded / "protocol.json").read_text())
    places = (folded, folded / "draws/1")
    tables = [read_table(read_plan(place / "partition").test_csv) for place in places]
    for counted in protocol["endpoint"]["patients"]:
        each = [
            len({p for p, s in zip(t.patient_id, t.states.T[at], strict=True) if s == POSITIVE})
            for t in tables
            if (at := t.labels.index(counted["label"])) >= 0
        ]
        assert counted["positives"] == min(each)
    least = {each["label"] for each in protocol["endpoint"]["patients"] if each["positives"] >= 10}
    assert set(protocol["endpoint"]["labels"]) <= least
    assert protocol["endpoint"]["folds"] == 2
    assert len(protocol["further_partitions"]) == 1
    assert figures(folded)["deviations"] == []


def test_page_and_tables_say_that_it_is_a_cross_validation(folded):
    page = " ".join((folded / "report.html").read_text().split())
    for words in (
        "in 2 folds of a cross-validation, by models that never saw the patient",
        "Spread over the folds",
        "2 folds of a cross-validation</",
    ):
        assert words in page, words
    assert "The test set is fold 0" not in page
    table = fedcxr.results.open(folded).tables["folds"]
    assert table["test_patients"].tolist() == [48, 48]


def test_a_study_is_not_planned_from_folds(folded):
    with pytest.raises(ArtefactError, match="over 2 folds of a cross-validation, where the chance"):
        plan_study(folded)


def test_a_resumed_cross_validation_does_what_is_left_and_finds_the_same(folded, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(folded, folder)
    shutil.rmtree(folder / "arms" / FOLDS[3])
    (folder / "comparison.json").unlink()
    resume_comparison(folder)
    assert {**figures(folder), "name": "", "arms": []} == {
        **figures(folded),
        "name": "",
        "arms": [],
    }
    with pytest.raises(ConfigError, match=r"compare\.external: how far a mean over folds"):
        resume_comparison(folder, settings=[f"compare.external=[{tmp_path}]"])
