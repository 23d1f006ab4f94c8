import numpy as np

from fedcxr.metrics.studies import by_study

NAN = np.nan


def test_a_study_takes_the_maximum_over_its_views():
    probs = np.array([[0.2, 0.9], [0.6, 0.1], [0.3, 0.3]], dtype=np.float32)
    target = np.array([[0, 1], [1, 0], [0, 0]], dtype=np.float32)
    truth, top, studies, patients = by_study(target, probs, ["s", "s", "t"], ["p", "p", "q"])
    np.testing.assert_array_equal(top, np.array([[0.6, 0.9], [0.3, 0.3]], dtype=np.float32))
    np.testing.assert_array_equal(truth, [[1, 1], [0, 0]])
    assert studies.tolist() == ["s", "t"]
    assert patients.tolist() == ["p", "q"]
    assert top.dtype == truth.dtype == np.float32


def test_unknown_views_are_ignored_and_none_known_stays_unknown():
    target = np.array([[NAN, NAN, 0.0], [0.0, NAN, 1.0]])
    truth, _, _, _ = by_study(target, np.full((2, 3), 0.5), ["s", "s"], ["p", "p"])
    np.testing.assert_array_equal(truth, [[0.0, NAN, 1.0]])


def test_a_score_that_is_nan_is_not_hidden_by_another_view():
    _, top, _, _ = by_study(np.zeros((2, 1)), np.array([[NAN], [0.5]]), ["s", "s"], ["p", "p"])
    assert np.isnan(top[0, 0])


def test_studies_of_the_same_name_of_two_patients_stay_apart_in_order_of_appearance():
    probs = np.array([[0.9], [0.1], [0.2], [0.3]])
    study = ["study1", "study1", "study1", "study2"]
    patient = ["z", "a", "z", "z"]
    _, top, studies, patients = by_study(np.zeros((4, 1)), probs, study, patient)
    assert top.ravel().tolist() == [0.9, 0.1, 0.3]
    assert patients.tolist() == ["z", "a", "z"]
    assert studies.tolist() == ["study1", "study1", "study2"]


def test_no_rows_give_no_studies():
    truth, top, studies, patients = by_study(np.zeros((0, 2)), np.zeros((0, 2)), [], [])
    assert truth.shape == top.shape == (0, 2)
    assert len(studies) == len(patients) == 0
