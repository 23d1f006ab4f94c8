"""A simulated cross-validation: two arms trained on each fold, whose true difference is known.

The patients of a fold are a study as `simulated_study` draws it, and other ones in each fold. What
the folds have in common is training patients. So a training's AUROC varies for two reasons, each
with the cell's standard deviation over trainings: by its seed, which no two trainings share, and by
the patients that it was trained on. The latter is the same for all trainings of an arm on a fold;
between two folds of K it correlates by the share of training patients that they have in common,
(K - 2) / (K - 1), and between the arms, which are trained on the same patients, as their scores do.

Not simulated: that who is tested in one fold was trained on in the others.
"""

import math
from dataclasses import replace

import numpy as np

from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.estimate import over_folds
from fedcxr.metrics.regime import Cell
from fedcxr.metrics.simulated_study import Design, Found, Study, shift_law, simulate_study

FOLD_INTERVALS = ("folds",)


def folds_of(cell: Cell, design: Design, rng: np.random.Generator) -> dict[str, Found]:
    """Return the interval over the folds of a cross-validation, and what it should hold.

    `folds`: the difference of two ways of training, first arm minus second, for other patients and
    trainings.
    """
    shift = fold_shifts(cell, design, rng)
    by_fold = []
    for own in shift:
        first, second = _macro(simulate_study(cell, design, rng, shift=own)).mean(axis=1)
        by_fold.append(float(first - second))
    test_share = 1 / (cell.folds - 1)  # all others are trained on
    return {"folds": Found(over_folds(by_fold, test_share, design.level), -design.margin)}


def fold_shifts(cell: Cell, design: Design, rng: np.random.Generator) -> FloatArray:
    """Return (F, 2, S) how much higher a positive scores, by fold, arm and training."""
    among = (cell.folds - 2) / (cell.folds - 1)  # folds
    arms = design.arm_correlation

    def draw(folds: int) -> FloatArray:
        """Return (folds, 2) standard normal, correlated between the arms."""
        both, own = rng.standard_normal((folds, 1)), rng.standard_normal((folds, 2))
        return np.asarray(math.sqrt(arms) * both + math.sqrt(1 - arms) * own)

    of_patients = math.sqrt(among) * draw(1) + math.sqrt(1 - among) * draw(cell.folds)
    of_seed = rng.standard_normal((cell.folds, 2, cell.seeds))
    both_causes = replace(cell, training_sd=math.sqrt(2) * cell.training_sd)
    mean, spread = shift_law(both_causes, design)
    varied = (of_patients[:, :, None] + of_seed) / math.sqrt(2)
    return np.asarray(mean[:, None] + spread[:, None] * varied)


def _macro(study: Study) -> FloatArray:
    """Return (2, S) the AUROC of each training, mean over the labels; no two scores are equal."""
    images = len(study.patient)
    place = np.arange(1, images + 1, dtype=np.float64)
    areas = []
    for label, positive in enumerate(study.positive[:, study.patient]):
        hits = int(positive.sum())
        order = study.scores[..., label].argsort(axis=-1)  # (2, S, N)
        won = positive[order] @ place - hits * (hits + 1) / 2  # pairs, by the ranks of positives
        areas.append(won / (hits * (images - hits)))
    return np.asarray(np.mean(areas, axis=0))
