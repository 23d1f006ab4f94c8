"""How often the intervals of simulated studies hold what is true."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcxr.metrics.auroc import FloatArray, Interval
from fedcxr.metrics.regime import USUAL_SD, USUAL_SEEDS, Cell
from fedcxr.metrics.simulated_folds import FOLD_INTERVALS, folds_of
from fedcxr.metrics.simulated_rates import (
    CALIBRATION_INTERVALS,
    GROUP_INTERVALS,
    RATE_INTERVALS,
    calibration_of,
    groups_of,
    rates_of,
)
from fedcxr.metrics.simulated_study import (
    AREA_INTERVALS,
    Design,
    Found,
    Study,
    areas_of,
    simulate_study,
)
from fedcxr.seeding import derive_rng

Family = Literal["areas", "rates", "calibration", "groups", "folds"]
FAMILIES: dict[Family, tuple[str, ...]] = {
    "areas": AREA_INTERVALS,
    "rates": RATE_INTERVALS,
    "calibration": CALIBRATION_INTERVALS,
    "groups": GROUP_INTERVALS,
    "folds": FOLD_INTERVALS,
}
"""The intervals that are tried, by what is computed together."""
INTERVALS = tuple(name for names in FAMILIES.values() for name in names)
OUTCOMES = ("covered", "above", "below", "undefined")
"""The interval holds the truth, lies wholly above it, wholly below, or there is none."""

Finder = Callable[[Cell, Design, np.random.Generator], dict[str, Found]]


def _on_one_set(found_of: Callable[[Study, Cell, Design], dict[str, Found]]) -> Finder:
    """Return what draws a study of one test set, and finds its intervals."""

    def find(cell: Cell, design: Design, rng: np.random.Generator) -> dict[str, Found]:
        return found_of(simulate_study(cell, design, rng), cell, design)

    return find


_FINDERS: dict[Family, Finder] = {
    "areas": _on_one_set(areas_of),
    "rates": _on_one_set(rates_of),
    "calibration": _on_one_set(calibration_of),
    "groups": _on_one_set(groups_of),
    "folds": folds_of,
}


def families_of(cell: Cell) -> tuple[Family, ...]:
    """Return what is tried in a cell: everything else than the areas with one label alone.

    Folds have an interval of their own, and what holds of one test set is tried without them.

    Calibration and groups are of the trained models, whatever other trainings would have given: one
    way for trainings to vary is enough.
    """
    if cell.folds > 1:
        return ("folds",)
    if cell.labels > 1:
        return ("areas",)
    usual = replace(cell, seeds=USUAL_SEEDS, training_sd=USUAL_SD)
    every: tuple[Family, ...] = ("areas", "rates", "calibration", "groups")
    return every if cell == usual else ("areas", "rates")


def count_outcomes(
    cell: Cell, design: Design, family: Family, studies: range
) -> tuple[NDArray[np.int64], FloatArray]:
    """Return (intervals, outcomes) counts over these studies of a cell, and (intervals,) widths.

    The intervals are those of the family, in its order.

    A study is a function of the seed, the cell and its number, however they are shared out.
    """
    names = FAMILIES[family]
    counts = np.zeros((len(names), len(OUTCOMES)), np.int64)
    widths = np.zeros(len(names))  # sums over the studies that have the interval
    for number in studies:
        rng = derive_rng(design.seed, "selftest", cell.name, number)
        found = _FINDERS[family](cell, design, rng)
        for place, name in enumerate(names):
            if name not in found:
                continue
            ci, truth = found[name].estimate.ci, found[name].truth
            counts[place, OUTCOMES.index(_outcome(ci, truth))] += 1
            widths[place] += ci[1] - ci[0] if ci else 0.0
    return counts, widths


def _outcome(ci: Interval | None, truth: float) -> str:
    if ci is None:
        return "undefined"
    if ci[0] > truth:
        return "above"
    return "below" if ci[1] < truth else "covered"
