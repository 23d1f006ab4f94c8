"""Whole runs that could end wrong without a word, or could not be gone on with."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clients import app as clients_app
from fedcxr.config import load_config
from fedcxr.data.read import read_dataset
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.data.tokens import load_key
from fedcxr.errors import ArtefactError, ConfigError, DivergedError, QuorumError
from fedcxr.experiments import resume, simulate
from fedcxr.experiments.apply import evaluate_run
from fedcxr.runs.checkpoint_files import checkpoint_file, checkpoint_rounds
from partitions.export import export_global
from partitions.plan import read_plan

pytestmark = pytest.mark.usefixtures("no_page")

TINY = {
    "data.synthetic.patients": 90,
    "data.synthetic.size_px": 48,
    "model.image_size": 32,
    "partition.clients": 3,
    "server.rounds": 3,
    "explain.labels": 1,
    "explain.images_per_outcome": 0,
    "explain.max_boxes": 0,
    "engine.workers": 1,
    "engine.precision": "fp32",
}


def tiny(folder: Path, **changes):
    keys = {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(overrides={**TINY, "runs_dir": str(folder), "name": "tiny", **keys})


def cut_off_after(run: Path, round_num: int) -> Path:
    """Make a finished run look as if it had been killed after a round."""
    for later in checkpoint_rounds(run / "checkpoints"):
        if later > round_num:
            checkpoint_file(run / "checkpoints", later).unlink()
    (run / "summary.json").unlink()
    manifest = read(run, "manifest.json")
    (run / "manifest.json").write_text(json.dumps({**manifest, "status": "running"}))
    return run


def read(run: Path, name: str):
    return json.loads((run / name).read_text())


def lines(run: Path):
    return [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return simulate(tiny(tmp_path_factory.mktemp("runs")))


@pytest.fixture
def sends(monkeypatch):
    """Let a site send another update in one round."""
    honest = clients_app.train_order

    def instead(site_id, round_num, change):
        def train_order(location, site, task, order, **more):
            made = honest(location, site, task, order, **more)
            if (site.site_id, order.round_num) != (site_id, round_num):
                return made
            return replace(made, vectors={**made.vectors, "update": change(made.given)})

        monkeypatch.setattr(clients_app, "train_order", train_order)

    return instead


def huge(given):
    """Every number finite and as large as float32 can hold, its sign alternating."""
    update = np.full_like(given, 3e38)
    update[::2] *= -1
    update[len(update) - 2000 :] = 0  # no negative variance
    return np.where(given >= 0, np.abs(update), update)


class TestGoingOn:
    def test_a_run_that_began_with_a_file_goes_on_without_it_to_the_same_bits(
        self, finished, tmp_path
    ):
        weights = tmp_path / "start.safetensors"
        weights.write_bytes(checkpoint_file(finished.path / "checkpoints", 3).read_bytes())
        run = simulate(tiny(tmp_path, model__weights=str(weights)))
        whole = run.summary["parameters_sha256"]
        started = read(run.path, "manifest.json")["starting_weights"]
        assert started["new"] == []
        assert len(started["copied"]) == 14
        weights.unlink()
        again = resume(cut_off_after(run.path, 2))
        assert again.summary["parameters_sha256"] == whole

    def test_what_only_operates_a_run_may_be_changed_and_is_noted(self, tmp_path):
        run = simulate(tiny(tmp_path))
        whole = run.summary["parameters_sha256"]
        cut_off_after(run.path, 2)
        again = resume(run.path, settings=["server.quorum=0.2", "engine.workers=2"])
        assert again.summary["parameters_sha256"] == whole
        (noted,) = read(run.path, "manifest.json")["resumed"]
        assert noted["changed"] == {"engine.workers": [1, 2], "server.quorum": [0.5, 0.2]}
        assert "quorum: 0.2" in (run.path / "config.yaml").read_text()

    def test_what_decides_the_weights_may_not_be_changed(self, finished, tmp_path):
        # row 25 of the bad-input table
        run = simulate(tiny(tmp_path)).path
        cut_off_after(run, 2)
        with pytest.raises(ConfigError, match=r"server\.rounds: a run that goes on cannot change"):
            resume(run, settings=["server.rounds=9", "server.quorum=0.2"])
        changed = (run / "config.yaml").read_text().replace("beta1: 0.9", "beta1: 0.8")
        (run / "config.yaml").write_text(changed)
        with pytest.raises(ArtefactError, match=r"configuration: train\.beta1 was 0\.9, is 0\.8"):
            resume(run)

    def test_the_advice_of_a_run_without_a_quorum_is_one_that_works(self, tmp_path, monkeypatch):
        # row 21 of the bad-input table
        honest = clients_app.train_order

        def fails(location, site, task, order, **more):
            if order.round_num == 2 and site.site_id != "site-02":
                raise DivergedError("made up")
            return honest(location, site, task, order, **more)

        monkeypatch.setattr(clients_app, "train_order", fails)
        with pytest.raises(QuorumError) as caught:
            simulate(tiny(tmp_path))
        said = str(caught.value)
        assert "site-00: the loss is not finite; lower train.learning_rate" in said
        path, setting = re.search(r"fedcxr resume (\S+) --set (\S+)$", said).groups()
        again = resume(Path(path), settings=[setting])
        assert again.summary["participation"]["site-00"] == {
            "asked": 3,
            "counted": 2,
            "missing": [],
            "refused": [2],
            "skipped": [],
        }


class TestOneSite:
    def test_an_update_that_is_far_too_long_is_refused_and_the_run_ends_well(self, tmp_path, sends):
        sends("site-01", 2, huge)
        run = simulate(tiny(tmp_path))
        (refused,) = lines(run.path)[2]["refused"]
        assert refused["site_id"] == "site-01"
        assert "by the rounds before" in refused["reason"]
        assert refused["update_norm"] > 1e38
        assert all(line["taken"] for line in lines(run.path)[1:])

    def test_a_new_model_that_predicts_nothing_is_not_taken(self, tmp_path, sends):
        # In round 1 there is no norm to compare with, and this one passes every other check.
        sends("site-01", 1, huge)
        run = simulate(tiny(tmp_path))
        before, spoilt, after = lines(run.path)[:3]
        assert spoilt["taken"] is False
        assert "not finite; the one before it was kept" in spoilt["reason"]
        assert spoilt["val_macro_auroc"] is None
        assert max(row["update_norm"] for row in spoilt["sites"]) > 1e38
        assert spoilt["parameters_sha256"] == before["parameters_sha256"]
        assert after["taken"] is True
        assert after["val_macro_auroc"] is not None
        assert run.summary["refused_rounds"] == [1]
        # Nobody's update came into the model in that round.
        assert run.summary["participation"]["site-00"]["counted"] == 2

    def test_a_run_cut_off_after_such_a_round_goes_on_to_the_same_bits(self, tmp_path, sends):
        sends("site-01", 1, huge)
        run = simulate(tiny(tmp_path))
        whole = run.summary["parameters_sha256"]
        again = resume(cut_off_after(run.path, 2))
        assert again.summary["parameters_sha256"] == whole


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A run on a data set of one's own, with tokens under a secret key, and the data set."""
    folder = tmp_path_factory.mktemp("own")
    data = write_synthetic(folder / "data", patients=60, size_px=48)
    return simulate(tiny(folder / "runs", data__root=str(data), server__rounds=1)).path, data


class TestOtherData:
    def test_under_another_key_nobody_is_scored_without_a_word(self, own, tmp_path, monkeypatch):
        # row 33 of the bad-input table
        run, data = own
        right = evaluate_run(run, data, split="all")
        assert right["left_out_images"] > 0
        (tmp_path / "another.key").write_bytes(bytes(range(32)))
        (tmp_path / "another.key").chmod(0o600)
        monkeypatch.setenv("FEDCXR_PATIENT_KEY", str(tmp_path / "another.key"))
        with pytest.raises(
            ArtefactError, match=r"patient key \w{8}, yours is \w{8}: set FEDCXR_PATIENT_KEY"
        ):
            evaluate_run(run, data, split="all")
        # said on purpose, and kept in the result
        said = evaluate_run(run, data, split="all", other_patients=True)
        assert said["left_out_images"] == 0
        assert said["patients"]["said_to_be_others"] is True
        assert said["patients"]["compared_with"] == 0

    def test_a_lost_key_is_not_made_anew_for_it(self, own, tmp_path, monkeypatch):
        # row 33 of the bad-input table
        run, data = own
        monkeypatch.setenv("FEDCXR_PATIENT_KEY", str(tmp_path / "lost.key"))
        with pytest.raises(ArtefactError, match=r"is not here .*lost\.key"):
            evaluate_run(run, data)
        assert not (tmp_path / "lost.key").exists()

    def test_where_the_sites_tables_are_not_there_the_user_must_say_so(self, own, tmp_path):
        run, data = own
        real = tmp_path / "run"
        shutil.copytree(run, real)
        plan = read_plan(run / "partition")
        shutil.rmtree(real / "partition")
        export_global(plan, read_dataset(data, views="frontal"), load_key(), real / "partition")
        with pytest.raises(ArtefactError, match=r"stayed with the sites, .*--other-patients"):
            evaluate_run(real, data)
        known = evaluate_run(real, data, split="all", other_patients=True)
        assert known["left_out_images"] > 0  # the server's own validation patients are known


class TestChangedData:
    @pytest.fixture
    def stopped(self, tmp_path):
        """A run on a data set of one's own that was stopped after its second round."""
        data = write_synthetic(tmp_path / "data", patients=60, size_px=48)
        run = simulate(tiny(tmp_path / "runs", data__root=str(data))).path
        return cut_off_after(run, 2), data

    def test_a_run_does_not_go_on_with_other_pixels_without_a_word(self, stopped):
        # row 34 of the bad-input table
        run, data = stopped
        for file in data.rglob("*.jpg"):
            with Image.open(file) as image:
                Image.eval(image.convert("L"), lambda value: 255 - value).save(file, quality=95)
        before = (run / "rounds.jsonl").read_bytes()
        with pytest.raises(ArtefactError, match=r"images with other pixels.*accept-changed-data"):
            resume(run)
        assert (run / "rounds.jsonl").read_bytes() == before
        done = resume(run, settings=["data.accept_changed_data=true"])
        (noted,) = read(done.path, "manifest.json")["data_changes"]
        assert noted["pixels"] > 100
        assert noted["labels"] == 0
        assert read(done.path, "manifest.json")["status"] == "finished"

    def test_what_was_accepted_once_is_not_accepted_for_good(self, stopped):
        run, data = stopped
        with (data / "train.csv").open() as file:
            head, *rows = file.read().splitlines()
        column = head.split(",").index("Support Devices")

        def write(value):
            changed = [row.split(",") for row in rows]
            for cells in changed:
                cells[column] = value
            text = "\n".join([head, *(",".join(cells) for cells in changed)]) + "\n"
            (data / "train.csv").write_text(text)

        write("1.0")
        resume(run, settings=["data.accept_changed_data=true"])
        cut_off_after(run, 2)
        write("0.0")
        with pytest.raises(ArtefactError, match="Support Devices was positive, is negative"):
            resume(run)


def test_the_proof_says_what_was_compared_where_and_when(finished):
    proof = finished.summary["disjoint"]
    assert proof["verified"] is True
    assert (proof["sets"], proof["pairs_checked"]) == (8, 28)
    assert proof["compared"] == "patients and images, by their tokens"
    assert proof["at"] >= read(finished.path, "manifest.json")["created"][:10]
    assert proof["reason"] is None


def test_scores_are_computed_in_float32_whatever_the_training_computes_in(tmp_path):
    # bf16 has 8 bits: of these images many would share a probability, and could not be ranked
    run = simulate(tiny(tmp_path, engine__precision="bf16", server__rounds=1))
    with np.load(run.path / "predictions.npz") as kept:
        probs = kept["probs"]
    assert min(len(np.unique(column)) for column in probs.T) > 0.95 * len(probs)
