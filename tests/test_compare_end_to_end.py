"""A whole comparison: every arm, stopped and resumed, judged again to the same figures."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fedcxr.cli.compare import print_comparison
from fedcxr.config import load_config
from fedcxr.config.load import read_config, to_yaml, with_values
from fedcxr.errors import ArtefactError, ConfigError, RunError
from fedcxr.experiments.compare.comparing import compare, report_again, resume_comparison
from fedcxr.experiments.compare.freezing import read_protocol
from fedcxr.experiments.simulate import simulate
from fedcxr.metrics.auroc import auroc
from fedcxr.results.frozen import Endpoint
from fedcxr.results.reading import is_comparison

pytestmark = pytest.mark.slow

TINY = {
    "data.synthetic.patients": 120,
    "data.synthetic.size_px": 48,
    "data.labels": ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"],
    "model.image_size": 32,
    "partition.clients": 2,
    "server.rounds": 2,
    "explain.max_boxes": 0,
    "explain.images_per_outcome": 0,
    "engine.precision": "fp32",
    "compare.seeds": 2,
    "compare.at_once": 2,
}
NAMES = ["federated", "centralized", "local", "centralized-steps"]


def configured(folder, **settings):
    keys = {key.replace("__", "."): value for key, value in settings.items()}
    return load_config(overrides={**TINY, "runs_dir": str(folder), **keys})


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished comparison, and what it told of its progress."""
    told = []
    runs = tmp_path_factory.mktemp("compare")
    own = runs / "slow.yaml"
    own.write_text("train:\n  learning_rate: 1.0e-4\n")
    folder = compare(configured(runs), extra_arms={"slow": own}, on_progress=told.append)
    return folder, told


def figures(folder):
    tree = json.loads((folder / "comparison.json").read_text())
    del tree["created"]
    return tree


def test_every_arm_is_trained_with_every_seed_at_every_place(done):
    folder, _ = done
    found = sorted(path.name for path in (folder / "arms").iterdir() if path.is_dir())
    expected = [f"{arm}-seed-{s}" for arm in (*NAMES, "slow") for s in (0, 1) if arm != "local"]
    expected += [f"local-seed-{s}-site-0{n}" for s in (0, 1) for n in (0, 1)]
    assert found == sorted([*expected, "logs"])
    assert all(manifest(folder / "arms" / name)["status"] == "finished" for name in expected)
    assert manifest(folder)["status"] == "finished"
    assert is_comparison(folder)


def test_all_arms_start_from_the_same_weights_and_meet_the_same_patients(done):
    folder, _ = done
    first, ids = {}, set()
    for run in (folder / "arms").glob("*-seed-*"):
        line = json.loads((run / "rounds.jsonl").read_text().splitlines()[0])
        first.setdefault(run.name.split("-seed-")[1][0], set()).add(line["parameters_sha256"])
        with np.load(run / "predictions.npz") as arrays:
            ids.add(tuple(arrays["image_id"]) + tuple(arrays["val_image_id"]))
    assert {seed: len(found) for seed, found in first.items()} == {"0": 1, "1": 1}
    assert first["0"] != first["1"]
    assert len(ids) == 1


def test_the_federated_arm_is_what_simulate_does(done, tmp_path):
    folder, _ = done
    config = configured(
        tmp_path, engine__workers=1, engine__threads_per_client=1, engine__server_threads=1
    )
    alone = simulate(config)
    assert (
        alone.summary["parameters_sha256"]
        == json.loads((folder / "arms/federated-seed-0/summary.json").read_text())[
            "parameters_sha256"
        ]
    )


def test_the_figures_are_those_of_the_predictions(done):
    folder, _ = done
    tree = figures(folder)
    assert [arm["name"] for arm in tree["arms"]] == [*NAMES, "slow"]
    by_seed = []
    for seed in (0, 1):
        with np.load(folder / f"arms/federated-seed-{seed}/predictions.npz") as arrays:
            columns = np.isin(
                arrays["labels"], Endpoint.model_validate(tree["endpoint"]).means_over
            )
            pairs = zip(arrays["target"].T[columns], arrays["probs"].T[columns], strict=True)
            each = [auroc(target, probs) for target, probs in pairs]
            by_seed.append(np.nanmean(each))
    arm = tree["arms"][0]
    assert arm["macro_by_seed"] == pytest.approx(by_seed, abs=1e-12)
    assert arm["macro_auroc"]["value"] == pytest.approx(np.mean(by_seed), abs=1e-12)
    gap = tree["differences"][0]
    assert (gap["arm"], gap["against"]) == ("federated", "centralized")
    other = tree["arms"][1]["macro_auroc"]["value"]
    assert gap["macro_auroc"]["value"] == pytest.approx(arm["macro_auroc"]["value"] - other)
    assert gap["about"] == "methods"
    assert gap["variance"]["seeds"] == 2
    assert gap["variance"]["trainings"] == pytest.approx(np.var(gap["by_seed"], ddof=1))
    matrix = tree["site_matrix"]
    assert matrix["models"][:4] == ["federated", "centralized", "local site-00", "local site-01"]
    assert np.shape(matrix["macro_auroc"]) == (2, 6)


def test_the_warnings_are_those_of_the_trainings_own_logs(done):
    folder, _ = done
    expected = {}
    for run in sorted((folder / "arms").glob("*-seed-*")):
        lines = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
        scores = [line["val_macro_auroc"] for line in lines]
        arm = run.name.split("-seed-")[0]
        expected[arm] = expected.get(arm, 0) + (max(scores[:-1]) < scores[-1])
    warnings = figures(folder)["warnings"]
    assert {each["kind"] for each in warnings} <= {"best-round-is-last"}  # too few rounds to rise
    assert {each["arm"]: each["trainings"] for each in warnings} == {
        arm: number for arm, number in expected.items() if number
    }
    page = (folder / "report.html").read_text()
    assert page.count("the best round is the last one") == len(warnings)


def test_what_an_arm_has_of_its_own_is_told_on_the_page(done):
    arms = {arm["name"]: arm["differs"] for arm in figures(done[0])["arms"]}
    assert arms == {**{name: {} for name in NAMES}, "slow": {"train.learning_rate": "0.0001"}}
    page = (done[0] / "report.html").read_text()
    assert "slow has of its own: train.learning_rate 0.0001." in page


def test_equal_budgets_are_equal(done):
    arms = {arm["name"]: arm for arm in figures(done[0])["arms"]}
    images = [arms[name]["images_seen"] for name in NAMES]
    # a batch of one image is left out, which depends on how the images are dealt
    assert images[0] == pytest.approx(images[1], rel=0.02) == pytest.approx(images[2], rel=0.02)
    assert images[3] < 0.7 * images[1]
    assert arms["centralized-steps"]["steps"] == arms["federated"]["steps"]
    assert arms["federated"]["bytes_up"] > 0 == arms["centralized"]["bytes_up"]


def test_asking_for_the_page_again_gives_the_same_figures_and_bytes(done):
    folder, _ = done
    before, page = figures(folder), (folder / "report.html").read_bytes()
    written = (folder / "comparison.json").stat().st_mtime_ns
    assert report_again(folder) == folder / "report.html"
    assert (folder / "comparison.json").stat().st_mtime_ns > written
    assert figures(folder) == before
    assert len((folder / "report.html").read_bytes()) == len(page)  # but for when it was made
    assert any((folder / "tables").glob("*.csv"))
    assert any((folder / "figures").glob("*.svg"))


def test_the_protocol_is_written_before_the_first_training(done):
    folder, _ = done
    tree, protocol = figures(folder), json.loads((folder / "protocol.json").read_text())
    begun = min(file.stat().st_mtime_ns for file in folder.glob("arms/*-seed-*/config.yaml"))
    assert (folder / "protocol.json").stat().st_mtime_ns < begun
    assert tree["protocol"] == {key: protocol[key] for key in protocol if key != "digest"}
    assert read_protocol(folder).digest == protocol["digest"]
    assert tree["deviations"] == []
    assert protocol["arms"] == [*NAMES, "slow"]
    compared = [[gap["arm"], gap["against"]] for gap in tree["differences"]]
    assert protocol["pairs"] == compared
    assert "macro AUROC, fixed beforehand" in (folder / "report.html").read_text()


def test_a_margin_changed_afterwards_is_told_as_a_deviation(done, tmp_path, capsys):
    folder = tmp_path / "changed"
    shutil.copytree(done[0], folder)
    resume_comparison(folder, settings=["compare.margin=0.03"])
    told = "Deviation from the protocol: margin 0.01 → 0.03, changed after training began."
    tree = figures(folder)
    assert tree["deviations"] == [{"key": "margin", "planned": 0.01, "now": 0.03}]
    assert (tree["protocol"]["margin"], tree["statistics"]["margin"]) == (0.01, 0.03)
    page = (folder / "report.html").read_text("utf-8")
    assert page.index(told) < page.index('class="headline"')
    assert "fixed beforehand" not in page
    print_comparison(folder)
    assert told in capsys.readouterr().out.splitlines()
    assert manifest(folder)["changed"][0]["changes"] == {"compare.margin": [0.01, 0.03]}

    # by hand it is seen as well
    file = folder / "config.yaml"
    file.write_text(to_yaml(with_values(read_config(file), {"compare.margin": 0.02})))
    report_again(folder)
    assert figures(folder)["deviations"] == [{"key": "margin", "planned": 0.01, "now": 0.02}]


def test_progress_ends_with_everything_done(done):
    _, told = done
    last = told[-1]
    assert (last.trainings, last.total_trainings) == (12, 12)
    assert last.images == pytest.approx(last.total_images)


def test_a_killed_comparison_goes_on_to_the_same_figures(done, tmp_path):
    program = (
        "import sys; from fedcxr.cli.main import command;"
        "sys.argv = ['fedcxr', 'compare', '--quiet', *sys.argv[1:]]; command()"
    )
    settings = [f"{key}={value}" for key, value in TINY.items()]
    words = [word for setting in settings for word in ("--set", setting)]
    arms = ["--arms", "federated,centralized"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, "--runs-dir", str(tmp_path), *arms, *words],
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 120
    while not list(tmp_path.glob("*-compare/arms/*/checkpoints/round-00001*")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    (folder,) = tmp_path.glob("*-compare")
    assert f"fedcxr resume {folder}" in said
    assert manifest(folder)["status"] == "interrupted"
    assert not _alive(folder)
    resume_comparison(folder)
    whole = {arm["name"]: arm for arm in figures(done[0])["arms"]}
    for arm in figures(folder)["arms"]:
        expected = whole[arm["name"]]
        assert arm["macro_by_seed"] == expected["macro_by_seed"]
        assert arm["by_label"] == expected["by_label"]


def _alive(folder):
    """Return the processes that have a file of the folder open."""
    found = []
    for fd in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = os.readlink(fd)
        except OSError:
            continue
        if str(folder) in target:
            found.append(fd)
    return found


def test_a_training_that_fails_is_named_and_the_comparison_can_go_on(tmp_path):
    own = tmp_path / "wild.yaml"
    own.write_text("train:\n  learning_rate: 1.0e+30\n")
    config = configured(tmp_path, compare__arms=["federated"], compare__seeds=1)
    with pytest.raises(RunError, match=r"wild-seed-0: Round 1: .* the loss is not finite"):
        compare(config, extra_arms={"wild": own})
    (folder,) = tmp_path.glob("*-compare")
    assert manifest(folder)["status"] == "failed"
    assert manifest(folder / "arms/federated-seed-0")["status"] == "finished"


def test_the_best_rate_on_val_is_taken_for_each_arm(tmp_path):
    config = configured(
        tmp_path,
        compare__arms=["federated", "centralized"],
        compare__seeds=1,
        compare__learning_rates=[1e-5, 3e-3],
    )
    folder = compare(config)
    chosen = manifest(folder)["learning_rates"]
    for arm in ("federated", "centralized"):
        best = {}
        for rate in (1e-5, 3e-3):
            tried, kept = (folder / at / f"{arm}-seed-0" for at in (f"tuning/{rate}", "arms"))
            # the training at the best rate is the first seed's: it is moved, not done again
            assert tried.exists() == (rate != chosen[arm])
            lines = ((tried if tried.exists() else kept) / "rounds.jsonl").read_text()
            scores = [json.loads(line)["val_macro_auroc"] for line in lines.splitlines()]
            best[rate] = max(scores)
        assert chosen[arm] == max(best, key=best.get)
    tree = figures(folder)
    assert "tried by each arm" in tree["training"]["learning_rate_how"]
    assert tree["training"]["learning_rate"] is None
    told = {arm["name"]: arm["differs"] for arm in tree["arms"]}
    assert told == {arm: {"train.learning_rate": str(rate)} for arm, rate in chosen.items()}
    at_edges = [each for each in tree["warnings"] if each["kind"] == "rate-at-edge"]
    assert {each["arm"]: each["rate"] for each in at_edges} == chosen  # of two both are edges
    report_again(folder)
    assert figures(folder) == tree


def test_restarts_alone_tell_the_restarted_arm_from_the_centralized_one(tmp_path):
    config = configured(
        tmp_path,
        compare__arms=["federated", "centralized", "centralized-restarts"],
        compare__seeds=1,
    )
    folder = compare(config)
    digests = {}
    for arm in ("centralized", "centralized-restarts"):
        lines = (folder / "arms" / f"{arm}-seed-0" / "rounds.jsonl").read_text().splitlines()
        digests[arm] = [json.loads(line)["parameters_sha256"] for line in lines]
    one, other = digests.values()
    # the same up to the end of round 1, in which either optimiser is new
    assert [a == b for a, b in zip(one, other, strict=True)] == [True, True, False]
    tree = figures(folder)
    pairs = [(each["arm"], each["against"]) for each in tree["differences"]]
    assert pairs[1] == ("federated", "centralized-restarts")
    page = (folder / "report.html").read_text()
    assert "Against Centralized, optimiser restarted, the difference is" in page
    assert "In centralized-restarts it starts anew as well" in page


def test_restarts_where_nothing_restarts_are_refused_before_training(tmp_path):
    arms = ["federated", "centralized-restarts"]
    with pytest.raises(ConfigError, match="it never does there"):
        compare(configured(tmp_path, compare__arms=arms, train__moments="keep"))
    assert not list(tmp_path.glob("*-compare"))


@pytest.mark.parametrize(
    ("text", "words"),
    [("data:\n  views: all\n", "data differs"), ("seed: 4\n", "seed differs")],
)
def test_an_arm_on_other_patients_is_refused(tmp_path, text, words):
    own = tmp_path / "own.yaml"
    own.write_text(text)
    with pytest.raises(ConfigError, match=words):
        compare(configured(tmp_path), extra_arms={"own": own})
    assert not list(tmp_path.glob("*-compare"))


def test_a_name_that_is_taken_is_refused(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("train:\n  local_epochs: 2\n")
    with pytest.raises(ConfigError, match="choose another name"):
        compare(configured(tmp_path), extra_arms={"local": own})


def test_a_name_that_a_built_in_arm_would_have_is_refused_though_it_is_not_asked_for(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("train:\n  local_epochs: 2\n")
    config = configured(tmp_path, compare__arms=["federated"])
    with pytest.raises(ConfigError, match="choose another name"):
        compare(config, extra_arms={"centralized": own})


def test_a_prevalence_of_an_unknown_label_is_refused_before_training(tmp_path):
    config = configured(tmp_path, compare__prevalence={"Oedema": 0.1})
    with pytest.raises(ConfigError, match="no label Oedema"):
        compare(config)
    assert not list(tmp_path.glob("*-compare"))


def test_a_primary_label_that_the_run_has_not_is_refused_before_training(tmp_path):
    config = configured(tmp_path, compare__primary_labels=["Oedema"])
    with pytest.raises(ConfigError, match=r"compare\.primary_labels: the run has no label Oedema"):
        compare(config)
    assert not list(tmp_path.glob("*-compare"))


def test_an_unfinished_comparison_says_how_to_go_on(done, tmp_path):
    folder = tmp_path / "half"
    shutil.copytree(done[0], folder)
    (folder / "arms/federated-seed-1/site_predictions.npz").unlink()
    with pytest.raises(
        ArtefactError, match=f"federated-seed-1. Go on with `fedcxr resume {folder}"
    ):
        report_again(folder)


def test_a_folder_of_something_else_is_no_comparison(tmp_path):
    (tmp_path / "manifest.json").write_text('{"status": "finished"}')
    with pytest.raises(ArtefactError, match="not a comparison"):
        resume_comparison(tmp_path)
