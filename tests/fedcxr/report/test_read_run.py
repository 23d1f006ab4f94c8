import json

import numpy as np
import pytest
from fake_run import change, write_run

from fedcxr.errors import ArtefactError
from fedcxr.report.read_run import read_run


def test_a_whole_run_is_read(tmp_path):
    view = read_run(write_run(tmp_path / "run", num_sites=3, labels=["Edema", "Fracture"]))
    assert view.labels == ("Edema", "Fracture")
    assert [site["site_id"] for site in view.sites] == ["site-00", "site-01", "site-02"]
    assert [line["round"] for line in view.rounds] == list(range(9))
    assert view.predictions.probs.shape == view.predictions.target.shape
    assert view.config.model.name == "densenet_small"
    assert len(view.heat_maps) == 12
    assert view.is_synthetic


def test_real_data_are_not_called_synthetic(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema"])
    change(run / "manifest.json", data={"layout": "nih14", "source": "nih14"})
    change(run / "partition" / "plan.json", source="nih14")
    assert not read_run(run).is_synthetic


def test_a_folder_without_a_manifest_is_no_run(tmp_path):
    with pytest.raises(ArtefactError, match="not a run folder"):
        read_run(tmp_path)


def test_a_bare_manifest_is_enough(tmp_path):
    (tmp_path / "manifest.json").write_text('{"status": "running"}')
    view = read_run(tmp_path)
    assert view.rounds == view.sites == view.heat_maps == view.labels == ()
    assert view.summary is None
    assert view.predictions is None
    assert view.config is None


def test_a_round_written_twice_counts_once_and_the_later_line_wins(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    lines = [{"round": 1, "val_loss": 0.5}, {"round": 0}, {"round": 1, "val_loss": 0.4}]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"round": 2, "val_l'
    (tmp_path / "rounds.jsonl").write_text(text)
    rounds = read_run(tmp_path).rounds
    assert [line["round"] for line in rounds] == [0, 1]  # the line cut off by a crash is dropped
    assert rounds[1]["val_loss"] == 0.4


@pytest.mark.parametrize("line", ["not json", '{"val_loss": 1}', "[1]"])
def test_a_damaged_round_is_named(tmp_path, line):
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "rounds.jsonl").write_text(line + "\n")
    with pytest.raises(ArtefactError, match=r"rounds\.jsonl: a line is not a round"):
        read_run(tmp_path)


def test_damaged_predictions_are_named(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "predictions.npz").write_bytes(b"PK not a zip")
    with pytest.raises(ArtefactError, match=r"predictions\.npz: not the predictions"):
        read_run(tmp_path)


def test_predictions_with_objects_in_them_are_not_unpickled(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    np.savez(tmp_path / "predictions.npz", probs=np.array([object()], dtype=object))
    with pytest.raises(ArtefactError, match="not the predictions"):
        read_run(tmp_path)


def test_predictions_of_another_shape_are_named(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema", "Fracture"])
    with np.load(run / "predictions.npz") as file:
        arrays = dict(file)
    arrays["labels"] = np.array(["Edema"])
    np.savez(run / "predictions.npz", **arrays)
    with pytest.raises(ArtefactError, match="do not fit 1 labels"):
        read_run(run)


def test_scores_by_study_are_drawn_by_study(tmp_path):
    run = write_run(tmp_path / "run", num_sites=1, labels=["Edema"])
    with np.load(run / "predictions.npz") as file:
        arrays = dict(file)
    arrays["score_by"] = np.array("study")
    np.savez(run / "predictions.npz", **arrays)
    # each patient of the made-up run has one study
    assert len(read_run(run).predictions.probs) == len(np.unique(arrays["patient_id"]))


def test_a_configuration_of_another_version_leaves_its_text(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "config.yaml").write_text("a_key_of_the_future: 1\n")
    view = read_run(tmp_path)
    assert view.config is None
    assert view.config_text == "a_key_of_the_future: 1\n"
