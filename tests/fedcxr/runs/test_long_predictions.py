"""The predictions of all trainings in one Parquet file."""

import duckdb
import numpy as np

from fedcxr.runs.long_predictions import FILE, TrainingPredictions, write_long_predictions
from fedcxr.runs.predictions import Predictions


def predictions(value):
    return Predictions(
        labels=("Edema", "Mass"),
        probs=np.float32([[value, 0.2], [0.3, 0.4]]),
        target=np.float32([[1, 0], [np.nan, 1]]),
        image_id=np.array(["i1", "i2"]),
        study_id=np.array(["s1", "s1"]),
        patient_id=np.array(["p1", "p1"]),
    )


def trainings():
    yield TrainingPredictions("federated", 0, "", "test", predictions(0.5))
    yield TrainingPredictions("local", 1, "site-00", "val", predictions(0.25))


def test_there_is_a_row_for_each_training_image_and_label(tmp_path):
    write_long_predictions(tmp_path / FILE, trainings())
    rows = duckdb.read_parquet(str(tmp_path / FILE)).fetchall()
    first = ("federated", 0, "", "test", "i1", "s1", "p1", "Edema", 1, 0.5)
    assert rows[0] == first
    assert rows[2][4:9] == ("i2", "s1", "p1", "Edema", None)
    assert rows[4] == ("local", 1, "site-00", "val", "i1", "s1", "p1", "Edema", 1, 0.25)
    assert len(rows) == 8


def test_the_same_predictions_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_long_predictions(tmp_path / name, trainings())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
