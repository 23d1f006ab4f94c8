"""The file of predictions: written, read back, and joined by study."""

import numpy as np
import pytest

from fedcxr.errors import ArtefactError
from fedcxr.metrics.studies import as_scored
from fedcxr.runs.predictions import Predictions, read_predictions, write_predictions


def predictions(num=4, labels=("Edema", "Fracture")):
    rng = np.random.default_rng(num)
    target = rng.integers(0, 2, (num, len(labels))).astype(np.float32)
    target[0, 0] = np.nan
    return Predictions(
        labels,
        rng.random((num, len(labels)), dtype=np.float32),
        target,
        np.array([f"i{n}" for n in range(num)]),
        np.array(["s1", "s1", "s2", "s1"][:num]),
        np.array(["p1", "p1", "p1", "p2"][:num]),
        {"sex": np.array(["F"] * num), "age": np.arange(num, dtype=np.float32)},
    )


def same(one, other):
    arrays = ("probs", "target", "image_id", "study_id", "patient_id")
    assert one.labels == other.labels
    for name in arrays:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.attributes.keys() == other.attributes.keys()
    for name, values in one.attributes.items():
        np.testing.assert_array_equal(values, other.attributes[name])


def test_both_sets_are_read_as_they_were_written(tmp_path):
    file = tmp_path / "predictions.npz"
    test, val = predictions(4), predictions(3)
    write_predictions(file, {"val": val, "test": test}, "study")
    for split, expected in (("test", test), ("val", val)):
        found, score_by = read_predictions(file, split)
        same(found, expected)
        assert score_by == "study"
    with np.load(file, allow_pickle=False) as arrays:  # no object anywhere
        assert {"probs", "val_probs", "age", "val_sex"} <= set(arrays)


def test_a_study_has_the_maximum_of_its_images_and_the_attributes_of_its_first():
    images = predictions()
    studies = as_scored(images, "study")
    assert studies.patient_id.tolist() == ["p1", "p1", "p2"]
    assert studies.image_id.tolist() == ["i0", "i2", "i3"]
    np.testing.assert_array_equal(studies.probs[0], images.probs[:2].max(axis=0))
    assert studies.attributes["age"].tolist() == [0, 2, 3]
    assert as_scored(images, "image") is images


def test_a_set_that_is_not_there_and_a_damaged_file_are_told(tmp_path):
    file = tmp_path / "predictions.npz"
    write_predictions(file, {"test": predictions()}, "image")
    with pytest.raises(ArtefactError, match="not the predictions of a run"):
        read_predictions(file, "val")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ArtefactError, match=r"predictions\.npz: not the predictions"):
        read_predictions(file)


def test_shapes_that_do_not_fit_are_refused(tmp_path):
    file = tmp_path / "predictions.npz"
    whole = predictions()
    arrays = {name: getattr(whole, name) for name in ("target", "image_id", "study_id")}
    np.savez(
        file,
        labels=np.array(whole.labels),
        probs=whole.probs[:2],
        patient_id=whole.patient_id,
        **arrays,
    )
    with pytest.raises(ArtefactError, match="do not fit 2 labels"):
        read_predictions(file)
