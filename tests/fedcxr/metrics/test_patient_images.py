import numpy as np
import pytest

from fedcxr.metrics.patient_images import PatientImages, check_patients


def test_images_are_counted_by_patient_and_state():
    nan = np.nan
    truth = np.array([[1, 0], [1, nan], [0, nan], [0, 0], [nan, 0]])
    whose = PatientImages.of(truth, np.array([0, 0, 1, 2, 2]), 4)
    assert whose.positives.tolist() == [[2, 0, 0, 0], [0, 0, 0, 0]]
    assert whose.negatives.tolist() == [[0, 1, 1, 0], [1, 0, 2, 0]]
    assert whose.images.tolist() == [[2, 1, 1, 0], [1, 0, 2, 0]]
    assert whose.has_finding.tolist() == [[True, False, False, False], [False] * 4]
    assert whose.patients.tolist() == [[1, 2], [0, 2]]
    assert [whose.missing(column) for column in (0, 1)] == [None, "no known positive"]
    assert whose.alone(0) == "no interval: all positives are of one patient"
    assert whose.alone(1) is None


def test_every_image_needs_a_patient():
    assert check_patients(["b", "a"], 2).tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"patient_id must be \(3,\) and not empty"):
        check_patients(["b", "a"], 3)
    with pytest.raises(ValueError, match="not empty"):
        check_patients([], 0)
