import numpy as np
import pytest

from fedcxr.errors import RunError
from fedcxr.metrics.regime import load_regime
from fedcxr.metrics.run_scores import score_run
from fedcxr.metrics.scored_areas import score_models


def make_case(patients=300, seed=0):
    """Two findings that many patients have and one that three have, an image a patient."""
    rng = np.random.default_rng(seed)
    target = (rng.random((patients, 3)) < (0.3, 0.5, 0.0)).astype(float)
    target[:3, 2] = 1.0
    return target, rng.normal(target, 1.2), np.arange(patients)


def test_scores_and_macro_are_those_of_the_jackknife():
    target, probs, patient = make_case()
    found = score_run(target, probs, ["a", "b", "rare"], patient)
    scored = score_models(target, probs[None], patient, ["a", "b", "rare"])["auroc"]
    for column in (0, 1):
        expected = scored.mean(np.ones(1), [column], 0.95)
        assert found.scores[column].value == pytest.approx(expected.value)
        assert found.scores[column].ci == expected.ci
        assert found.scores[column].reason is None
    assert found.macro == pytest.approx(np.mean([score.value for score in found.scores]))
    assert found.macro_labels == 3


def test_an_interval_that_did_not_hold_in_the_self_test_is_not_given():
    target, probs, patient = make_case()
    found = score_run(target, probs, ["a", "b", "rare"], patient)
    is_held, _ = load_regime("auroc").covered(3, 1.0, 0.8)
    assert not is_held
    rare = found.scores[2]
    assert rare.value is not None
    assert rare.ci is None
    assert rare.reason.startswith("3 patients have rare; the interval was shown to hold from ")
    assert found.macro_ci is None
    assert found.macro_reason == rare.reason
    without = score_run(target[:, :2], probs[:, :2], ["a", "b"], patient)
    assert without.macro_ci is not None
    assert without.macro_reason is None


def test_a_label_without_both_classes_has_no_value_and_is_not_in_the_macro_mean():
    target, probs, patient = make_case()
    target[:, 2] = 0.0
    found = score_run(target, probs, ["a", "b", "rare"], patient)
    assert (found.scores[2].value, found.scores[2].reason) == (None, "no known positive")
    assert found.macro_labels == 2
    assert found.macro_ci is not None
    nothing = score_run(target[:, 2:], probs[:, 2:], ["rare"], patient)
    assert (nothing.macro, nothing.macro_ci) == (None, None)
    assert nothing.macro_reason == "no label has both classes"


def test_what_cannot_be_scored_is_refused():
    target, probs, patient = make_case()
    with pytest.raises(ValueError, match="patient_id must be"):
        score_run(target, probs, ["a", "b", "rare"], patient[:-1])
    with pytest.raises(ValueError, match="do not agree"):
        score_run(target, probs, ["a", "b"], patient)
    probs[0, 0] = np.inf
    with pytest.raises(RunError, match="not finite"):
        score_run(target, probs, ["a", "b", "rare"], patient)
