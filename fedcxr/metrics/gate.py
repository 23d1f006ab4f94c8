"""Shows an interval only where the self-test of the statistics found that such intervals hold.

What decides is how many patients the interval rests on: for a sensitivity those with the finding,
for a specificity those without it, for what rests on both the rarer kind. Where the self-test has
not tried the very measure, it has tried one that is harder: a difference in sensitivity moves in
steps of one patient, one in calibration does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedcxr.metrics.estimate import Estimate
from fedcxr.metrics.fold_regime import FoldStudy
from fedcxr.metrics.regime import load_regime
from fedcxr.metrics.scored_models import ScoredModels
from fedcxr.metrics.studies import IMAGES, Units

_BOTH = (0, 1)
_WITH, _WITHOUT = (0,), (1,)


@dataclass(frozen=True, slots=True)
class Tried:
    """The intervals of the self-test that speak for a measure's."""

    mean: str
    models: str
    """Of a difference of trained models."""
    methods: str
    """Of a difference of ways of training."""
    classes: tuple[int, ...] = _BOTH
    """Whom it rests on: 0 = patients with the finding, 1 = without."""


TRIED = {
    "auroc": Tried("auroc", "models", "methods"),
    "ap": Tried("ap", "ap_difference", "ap_difference"),
    "sensitivity": Tried("rate", "rate_difference", "rate_methods", _WITH),
    "specificity": Tried("rate", "rate_difference", "rate_methods", _WITHOUT),
    "fpr": Tried("rate", "rate_difference", "rate_methods", _WITHOUT),
    "ppv": Tried("ppv", "ppv_difference", "rate_methods"),
    "ppv_at_prevalence": Tried("ppv", "ppv_difference", "rate_methods"),
    "npv": Tried("npv", "ppv_difference", "rate_methods"),
    "f1": Tried("f1", "ppv_difference", "rate_methods"),
    # a share as a sensitivity is, of all patients: asked is that the rarer kind alone is enough
    "accuracy": Tried("rate", "rate_difference", "rate_methods"),
    "net_benefit": Tried("net_benefit", "benefit_difference", "rate_methods"),
    "brier": Tried("brier", "slope_difference", "slope_difference"),
    "slope": Tried("slope", "slope_difference", "slope_difference"),
    "intercept": Tried("intercept", "slope_difference", "slope_difference"),
    "auroc_gap": Tried("auroc_gap", "gap_difference", "gap_difference"),
    "sensitivity_gap": Tried("rate_gap", "gap_difference", "gap_difference", _WITH),
    "fpr_gap": Tried("rate_gap", "gap_difference", "gap_difference", _WITHOUT),
}
"""By measure."""


def gated(
    found: Estimate,
    scored: ScoredModels,
    columns: Sequence[int],
    *,
    interval: str,
    cluster: float,
    auroc: float,
    seeds: int | None = None,
    units: Units = IMAGES,
    over_folds: FoldStudy | None = None,
) -> Estimate:
    """Return an estimate without its interval where such an interval was not shown to hold.

    Args:
        found: a mean or difference of these models over these labels.
        scored: whose measure is in `TRIED`.
        columns: the labels of the macro mean, or the one label.
        interval: of the self-test.
        cluster: images a patient, on average.
        auroc: of the better model, over these labels; nan where there is none.
        seeds: trainings of each arm, where the interval is about trainings.
        units: what is scored.
        over_folds: the cross-validation, where the interval is over its folds.
    """
    if np.isnan(found.value):
        return found
    if np.isnan(auroc):
        return _withheld(found, "no interval: without an AUROC there is no telling if it holds")
    counts = scored.patients if scored.fewest is None else scored.fewest
    few, kind, column = min(
        (int(counts[column][kind]), kind, column)
        for column in columns
        for kind in TRIED[scored.measure].classes
    )
    who = _in_words(few, scored.labels[column], has_it=kind == 0)
    if over_folds is not None:
        is_held, why = over_folds.covers(few, rarest=who)
    else:
        regime = load_regime(interval)
        is_held, why = regime.covered(few, cluster, auroc, seeds, rarest=who, units=units)
    return found if is_held else _withheld(found, why)


def _withheld(found: Estimate, why: str) -> Estimate:
    return replace(found, ci=None, parts=(), reason=why)


def _in_words(patients: int, label: str, *, has_it: bool) -> str:
    """Return how many patients have a finding, or lack it.

    >>> _in_words(0, "Edema", has_it=True), _in_words(3, "Edema", has_it=False)
    ('no patient has Edema', '3 patients lack Edema')
    """
    one, many = ("has", "have") if has_it else ("lacks", "lack")
    if not patients:
        return f"no patient {one} {label}"
    return f"1 patient {one} {label}" if patients == 1 else f"{patients} patients {many} {label}"
