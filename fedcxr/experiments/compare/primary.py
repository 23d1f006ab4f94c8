"""Two arms held against each other: differences with intervals, p values, and the verdict.

A word about two ways of training needs an interval for other patients and other trainings, and so
two trainings of each arm at least. With one there is a word about the trained models alone.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.experiments.compare.all_models import in_unit
from fedcxr.experiments.compare.arm_scores import known, undefined_among
from fedcxr.experiments.compare.endpoint import count_patients
from fedcxr.experiments.compare.scored_arms import ScoredArms
from fedcxr.metrics.estimate import Estimate
from fedcxr.metrics.label_bounds import holm_lower_bounds
from fedcxr.metrics.non_inferiority import NON_INFERIOR, decide, holm, power_note, verdict
from fedcxr.metrics.scored_areas import Measure
from fedcxr.report.comparison.protocol_words import none_eligible
from fedcxr.results.details import DifferenceDetails
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
    details: DifferenceDetails,
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
        details: how far apart the two are beside the areas.
        unit: what the rows of `test` are: images, or studies.
    """
    columns = endpoint.columns(test.labels)
    name, against = pair
    tested = arms.difference
    whole, models = tested("auroc", pair, columns), arms.of_models("auroc", pair, columns)
    first, second = (arms.by_seed("auroc", arm, columns) for arm in pair)
    by_seed = np.subtract(first, second)
    # Where more patients would give no interval either, the verdict's reason says what is amiss.
    word = _verdict(whole, margin, endpoint, unit)
    tests = [tested("auroc", pair, [column]) for column in range(len(test.labels))]
    by_label = _by_label(test.labels, tests, word, margin=margin, endpoint=endpoint, arms=arms)
    may_tell = whole.ci is not None or arms.lacks_patients_alone(pair, columns)
    return Difference(
        arm=name,
        against=against,
        about="methods" if arms.is_of_methods(pair) else "models",
        macro_auroc=Score.of(whole),
        macro_auroc_models=Score.of(models),
        macro_ap=Score.of(tested("ap", pair, columns)),
        five_auroc=_competition_auroc(arms, pair, test.labels, competition_columns, tested),
        by_label=by_label,
        variance=_variance(arms.wherever("auroc", pair, columns), by_seed),
        verdict=word,
        worse_labels=tuple(name for name, each in by_label.items() if each.is_below(0.0)),
        inferior_labels=tuple(name for name, each in by_label.items() if each.is_below(-margin)),
        power=_power(whole, margin, test, columns, arms.level, unit) if may_tell else None,
        by_seed=tuple(known(by_seed.tolist())),
        details=details,
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
    labels: Sequence[str],
    found: Sequence[Estimate],
    word: Verdict,
    *,
    margin: float,
    endpoint: Endpoint,
    arms: ScoredArms,
) -> dict[str, LabelDifference]:
    """Return the difference of every label, its p adjusted by Holm's rule, and its bound.

    Bounds are of the endpoint's labels, and there after a verdict of non-inferiority alone.
    """
    adjusted = known(holm([each.p for each in found]))
    p_values = known([each.p for each in found])
    bounds: dict[str, float | None] = {}
    if word.word in NON_INFERIOR:
        own = [found[labels.index(label)] for label in endpoint.labels]
        of_label = known(holm_lower_bounds(own, margin, arms.level))
        bounds = dict(zip(endpoint.labels, of_label, strict=True))
    return {
        label: LabelDifference(
            **dict(Score.of(each)),
            p=p,
            p_holm=p_holm,
            word=decide(each.ci, margin) if each.ci else None,
            lower_bound=bounds.get(label),
        )
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
