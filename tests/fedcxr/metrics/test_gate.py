import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedcxr.metrics import gate, regime
from fedcxr.metrics.count_outcomes import INTERVALS
from fedcxr.metrics.gate import TRIED, gated
from fedcxr.metrics.regime import Cell, Regime, Tally
from fedcxr.metrics.scored_areas import score_models
from fedcxr.metrics.scored_rates import call_images, score_rate

HELD, FAILED = Tally(1000, 950, 25, 25, 0), Tally(1000, 800, 100, 100, 0)


def cell(positives):
    return Cell(positives, 200, 1.0, False, 0.0, 1)


@pytest.fixture
def from_forty_on(monkeypatch):
    """Stands for a self-test in which every interval holds from 40 patients on."""
    cells = ((cell(10), FAILED), (cell(40), HELD), (cell(200), HELD))

    def load(interval):
        return Regime(interval, 0.95, cells)

    monkeypatch.setattr(gate, "load_regime", load)


def make_models(positives, negatives):
    rng = np.random.default_rng(0)
    target = np.repeat([1.0, 0.0], [positives, negatives])
    return target, rng.normal(target, 1.0)


def rate_of(name, positives, negatives):
    target, scores = make_models(positives, negatives)
    patient = np.arange(len(target))
    called = call_images(target[:, None], scores[None, :, None], patient, ["Edema"], 0.5)
    scored = score_rate(called, name)
    found = scored.mean(np.ones(1), [0], 0.95)
    assert found.ci is not None
    tried = TRIED[name].mean
    return gated(found, scored, [0], interval=tried, cluster=1.0, auroc=0.8)


@pytest.mark.usefixtures("from_forty_on")
def test_a_sensitivity_rests_on_those_with_the_finding_and_a_specificity_on_the_others():
    assert rate_of("sensitivity", 50, 20).ci is not None
    assert rate_of("specificity", 20, 50).ci is not None
    few = rate_of("sensitivity", 20, 50)
    assert few.ci is None
    assert few.reason == "20 patients have Edema; the interval was shown to hold from 40 on"
    other = rate_of("specificity", 50, 20)
    assert other.reason == "20 patients lack Edema; the interval was shown to hold from 40 on"
    assert rate_of("ppv", 50, 20).ci is None
    assert rate_of("ppv", 20, 50).ci is None
    assert few.value == pytest.approx(rate_of("sensitivity", 20, 300).value, abs=0.3)


@pytest.mark.usefixtures("from_forty_on")
def test_a_macro_mean_is_judged_by_its_rarest_label():
    rng = np.random.default_rng(1)
    target = (rng.random((300, 2)) < (0.4, 0.05)).astype(float)
    scored = score_models(target, rng.normal(target)[None], np.arange(300), ["a", "b"])["auroc"]
    found = scored.mean(np.ones(1), [0, 1], 0.95)
    result = gated(found, scored, [0, 1], interval="auroc", cluster=1.0, auroc=found.value)
    patients = int(target[:, 1].sum())
    assert result.ci is None
    assert result.reason.startswith(f"{patients} patients have b; ")


@pytest.mark.usefixtures("from_forty_on")
def test_what_has_no_interval_keeps_its_own_reason():
    target, scores = make_models(50, 50)
    models = np.stack([scores, scores])[:, :, None]
    scored = score_models(target[:, None], models, np.arange(100), ["a"])["auroc"]
    found = scored.difference(np.array([1.0, -1.0]), [0], 0.95)
    assert gated(found, scored, [0], interval="models", cluster=1.0, auroc=0.8) == found
    assert found.reason == "no interval: no patient moves it"
    target[:49], target[49] = np.nan, 1.0
    scored = score_models(target[:, None], models, np.arange(100), ["a"])["auroc"]
    alone = scored.mean(np.array([1.0, 0.0]), [0], 0.95)
    assert alone.reason == "no interval: all positives are of one patient"
    few = gated(alone, scored, [0], interval="auroc", cluster=1.0, auroc=0.8)
    assert few.reason.startswith("1 patient has a; ")
    nothing = replace(alone, value=np.nan)
    assert gated(nothing, scored, [0], interval="auroc", cluster=1.0, auroc=0.8) == nothing


@pytest.mark.usefixtures("from_forty_on")
def test_without_an_auroc_a_rate_has_no_interval():
    target, scores = make_models(50, 50)
    target[50:] = np.nan
    called = call_images(target[:, None], scores[None, :, None], np.arange(100), ["a"], 0.5)
    scored = score_rate(called, "sensitivity")
    found = scored.mean(np.ones(1), [0], 0.95)
    without = gated(found, scored, [0], interval="rate", cluster=1.0, auroc=np.nan)
    assert without.value == found.value
    assert without.reason.startswith("no interval: without an AUROC")


def test_every_measure_is_spoken_for_by_intervals_that_the_self_test_has():
    stored = json.loads((Path(regime.__file__).parent / regime.STORED).read_text("utf-8"))
    tried = {name for each in stored["cells"] for name in each["intervals"]}
    for each in TRIED.values():
        assert {each.mean, each.models, each.methods} <= tried
    assert tried == set(INTERVALS)


def test_a_gap_counts_the_smaller_side_which_has_half_of_a_cells_patients():
    cells = ((cell(10), FAILED), (cell(40), HELD), (cell(200), HELD))
    assert Regime("rate", 0.95, cells).covered(20, 1.0, 0.85)[0] is False
    assert Regime("rate_gap", 0.95, cells).covered(20, 1.0, 0.85)[0] is True
    assert Regime("rate_gap", 0.95, cells).covered(19, 1.0, 0.85)[0] is False
