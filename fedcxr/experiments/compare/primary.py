"""Two arms held against each other: differences with intervals, p values, and the verdict.

A word about two ways of training needs an interval for other patients and other trainings, and so
two trainings of each arm at least. With one there is a word about the trained models alone.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.experiments.compare.arm_scores import known, undefined_among
from fedcxr.experiments.compare.endpoint import count_patients
from fedcxr.experiments.compare.scored_arms import ScoredArms
from fedcxr.experiments.compare.secondary import in_unit
from fedcxr.metrics.estimate import MIN_SEEDS, Estimate
from fedcxr.metrics.non_inferiority import holm, power_note, verdict
from fedcxr.metrics.scored_models import Measure
from fedcxr.report.comparison.protocol_words import none_eligible
from fedcxr.results.differences import Difference, LabelDifference, Variance, Verdict
from fedcxr.results.frozen import Endpoint
from fedcxr.results.score import Score
from fedcxr.runs.predictions import Predictions

Tested = Callable[[Measure, tuple[str, str], Sequence[int]], Estimate]
"""What tells how far two arms are apart: their methods, or their models."""


def difference_of(
    pair: tuple[str, str],
    arms: ScoredArms,
    test: Predictions,
    *,
    margin: float,
    endpoint: Endpoint,
    competition_columns: Sequence[int],
    unit: str = "images",
) -> Difference:
    """Return one arm minus another.

    Args:
        pair: the arm, and the one that it is held against.
        arms: the scored models of all.
        test: the truth of the test patients.
        margin: of non-inferiority.
        endpoint: the labels that the verdict is about.
        competition_columns: columns of the competition labels, or none.
        unit: what the rows of `test` are: images, or studies.
    """
    columns = endpoint.columns(test.labels)
    name, against = pair
    is_of_methods = len(arms.seeds(name)) >= MIN_SEEDS
    tested = arms.of_methods if is_of_methods else arms.of_models
    whole, models = tested("auroc", pair, columns), arms.of_models("auroc", pair, columns)
    first, second = (arms.by_seed("auroc", arm, columns) for arm in pair)
    by_seed = np.subtract(first, second)
    # Where more patients would give no interval either, the verdict's reason says what is amiss.
    may_tell = whole.ci is not None or arms.lacks_patients_alone(pair, columns)
    return Difference(
        arm=name,
        against=against,
        about="methods" if is_of_methods else "models",
        macro_auroc=Score.of(whole),
        macro_auroc_models=Score.of(models),
        macro_ap=Score.of(tested("ap", pair, columns)),
        five_auroc=_competition_auroc(arms, pair, test.labels, competition_columns, tested),
        by_label=_by_label(pair, test.labels, tested),
        variance=_variance(arms.wherever("auroc", pair, columns), by_seed),
        verdict=_verdict(whole, margin, endpoint, unit),
        power=_power(whole, margin, test, columns, arms.level, unit) if may_tell else None,
        by_seed=tuple(known(by_seed.tolist())),
    )


def _variance(found: Estimate, by_seed: NDArray[np.float64]) -> Variance:
    patients = found.parts[0] if found.parts else None
    return Variance(
        patients=patients.variance if patients else None,
        patients_df=patients.df if patients else None,
        trainings=known([float(by_seed.var(ddof=1))])[0] if len(by_seed) > 1 else None,
        seeds=len(by_seed),
    )


def _by_label(
    pair: tuple[str, str], labels: Sequence[str], tested: Tested
) -> dict[str, LabelDifference]:
    """Return the difference of every label, with its p adjusted by Holm's rule."""
    found = [tested("auroc", pair, [column]) for column in range(len(labels))]
    adjusted = known(holm([each.p for each in found]))
    p_values = known([each.p for each in found])
    return {
        label: LabelDifference(**dict(Score.of(each)), p=p, p_holm=p_holm)
        for label, each, p, p_holm in zip(labels, found, p_values, adjusted, strict=True)
    }


def _competition_auroc(
    arms: ScoredArms,
    pair: tuple[str, str],
    labels: Sequence[str],
    columns: Sequence[int],
    tested: Tested,
) -> Score | None:
    """Return the difference over the competition labels: over all of them, or none."""
    if not columns:
        return None
    if reason := undefined_among(arms, labels, columns):
        return Score(value=None, reason=reason)
    return Score.of(tested("auroc", pair, columns))


def _power(
    whole: Estimate,
    margin: float,
    test: Predictions,
    columns: Sequence[int],
    level: float,
    unit: str,
) -> str | None:
    """Return the note on a study that is too small to decide; it names the rarest label."""
    labels = [test.labels[column] for column in columns]
    found = []
    for column, each in zip(
        columns, count_patients(test.target[:, columns], test.patient_id, labels), strict=True
    ):
        target = test.target[:, column]
        rows = int((target == 1).sum()), int((target == 0).sum())
        found.append((min(each.positives, each.negatives), each.label, *rows))
    _, label, positives, negatives = min(found, default=(0, "the rarest finding", 0, 0))
    return power_note(
        whole,
        margin,
        positives,
        negatives,
        len(set(test.patient_id.tolist())),
        level=level,
        unit=unit,
        finding=label,
    )


def _verdict(whole: Estimate, margin: float, endpoint: Endpoint, unit: str) -> Verdict:
    """Return the word and its reason; without a label in the endpoint there is nothing to judge."""
    if not endpoint.labels:
        few = [each.model_dump() for each in endpoint.left_out]
        return Verdict(word="withheld", reason=none_eligible(few, endpoint.min_positives))
    found = verdict(whole, margin)
    return Verdict(word=found.word, reason=str(in_unit(found.reason, unit)))
