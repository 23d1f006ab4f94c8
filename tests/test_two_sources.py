"""Whole runs over two data sets at once: CheXpert is some sites, NIH ChestX-ray14 is others."""

import json

import numpy as np
import pytest

from fedcxr.config import load_config
from fedcxr.data.read import read_dataset
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.experiments import simulate
from fedcxr.experiments.apply import evaluate_run
from fedcxr.parameters import ParameterSpec, load_parameters
from partitions.table import read_table

pytestmark = pytest.mark.usefixtures("no_page")

COMMON = {
    "Cardiomegaly",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
}
TINY = {
    "model.image_size": 32,
    "server.rounds": 1,
    "explain.labels": 1,
    "explain.images_per_outcome": 1,
    "engine.workers": 1,
    "engine.precision": "fp32",
    "partition.scheme": "by-source",
    "partition.clients": 2,
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two-sources")
    return [
        write_synthetic(folder / layout, patients=60, size_px=48, layout=layout, seed=seed)
        for seed, layout in enumerate(("chexpert", "nih14"))
    ]


@pytest.fixture(scope="module")
def joined(roots, tmp_path_factory):
    runs_dir = str(tmp_path_factory.mktemp("two-sources-runs"))
    keys = {"data.root": [str(root) for root in roots], "runs_dir": runs_dir}
    return simulate(load_config(overrides=TINY | keys))


def test_each_source_is_a_site_and_the_labels_are_the_common_ones(joined):
    plan = json.loads((joined.path / "partition" / "plan.json").read_text())
    assert set(plan["labels"]) == COMMON
    assert {site["holds"] for site in plan["sites"]} == {"chexpert", "nih14"}
    assert joined.summary["macro_auroc"] is not None


def test_a_label_that_a_source_lacks_is_masked_and_not_negative(roots, tmp_path):
    keys = {
        "data.root": [str(root) for root in roots],
        "data.labels": ["Edema", "Fracture"],
        "runs_dir": str(tmp_path),
    }
    run = simulate(load_config(overrides=TINY | keys))
    plan = json.loads((run.path / "partition" / "plan.json").read_text())
    counts = {site["holds"]: site["label_counts"]["Fracture"] for site in plan["sites"]}
    assert counts["nih14"]["masked"] > 0
    assert counts["nih14"]["negative"] + counts["nih14"]["blank"] == 0
    assert counts["chexpert"]["masked"] == 0
    test = run.summary["auroc"]["Fracture"]
    frontal = read_dataset(roots[0], views="frontal").records
    assert test["positives"] + test["negatives"] == sum(r.split == "test" for r in frontal)


def test_other_data_are_scored_without_the_patients_that_a_join_trained_on(joined, roots):
    partition = joined.path / "partition"
    files = [partition / "global" / "val.csv", *(partition / "sites").glob("*.csv")]
    learned = sum(len(read_table(file)) for file in files)
    scores = [evaluate_run(joined.path, root, split="all") for root in roots]
    assert sum(one["left_out_images"] for one in scores) == learned
    # NIH says Effusion where the model says Pleural Effusion
    assert [set(one["auroc"]) for one in scores] == [COMMON, COMMON]


def test_a_label_of_one_source_alone_is_held_back_by_the_mean_and_not_by_the_label_mean(
    roots, tmp_path
):
    moved, images = {}, {}
    for aggregator in ("mean", "label-mean"):
        keys = {
            "data.root": [str(root) for root in roots],
            "data.labels": ["Edema", "Fracture"],
            "server.aggregator": aggregator,
            "runs_dir": str(tmp_path / aggregator),
        }
        run = simulate(load_config(overrides=TINY | keys)).path
        before, after = (_head_of(run, round_num) for round_num in (0, 1))
        moved[aggregator] = after - before
        (line,) = (json.loads(x) for x in (run / "rounds.jsonl").read_text().splitlines()[1:])
        images = {site["site_id"]: site["num_examples"] for site in line["sites"]}
        plan = json.loads((run / "partition" / "plan.json").read_text())
        holds = {site["holds"]: site["site_id"] for site in plan["sites"]}
    # NIH's site knows no fracture: its row came back as it was, at the weight of its images
    share = images[holds["chexpert"]] / sum(images.values())
    edema, fracture = 0, 1
    np.testing.assert_allclose(
        moved["mean"][fracture], share * moved["label-mean"][fracture], atol=2e-7
    )
    assert np.abs(moved["label-mean"][fracture]).max() > 1e-4
    assert 0.2 < share < 0.8
    # both know edema, each nearly all of it
    np.testing.assert_allclose(moved["mean"][edema], moved["label-mean"][edema], atol=2e-4)


def _head_of(run, round_num):
    """Return the (L, F) weights of the head after a round."""
    file = run / "checkpoints" / f"round-{round_num:05d}.safetensors"
    parameters, metadata = load_parameters(file)
    spec = ParameterSpec.from_json(metadata["fedcxr.spec"])
    at = spec.names.index("network.classifier.weight")
    start, size = spec.offsets[at], spec.sizes[at]
    return parameters.vector[start : start + size].reshape(spec.shapes[at])
