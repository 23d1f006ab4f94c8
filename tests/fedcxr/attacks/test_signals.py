import numpy as np
import pytest

from fedcxr.attacks.signals import Answers, References, has_label, of_patients


def test_a_record_s_loss_is_the_joint_one_of_its_known_labels():
    # labels 1, 0 and unknown: -log 0.8 - log (1 - 0.4) = 0.2231 + 0.5108
    found = Answers.of([[0.8, 0.4, 0.9]], [[1, 0, np.nan]])
    assert found.loss == pytest.approx([0.7340], abs=1e-4)


def test_its_confidence_is_the_mean_logit_of_its_own_labels_probabilities():
    # logits of 0.8 and of 1 - 0.4: log 4 = 1.3863 and log 1.5 = 0.4055; their mean
    found = Answers.of([[0.8, 0.4, 0.9]], [[1, 0, np.nan]])
    assert found.confidence == pytest.approx([(1.386294 + 0.405465) / 2], abs=1e-5)


def test_soft_targets_and_those_of_a_class_of_their_own_count_as_unknown():
    assert has_label([[0.0, 1.0, 0.7, 2.0, np.nan]]).tolist() == [[True, True, False, False, False]]
    with pytest.raises(ValueError, match="no known label"):
        Answers.of([[0.5]], [[0.7]])


def test_a_sigmoid_that_reached_one_is_far_out_and_finite():
    found = Answers.of(np.float32([[1.0], [0.0]]), [[1], [1]])
    assert np.isfinite(found.loss).all()
    assert found.confidence == pytest.approx([16.6355, -16.6355], abs=1e-3)  # log(2^24 - 1)


def test_a_patient_has_the_mean_of_their_images():
    scores = of_patients(np.array([1.0, 3.0, 5.0]), np.array([1, 1, 0]), 2)
    assert scores.tolist() == [5.0, 2.0]


def test_references_say_how_few_models_were_taught_a_record_and_were_not():
    answers = [Answers(np.zeros(2), np.zeros(2))] * 3
    own = References.of(answers, [[True, False], [True, True], [False, False]])
    # record 0: 2 in, 1 out; record 1: 1 in, 2 out
    assert own.fewest() == (1, 1)
    assert len(own.without(0)) == 2
    assert own.without(0).inside.tolist() == [[True, True], [False, False]]
