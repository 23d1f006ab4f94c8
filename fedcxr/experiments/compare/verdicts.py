"""Two arms held against each other: differences with intervals, p values, and the verdict.

A word about two ways of training needs an interval for other patients and other trainings, and so
two trainings of each arm at least; with several partitions it is for other ones of these as well.
With one training there is a word about the trained models alone.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fedcxr.experiments.compare.arm_scores import known
from fedcxr.experiments.compare.endpoint import count_patients
from fedcxr.metrics.estimate import Estimate
from fedcxr.metrics.label_bounds import holm_lower_bounds
from fedcxr.metrics.non_inferiority import (
    NON_INFERIOR,
    decide_as,
    fold_power_note,
    holm,
    power_note,
    verdict,
)
from fedcxr.metrics.superiority import Question
from fedcxr.report.protocol_words import none_eligible
from fedcxr.results.details import DifferenceDetails
from fedcxr.results.differences import (
    Difference,
    LabelDifference,
    Replicated,
    Variance,
    Verdict,
)
from fedcxr.results.frozen import Endpoint, Protocol
from fedcxr.results.judging.all_models import Pair, over_competition
from fedcxr.results.judging.scored_arms import ScoredArms
from fedcxr.results.score import Score
from fedcxr.runs.predictions import Predictions


def differences_of(
    protocol: Protocol,
    arms: ScoredArms,
    test: Predictions,
    *,
    endpoint: Endpoint,
    details: Mapping[Pair, DifferenceDetails] | None = None,
) -> tuple[Difference, ...]:
    """Return every arm minus the one that it is held against.

    Args:
        protocol: of the comparison; its pairs and margin.
        arms: the scored models of all.
        test: the truth of the test patients.
        endpoint: the labels that the verdicts are about.
        details: how far each pair is apart beside the areas.
    """
    return tuple(
        difference_of(
            pair,
            arms,
            test,
            margin=protocol.margin,
            question=protocol.question,
            endpoint=endpoint,
            details=details[pair] if details else None,
        )
        for pair in protocol.pairs
    )


def difference_of(
    pair: tuple[str, str],
    arms: ScoredArms,
    test: Predictions,
    *,
    margin: float,
    endpoint: Endpoint,
    question: Question = "non-inferiority",
    details: DifferenceDetails | None = None,
) -> Difference:
    """Return one arm minus another.

    Args:
        pair: the arm, and the one that it is held against.
        arms: the scored models of all.
        test: the truth of the test patients.
        margin: of non-inferiority, or of a gain.
        endpoint: the labels that the verdict is about.
        question: what is asked of the first.
        details: how far the two are apart beside the areas.
    """
    columns = endpoint.columns(test.labels)
    name, against = pair
    tested = arms.difference
    whole, models = tested("auroc", pair, columns), arms.of_models("auroc", pair, columns)
    first, second = (arms.by_unit("auroc", arm, columns) for arm in pair)
    by_unit = first - second
    word = _verdict(whole, margin, endpoint, question)
    by_label = _by_label(
        pair, test.labels, arms, word, margin=margin, endpoint=endpoint, question=question
    )
    # Where more patients would give no interval either, the verdict's reason says what is amiss.
    may_tell = whole.ci is not None or arms.lacks_patients_alone(pair, columns)
    return Difference(
        arm=name,
        against=against,
        about="methods" if arms.is_of_methods(pair) else "models",
        macro_auroc=Score.of(whole),
        macro_auroc_models=Score.of(models),
        macro_ap=Score.of(tested("ap", pair, columns)),
        five_auroc=over_competition(arms, test.labels, partial(tested, "auroc", pair)),
        by_label=by_label,
        variance=_variance(arms.wherever("auroc", pair, columns), by_unit, arms),
        verdict=word,
        worse_labels=tuple(name for name, each in by_label.items() if each.is_below(0.0)),
        inferior_labels=tuple(name for name, each in by_label.items() if each.is_below(-margin)),
        power=_power(whole, margin, test, columns, arms, question) if may_tell else None,
        by_seed=tuple(known(by_unit.ravel().tolist())),
        replicated=_replicated(arms),
        replicates=len(arms.units(name)),
        by_partition=tuple(known(by_unit.mean(axis=1).tolist())) if arms.is_nested else (),
        details=details,
    )


def _replicated(arms: ScoredArms) -> Replicated:
    if arms.test_share is not None:
        return "folds"
    return "partitions" if arms.is_nested else "trainings"


def _variance(found: Estimate, by_unit: NDArray[np.float64], arms: ScoredArms) -> Variance:
    """Return the parts of a difference's variance.

    Args:
        found: the difference of methods, whose first part is over patients.
        by_unit: (partitions, trainings) if nested, else (trainings, 1).
        arms: the scored models, in several partitions if nested.
    """
    patients = found.parts[0] if found.parts else None
    on_one = by_unit if arms.is_nested else by_unit.T  # (partitions, trainings)
    partitions, seeds = on_one.shape
    within = float(on_one.var(axis=1, ddof=1).mean()) if seeds > 1 else math.nan
    if arms.test_share is not None:
        of_trainings, of_folds = known([within, float(on_one.mean(axis=1).var(ddof=1))])
        return Variance(
            patients=None,
            patients_df=None,
            trainings=of_trainings,
            seeds=seeds,
            folds=of_folds,
            test_share=arms.test_share,
        )
    beyond = math.nan
    if partitions > 1 and seeds > 1:
        beyond = max(0.0, float(on_one.mean(axis=1).var(ddof=1)) - within / seeds)
    of_trainings, of_partitions = known([within, beyond])
    return Variance(
        patients=patients.variance if patients else None,
        patients_df=patients.df if patients else None,
        trainings=of_trainings,
        seeds=seeds,
        partitions=of_partitions,
        partitions_df=partitions - 1.0 if of_partitions is not None else None,
    )


def _by_label(
    pair: Pair,
    labels: Sequence[str],
    arms: ScoredArms,
    word: Verdict,
    *,
    margin: float,
    endpoint: Endpoint,
    question: Question,
) -> dict[str, LabelDifference]:
    """Return the difference of every label, its p adjusted by Holm's rule, and its bound.

    Bounds are of the endpoint's labels, and there after a verdict of non-inferiority alone.
    """
    found = [arms.difference("auroc", pair, [column]) for column in range(len(labels))]
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
            word=decide_as(question, each.ci, margin) if each.ci else None,
            lower_bound=bounds.get(label),
        )
        for label, each, p, p_holm in zip(labels, found, p_values, adjusted, strict=True)
    }


def _power(
    whole: Estimate,
    margin: float,
    test: Predictions,
    columns: Sequence[int],
    arms: ScoredArms,
    question: Question,
) -> str | None:
    """Return the note on a study that is too small to decide; it names the rarest label."""
    patients = len(set(test.patient_id.tolist()))
    if arms.test_share is not None:
        folds = len(arms.units(str(arms.arm[0])))
        return fold_power_note(
            whole, margin, patients=patients, folds=folds, level=arms.level, question=question
        )
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
        patients,
        level=arms.level,
        unit=arms.unit_names[1],
        finding=label,
        replicated=_replicated(arms),
        question=question,
    )


def _verdict(whole: Estimate, margin: float, endpoint: Endpoint, question: Question) -> Verdict:
    """Return the word and its reason; without a label in the endpoint there is nothing to judge."""
    if not endpoint.labels:
        return Verdict(word="withheld", reason=none_eligible(endpoint))
    found = verdict(whole, margin, question)
    return Verdict(word=found.word, reason=found.reason)
