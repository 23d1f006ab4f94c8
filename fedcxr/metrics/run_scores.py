"""The AUROC of one model on its test patients, label by label and macro, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from fedcxr.metrics.auroc import Interval, LabelScore, score_labels
from fedcxr.metrics.estimate import Estimate
from fedcxr.metrics.gate import TRIED, gated
from fedcxr.metrics.scored_areas import score_models
from fedcxr.metrics.studies import IMAGES, Units

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class RunScores:
    """Scores with intervals, and the macro mean with its own."""

    scores: tuple[LabelScore, ...]
    macro: float | None
    macro_ci: Interval | None
    macro_reason: str | None  # why `macro` or its interval is None
    macro_labels: int  # number of labels in the macro mean


def score_run(
    target: ArrayLike,
    probs: ArrayLike,
    labels: Sequence[str],
    patient_id: ArrayLike,
    *,
    level: float = LEVEL,
    units: Units = IMAGES,
) -> RunScores:
    """Return the AUROC of every label and their macro mean, each with its interval.

    An interval that did not hold in the self-test for such a test set is not given, and the reason
    says so.

    Args:
        target: (N, L) in {0, 1, nan}.
        probs: (N, L) scores.
        labels: the L names.
        patient_id: (N,) whose image each row is.
        level: of the intervals.
        units: what the rows are called.

    Raises:
        RunError: a score is not finite.
        ValueError: shapes that do not agree, or a level out of range.

    >>> found = score_run([[0], [1], [0]], [[0.1], [0.8], [0.9]], ["Edema"], list("abc"))
    >>> found.macro, found.macro_ci, found.scores[0].reason
    (0.5, None, 'no interval: all positives are of one patient')
    """
    scores = score_labels(target, probs, labels)
    models = np.asarray(probs, dtype=np.float64)[None]
    scored = score_models(target, models, patient_id, labels, measures=["auroc"])["auroc"]
    cluster = len(models[0]) / scored.influence.shape[-1]

    def estimate(columns: Sequence[int]) -> Estimate:
        found = scored.mean(np.ones(1), columns, level)
        interval = TRIED["auroc"].mean
        return gated(
            found,
            scored,
            columns,
            interval=interval,
            cluster=cluster,
            auroc=found.value,
            units=units,
        )

    kept = scored.defined(range(len(labels)))
    macro = estimate(kept)
    return RunScores(
        scores=tuple(
            _with_interval(score, estimate([column])) for column, score in enumerate(scores)
        ),
        macro=macro.value if kept else None,
        macro_ci=macro.ci,
        macro_reason=macro.reason if kept else "no label has both classes",
        macro_labels=len(kept),
    )


def _with_interval(score: LabelScore, found: Estimate) -> LabelScore:
    return replace(score, ci=found.ci, reason=found.reason)
