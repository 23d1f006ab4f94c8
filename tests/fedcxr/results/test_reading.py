"""The one door: a run and a comparison as typed results, and what is refused there."""

import json

import numpy as np
import pytest
from comparison_example import make_comparison, put, typed
from fake_run import change, write_run

from fedcxr.errors import ArtefactError, ConfigError
from fedcxr.results.reading import is_comparison, read_result

FEW = {"labels": ("Edema", "Pneumonia"), "undefined": ()}
TWO = ("Edema", "Fracture")


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", num_sites=3, labels=TWO, undefined=(), rounds=3)


def test_a_run_is_a_comparison_of_one_arm(run):
    found = read_result(run)
    summary = json.loads((run / "summary.json").read_text())
    (arm,) = found.arms
    assert arm.macro_auroc.value == summary["macro_auroc"]
    assert arm.macro_auroc.ci == tuple(summary["macro_auroc_ci"])
    assert arm.by_label["Edema"].positives == summary["auroc"]["Edema"]["positives"]
    assert list(arm.curves) == list(TWO)
    assert (found.primary, found.endpoint, found.protocol) == (None, None, None)
    assert found.data.labels == TWO
    assert found.data.synthetic
    assert found.data.partition.clients == 3
    assert [line.round for line in found.run.rounds] == [0, 1, 2, 3]
    whole, *sites = arm.learning
    assert whole.val_macro_auroc[3] == found.run.rounds[3].val_macro_auroc
    assert [curve.site for curve in sites] == ["site-00", "site-01", "site-02"]
    assert arm.bytes_down == 3 * 4_206_172
    # batches of 32 of the largest site, a round; each site once
    largest = max(site.train_images for site in found.run.plan.sites)
    assert arm.steps == 3 * (largest // 32 + (largest % 32 > 1)) * found.training.local_epochs


def test_what_is_positive_is_counted_in_each_split(run):
    found = read_result(run).label_frequencies["Edema"]
    assert found.train == (40, 58)  # of the manifest: 40 positive, 18 negative
    assert found.val == found.test  # the made-up run has the same in both
    assert not write_summary_without_counts(run).label_frequencies


def write_summary_without_counts(run):
    counts = json.loads((run / "manifest.json").read_text())["label_counts"]
    change(run / "manifest.json", label_counts={**counts, "after": None, "reason": "at the sites"})
    return read_result(run)


def test_a_run_that_was_stopped_has_rounds_and_no_scores(tmp_path):
    found = read_result(write_run(tmp_path / "run", finished=False, rounds=2, num_sites=2))
    assert found.run.summary is None
    assert found.run.best_round in (1, 2)
    assert found.arms[0].by_label == found.arms[0].curves == {}
    assert found.arms[0].macro_auroc.reason == "no test result yet"


def test_real_data_are_not_called_synthetic(run):
    data = json.loads((run / "manifest.json").read_text())["data"]
    change(run / "manifest.json", data={**data, "source": "nih14"})
    assert not read_result(run).data.synthetic


def test_a_round_written_twice_counts_once_and_the_later_line_wins(run):
    lines = (run / "rounds.jsonl").read_text().splitlines()
    again = json.dumps({**json.loads(lines[1]), "val_loss": 0.123})
    (run / "rounds.jsonl").write_text("\n".join([*lines, again]) + '\n{"round": 4, "val_l')
    rounds = read_result(run).run.rounds
    assert [line.round for line in rounds] == [0, 1, 2, 3]  # cut off by a crash: dropped
    assert rounds[1].val_loss == 0.123


def test_the_state_before_training_is_never_the_best_round(tmp_path):
    run = write_run(tmp_path / "run", finished=False, num_sites=1, labels=["Edema"], rounds=2)
    lines = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    for line, auroc in zip(lines, (0.9, 0.5, 0.6), strict=True):
        line["val_macro_auroc"] = auroc
    (run / "rounds.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_result(run).run.best_round == 2


def test_scores_by_study_are_joined_by_study(run):
    with np.load(run / "predictions.npz") as file:
        arrays = dict(file)
    arrays["score_by"] = np.array("study")
    np.savez(run / "predictions.npz", **arrays)
    # each patient of the made-up run has one study
    assert read_result(run).arms[0].scored == len(np.unique(arrays["patient_id"]))


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("manifest.json", "{", r"manifest\.json: not JSON"),
        ("manifest.json", '{"status": "running"}', r"manifest\.json: fedcxr is missing, run is"),
        ("partition/plan.json", "{}", r"plan\.json: scheme is missing"),
        ("rounds.jsonl", "not json\n", r"rounds\.jsonl: a line is not a round"),
        ("rounds.jsonl", '{"val_loss": 1}\n', r"rounds\.jsonl: line 1: round is missing"),
        ("summary.json", '{"macro_auroc": 0.8}', r"summary\.json: macro_auroc_ci is missing"),
        ("predictions.npz", "PK not a zip", r"predictions\.npz: not the predictions"),
    ],
)
def test_a_damaged_file_of_a_run_is_named_with_what_is_wrong(run, file, text, words):
    (run / file).write_text(text)
    with pytest.raises(ArtefactError, match=words):
        read_result(run)


def test_a_test_set_that_is_none_is_refused(run):
    data = json.loads((run / "manifest.json").read_text())["data"]
    change(run / "manifest.json", data={**data, "test_set": {"parts": "valid.csv"}})
    with pytest.raises(ArtefactError, match=r"manifest\.json: data\.test_set is"):
        read_result(run)


def test_predictions_with_objects_in_them_are_not_unpickled(run):
    np.savez(run / "predictions.npz", probs=np.array([object()], dtype=object))
    with pytest.raises(ArtefactError, match="not the predictions"):
        read_result(run)


def test_a_configuration_of_another_version_is_refused_by_its_key(run):
    (run / "config.yaml").write_text("a_key_of_the_future: 1\n")
    with pytest.raises(ConfigError, match="a_key_of_the_future"):
        read_result(run)


def test_a_folder_that_is_neither_is_refused(tmp_path):
    with pytest.raises(ArtefactError, match="not a run folder"):
        read_result(tmp_path)
    assert not is_comparison(tmp_path)


def test_a_comparison_is_read_by_the_same_door(tmp_path):
    tree = make_comparison(**FEW)
    found = read_result(put(tmp_path, tree))
    assert found == typed(tree)
    assert found.run is None
    assert [arm.name for arm in found.arms] == ["federated", "centralized", "local"]


def test_a_comparison_that_was_not_judged_yet_is_to_be_finished(tmp_path):
    (tmp_path / "manifest.json").write_text('{"kind": "comparison"}')
    assert is_comparison(tmp_path)
    with pytest.raises(ArtefactError, match=r"comparison\.json: missing. Finish the run first"):
        read_result(tmp_path)


def test_the_page_is_about_federated_against_centralized_wherever_it_stands():
    tree = make_comparison(**FEW)
    tree["differences"].reverse()
    found = typed(tree)
    assert (found.primary.arm, found.primary.against) == ("federated", "centralized")
    other = typed(make_comparison(arms=("fedprox", "federated"), **FEW))
    assert (other.primary.arm, other.main_arm.name) == ("fedprox", "fedprox")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("format",), 1, "format 1, this fedcxr reads format 4"),
        (("arms",), [], "no arm was judged yet"),
        (("arms",), {}, r"arms is \{\}"),
        (("arms", 0, "macro_auroc"), "0.8", r"arms\[0\].macro_auroc is '0.8'"),
        (("arms", 0, "macro_auroc", "ci"), [0.1], r"arms\[0\].macro_auroc.ci"),
        (("arms", 1, "name"), "federated", "arms has the name federated again"),
        (("data", "synthetic"), "perhaps", "data.synthetic is 'perhaps'"),
        (("differences", 0, "by_label", "Edema", "p"), "x", r"by_label.Edema.p is 'x'"),
        (("differences", 0, "against"), "b", "differences name b, which no arm is"),
        (("later",), 1, "later is not known"),
    ],
)
def test_a_comparison_that_does_not_fit_is_refused_with_the_place(tmp_path, place, value, words):
    tree = make_comparison(**FEW)
    inner = tree
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(ArtefactError, match=words):
        read_result(put(tmp_path, tree))


def test_a_file_cut_short_says_so(tmp_path):
    (tmp_path / "comparison.json").write_text('{"format": 1, "arms": [', "utf-8")
    with pytest.raises(ArtefactError, match="not JSON"):
        read_result(tmp_path)
