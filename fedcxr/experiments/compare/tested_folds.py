"""Who was tested together: all trainings on one test set, or fold by fold.

In a cross-validation each patient is tested once, by the models that were trained without them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedcxr.errors import ArtefactError
from fedcxr.experiments.compare.arms import Training
from fedcxr.metrics.studies import Units
from fedcxr.results.judging.all_models import same_patients
from fedcxr.results.judging.scored_arms import ScoredArms
from fedcxr.runs.predictions import Predictions
from partitions.plan import PartitionPlan
from partitions.table import read_table


@dataclass(frozen=True, slots=True)
class TestedTogether:
    """Trainings that were scored on the same test patients."""

    __test__ = False  # the name begins as those of pytest's classes do

    trainings: tuple[Training, ...]
    scored: tuple[Predictions, ...]  # of each
    test: Predictions
    """The truth of the test patients."""


def by_test_set(
    scored: Mapping[str, Predictions], trainings: Sequence[Training], folds: int | None
) -> list[TestedTogether]:
    """Return the trainings by what they are tested on: fold by fold, or all together.

    Args:
        scored: by the training's name.
        trainings: of all arms.
        folds: of a cross-validation.

    Raises:
        ArtefactError: two of one test set have other images or labels, or a patient is tested in
            two folds.
    """
    found: list[TestedTogether] = []
    for number in range(folds or 1):
        own = [each for each in trainings if folds is None or each.partition == number]
        test = same_patients({each.name: scored[each.name] for each in own})
        found.append(TestedTogether(tuple(own), tuple(scored[t.name] for t in own), test))
    patients = [set(each.test.patient_id.tolist()) for each in found]
    if sum(map(len, patients)) > len(set().union(*patients)):
        raise ArtefactError(
            "A patient is tested in two folds, so that a model may have been trained on who it is "
            "tested on. A file was changed after the run; compare anew."
        )
    return found


def all_tested(folds: Sequence[TestedTogether]) -> Predictions:
    """Return the truth of all folds' test patients; the probabilities are of several models."""
    tests = [each.test for each in folds]
    if len(tests) == 1:
        return tests[0]
    return Predictions(
        labels=tests[0].labels,
        probs=np.concatenate([test.probs for test in tests]),
        target=np.concatenate([test.target for test in tests]),
        image_id=np.concatenate([test.image_id for test in tests]),
        study_id=np.concatenate([test.study_id for test in tests]),
        patient_id=np.concatenate([test.patient_id for test in tests]),
    )


def score_folds(
    folds: Sequence[TestedTogether], plans: Sequence[PartitionPlan], level: float, units: Units
) -> ScoredArms:
    """Return the models of all folds, each scored on the patients of its own.

    Args:
        folds: of a cross-validation.
        plans: their partitions.
        level: of the intervals.
        units: what a row is called.
    """
    shares = [
        len(set(fold.test.patient_id.tolist())) / _training_patients(plan)
        for fold, plan in zip(folds, plans, strict=True)
    ]
    return ScoredArms.of_folds(
        [
            (
                fold.test,
                [(t, one.probs) for t, one in zip(fold.trainings, fold.scored, strict=True)],
            )
            for fold in folds
        ],
        level,
        units,
        test_share=float(np.mean(shares)),
    )


def _training_patients(plan: PartitionPlan) -> int:
    """Return how many patients the sites train on, those whom they keep to look at left out."""
    trained = 0
    for site in plan.sites:
        table = read_table(plan.site_csv(site.site_id))
        trained += len({table.patient_id[row] for row in table.rows("train")})
    return trained
