"""`fedcxr resume` of a run whose newest checkpoint is damaged, another's, or no checkpoint."""

import json
import os
import shutil
import struct

import pytest
import torch

from fedcxr.config.load import load_config
from fedcxr.config.model import ModelConfig
from fedcxr.experiments import simulate
from fedcxr.models.architectures import random_model
from fedcxr.parameters import extract, load_parameters, save_parameters, spec_of
from fedcxr.runs.checkpoint_files import checkpoint_file

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]

TINY = {
    "data.synthetic.patients": 90,
    "data.synthetic.size_px": 48,
    "model.image_size": 32,
    "partition.clients": 3,
    "server.rounds": 2,
    "explain.images_per_outcome": 0,
    "explain.max_boxes": 0,
    "engine.workers": 1,
    "engine.precision": "fp32",
    "name": "tiny",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    runs = str(tmp_path_factory.mktemp("runs"))
    return simulate(load_config(overrides={**TINY, "runs_dir": runs}))


@pytest.fixture
def stopped(finished, tmp_path):
    """A run that was cut off after its last round, and the checkpoint of that round."""
    run = tmp_path / finished.path.name
    shutil.copytree(finished.path, run)
    (run / "summary.json").unlink()
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "status": "running"}))
    return run, checkpoint_file(run / "checkpoints", 2)


class Canary:
    """Makes a folder where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def truncated(file):
    file.write_bytes(file.read_bytes()[:-5])


def with_a_flipped_bit(file):
    data = bytearray(file.read_bytes())
    data[-3] ^= 0x10
    file.write_bytes(bytes(data))


def of_another(model, outputs):
    """Put another network's values into a checkpoint that says all else as before."""

    def change(file):
        metadata = load_parameters(file)[1]
        kept = {key: metadata[key] for key in ("arithmetic", "outputs", "state")}
        other = random_model(ModelConfig(name=model, image_size=32), outputs, seed=0)
        save_parameters(file, extract(other, spec_of(other)), spec_of(other), kept)

    return change


def with_code(file):
    torch.save({"a": torch.zeros(1), "b": Canary(file.parent / "canary")}, file)


def with_a_long_header(file):
    with file.open("wb") as opened:
        opened.write(struct.pack("<Q", 100 * 2**30))
        opened.truncate(8 + 100 * 2**30)  # a hole: it takes no room on the disk


def with_overlapping_tensors(file):
    spans = {"vector": [0, 8], "counters": [4, 12]}
    header = {
        name: {"dtype": "F32", "shape": [2], "data_offsets": span} for name, span in spans.items()
    }
    raw = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(12))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        # row 24
        (truncated, ["truncated", "Delete it to go on from round 1."]),
        (with_a_flipped_bit, ["sha256 is not the one", "Delete it to go on from round 1."]),
        # row 25
        (of_another("densenet121", 14), ["made for another model or label list", "is unknown"]),
        (of_another("densenet_small", 5), ["classifier.weight is [5, ", "expected [14, "]),
        # row 26
        (with_code, ["a pickle or zip (.pt, .pth)", "Delete it to go on from round 1."]),
        # row 27
        (with_a_long_header, ["not a safetensors file", "Delete it to go on from round 1."]),
        (with_overlapping_tensors, ["overlap or leave gaps", "Delete it to go on from round 1."]),
    ],
    ids=["truncated", "flipped", "architecture", "labels", "code", "header", "overlap"],
)
def test_what_is_no_checkpoint_of_the_run_is_refused_and_nothing_is_lost(
    stopped, run_main, change, words
):
    # row 24 of the bad-input table
    # row 25 of the bad-input table
    # row 26 of the bad-input table
    # row 27 of the bad-input table
    run, file = stopped
    others = [checkpoint_file(run / "checkpoints", 1), run / "rounds.jsonl"]
    before = {path: path.read_bytes() for path in others}
    change(file)
    code, _, err = run_main("resume", str(run), "--quiet")
    assert code == 4
    assert f"fedcxr: {file}: " in err
    for word in words:
        assert word in err
    assert "Traceback" not in err
    assert {path: path.read_bytes() for path in before} == before
    assert not (run / "checkpoints" / "canary").exists()


def test_a_run_goes_on_from_the_round_before_to_the_same_bits(stopped, run_main, finished):
    # row 24 of the bad-input table
    run, file = stopped
    truncated(file)
    assert run_main("resume", str(run), "--quiet")[0] == 4
    file.unlink()  # as the message says
    code, _, err = run_main("resume", str(run), "--quiet")
    assert (code, err) == (0, "")
    summary = json.loads((run / "summary.json").read_text())
    assert summary["parameters_sha256"] == finished.summary["parameters_sha256"]


def test_a_changed_configuration_is_refused_with_the_difference(stopped, run_main):
    # row 25 of the bad-input table
    run, _ = stopped
    written = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(written.replace("beta1: 0.9", "beta1: 0.8"))
    code, _, err = run_main("resume", str(run), "--quiet")
    assert code == 4
    assert "another configuration: train.beta1 was 0.9, is 0.8" in err
    assert "put config.yaml back as it was" in err
