"""Whole runs with parts that a user brought: used in every worker, or refused."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_end_to_end import tiny

from fedcxr import plugins
from fedcxr.engines.same_code import of_this_process_only
from fedcxr.errors import ConfigError
from fedcxr.experiments import resume, simulate
from fedcxr.inference import Predictor
from fedcxr.runs.folder import RunFolder
from fedcxr.training import losses
from fedcxr.training.losses import LOSSES, Loss

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
ENTRIES = """[fedcxr.models]
shuffle = exampleparts.own_model:shufflenet
[fedcxr.losses]
poly = exampleparts.own_loss:poly1
[fedcxr.schemes]
large = exampleparts.own_scheme:one_large
"""


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory):
    """The two examples as an installed package, with entry points."""
    place = tmp_path_factory.mktemp("installed")
    shutil.copytree(EXAMPLES, place / "exampleparts")
    (place / "exampleparts" / "__init__.py").touch()
    about = place / "exampleparts-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: exampleparts\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRIES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(plugins.PLUGIN_PATH, "")
        patch.setattr(plugins, "_allowed", None)
        patch.syspath_prepend(str(place))
        plugins._entry_points.cache_clear()
        yield
    plugins._entry_points.cache_clear()


def with_parts(folder, *, model="exampleparts.own_model:shufflenet", loss=None, **changes):
    loss = loss or "exampleparts.own_loss:poly1"
    return tiny(folder, model__name=model, train__loss=loss, **changes)


def digest(run):
    return run.summary["parameters_sha256"]


@contextlib.contextmanager
def patched_bce(kind):
    """bce replaced in this process, by its entry or by the function that the entry returns."""

    def mine(logits, target):
        return (logits - target) ** 2

    with pytest.MonkeyPatch.context() as patch:
        if kind == "entry":
            patch.setitem(LOSSES._values, "bce", Loss(lambda config, target, device: mine))
        else:
            patch.setattr(losses, "binary_cross_entropy", mine)
        yield


@pytest.mark.parametrize("kind", ["entry", "function"])
def test_a_loss_that_was_changed_in_this_process_only_is_refused_with_workers(tmp_path, kind):
    named = "train.loss = bce" if kind == "entry" else "binary_cross_entropy"
    with patched_bce(kind), pytest.raises(ConfigError, match=f"{named}.*was added or changed"):
        simulate(tiny(tmp_path, engine__workers=3))
    assert not list(tmp_path.iterdir())


def test_a_loss_that_workers_do_not_have_is_refused(tmp_path):
    # row 38 of the bad-input table
    LOSSES.add("of_a_cell", LOSSES.get("bce"))
    try:
        with pytest.raises(ConfigError, match=r"In a worker: train\.loss: there is no loss"):
            simulate(tiny(tmp_path, engine__workers=2, train__loss="of_a_cell"))
    finally:
        LOSSES.remove("of_a_cell")


def test_what_a_notebook_cell_defined_is_said(tmp_path, monkeypatch):
    def cell(logits, target):
        return (logits - target) ** 2

    cell.__module__ = "__main__"
    monkeypatch.setattr(losses, "binary_cross_entropy", cell)
    found = of_this_process_only(tiny(tmp_path))
    assert found == ["fedcxr.training.losses.binary_cross_entropy"]
    monkeypatch.undo()
    assert of_this_process_only(tiny(tmp_path)) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Ray's own
def test_own_model_and_loss_give_one_digest_under_any_number_of_workers_and_ray(tmp_path):
    by_entry_point = {"model": "shuffle", "loss": "poly"}
    runs = [
        simulate(with_parts(tmp_path / "one", engine__workers=1)),
        simulate(with_parts(tmp_path / "two", engine__workers=2)),
        simulate(with_parts(tmp_path / "ray", engine__workers=2, engine__kind="ray")),
        simulate(with_parts(tmp_path / "entry", engine__workers=4, **by_entry_point)),
    ]
    assert len({digest(run) for run in runs}) == 1
    assert digest(simulate(with_parts(tmp_path / "bce", loss="bce"))) != digest(runs[0])
    manifests = [RunFolder.open(run.path).read_json("manifest.json") for run in runs]
    assert len({manifest["code_digest"] for manifest in manifests}) == 1
    assert manifests[0]["plugins"] == manifests[3]["plugins"]
    assert [entry["key"] for entry in manifests[0]["plugins"]] == ["model.name", "train.loss"]
    assert all(manifest["sites_with_other_code"] == [] for manifest in manifests)


@pytest.mark.slow
def test_a_run_with_own_parts_is_resumed_and_evaluated(tmp_path):
    whole = simulate(with_parts(tmp_path / "whole"))
    halted = simulate(with_parts(tmp_path / "halted"))
    run = RunFolder.open(halted.path)
    for file in ("summary.json", "report.html", "checkpoints/round-00002.safetensors"):
        (run.path / file).unlink()
    run.replace_lines("rounds.jsonl", run.read_lines("rounds.jsonl")[:-1])
    run.update_manifest(status="interrupted")
    assert digest(resume(run.path)) == digest(whole)
    assert run.read_json("manifest.json")["resumed"][-1]["other"] == []
    images = np.zeros((2, 32, 32), np.uint8)
    assert Predictor.open(run.path).probs(images).shape[0] == 2


SHORT = {"server__rounds": 1, "explain__images_per_outcome": 0, "explain__max_boxes": 0}
OWN = {
    "train__optimizer": "own_optimizer:sign_descent",
    "train__augment__name": "own_augmentation:random_erasing",
    "algorithm__name": "own_server:damped",
    "server__aggregator": "own_server:midrange",
}


@pytest.mark.slow
def test_every_other_own_part_gives_one_digest_under_one_and_two_workers(tmp_path):
    plain = digest(simulate(tiny(tmp_path / "plain", **SHORT)))
    for key, name in OWN.items():
        part = SHORT | {key: f"exampleparts.{name}"}
        runs = [
            simulate(tiny(tmp_path / f"{key}{workers}", engine__workers=workers, **part))
            for workers in (1, 2)
        ]
        assert digest(runs[0]) == digest(runs[1]), key
        assert digest(runs[0]) != plain, key
        (brought,) = RunFolder.open(runs[0].path).read_json("manifest.json")["plugins"]
        assert (brought["key"], brought["reference"]) == (key.replace("__", "."), part[key])


@pytest.mark.slow
def test_an_own_scheme_and_explanation_are_used_and_found_again(tmp_path):
    method = "exampleparts.own_explanation:gradient_times_input"
    own = tiny(tmp_path, partition__scheme="large", explain__methods=(method, "gradcam"))
    run = RunFolder.open(simulate(own).path)
    manifest = run.read_json("manifest.json")
    assert [entry["key"] for entry in manifest["plugins"]] == [
        "partition.scheme",
        "explain.methods[0]",
    ]
    sizes = [site["patients"] for site in run.read_json("partition/plan.json")["sites"]]
    assert sizes[0] > 1.5 * max(sizes[1:])
    overlays = run.path / "exampleparts-own_explanation-gradient_times_input"
    assert list(overlays.glob("*.png"))
    assert "gradient_times_input" in (run.path / "report.html").read_text("utf-8")
    images = np.zeros((1, 32, 32), np.uint8)
    heat = Predictor.open(run.path).heat_maps(images, [0], method).heat
    assert heat.shape == (1, 32, 32)
