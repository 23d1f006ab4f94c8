"""One measure of models that were tested on different patients: the folds of a cross-validation.

A model has its value within its own fold and is moved by no other patient. So a mean over the folds
is a mean of areas, never an area over the scores of several models, which are on scales of their
own; and the jackknife over the patients of all folds is that of such a mean, exactly.

Source: LeDell, Petersen and van der Laan 2015, "Computationally efficient confidence intervals for
cross-validated area under the ROC curve estimates", Electronic Journal of Statistics 9, 1583-1607.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedcxr.metrics.scored_models import ScoredModels


def join_folds(folds: Sequence[ScoredModels]) -> ScoredModels:
    """Return the models of all folds, in their order, over the patients of all folds.

    Args:
        folds: the same measure of the same labels, the patients of each fold others.
    """
    if len(folds) == 1:
        return folds[0]
    first = folds[0]
    models = np.cumsum([0, *(len(fold.value) for fold in folds)])
    patients = np.cumsum([0, *(fold.influence.shape[-1] for fold in folds)])
    influence = np.zeros((models[-1], len(first.labels), patients[-1]))
    for number, fold in enumerate(folds):
        rows = slice(models[number], models[number + 1])
        columns = slice(patients[number], patients[number + 1])
        influence[rows, :, columns] = fold.influence
    counts = np.array([fold.patients for fold in folds])  # (F, L, 2)
    kinds = max(int(fold.kind.max(initial=0)) for fold in folds) + 1
    return replace(
        first,
        patients=counts.sum(axis=0),
        fewest=counts.min(axis=0),
        value=np.concatenate([fold.value for fold in folds]),
        influence=influence,
        kind=np.concatenate(  # what a patient moves is a matter of their fold, too
            [fold.kind + number * kinds for number, fold in enumerate(folds)], axis=1
        ).astype(np.int8),
        images=np.concatenate([fold.images for fold in folds], axis=1),
        reasons=tuple(
            tuple(why and f"{why}, in fold {number}" for why in model)
            for number, fold in enumerate(folds)
            for model in fold.reasons
        ),
    )
