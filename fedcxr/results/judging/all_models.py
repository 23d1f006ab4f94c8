"""What every model of every arm says of the same test patients, and a measure of all of them.

A measure is computed for all models at once and given back arm by arm and pair by pair.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.labels import COMPETITION_LABELS
from fedcxr.errors import ArtefactError
from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.estimate import Estimate
from fedcxr.metrics.patient_images import check_patients
from fedcxr.metrics.scored_models import ScoredModels
from fedcxr.metrics.studies import Units
from fedcxr.results.judging.scored_arms import ScoredArms, Trained
from fedcxr.results.score import Score
from fedcxr.runs.predictions import Predictions

LEVEL = 0.95
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """One measure of every arm and every pair of arms, label by label."""

    arms: Mapping[str, Sequence[Score]]
    pairs: Mapping[Pair, Sequence[Score]]


@dataclass(frozen=True, slots=True)
class AllModels:
    """K models of all arms, on the same test and validation patients."""

    test: Predictions
    probs: FloatArray  # (K, N, L) on test
    val: tuple[Predictions, ...]  # (K,)
    arm: NDArray[np.str_]  # (K,) whose each is
    patient: NDArray[np.intp]  # (N,)
    scored: ScoredArms
    pairs: tuple[Pair, ...]

    @classmethod
    def of(
        cls,
        trainings: Sequence[Trained],
        test: Sequence[Predictions],
        val: Sequence[Predictions],
        *,
        pairs: Sequence[Pair],
        units: Units,
    ) -> "AllModels":
        """Return them from each training's predictions, as they are scored."""
        probs = np.array([found.probs for found in test], dtype=np.float64)
        pairs_of = list(zip(trainings, probs, strict=True))
        return cls(
            test=test[0],
            probs=probs,
            val=tuple(val),
            arm=np.array([training.arm for training in trainings]),
            patient=check_patients(test[0].patient_id, len(test[0].patient_id)),
            scored=ScoredArms.of(test[0], pairs_of, LEVEL, units),
            pairs=tuple(pairs),
        )

    @property
    def units(self) -> Units:
        """Return what a row is called."""
        return self.scored.unit_names

    @property
    def names(self) -> list[str]:
        """Return the arms in their order."""
        return list(dict.fromkeys(self.arm.tolist()))

    def rows(self, arm: str) -> NDArray[np.intp]:
        """Return the arm's models among the K."""
        return np.flatnonzero(self.arm == arm)

    def table(
        self, models: ScoredModels, over: Sequence[Sequence[int]] | None = None
    ) -> ScoreTable:
        """Return a measure of all models by arm and by pair of arms.

        Args:
            models: the measure.
            over: the labels of each macro mean, by column; none = each label by itself.
        """
        trainings = self.scored.by_training(models)
        means = [[column] for column in range(len(self.test.labels))] if over is None else over
        is_share = models.bounds != "none"

        def score(found: Estimate) -> Score:
            ci = found.ci
            if ci and is_share:  # no difference of shares is larger; few trainings give wide ends
                ci = max(-1.0, ci[0]), min(1.0, ci[1])
            return Score.of(replace(found, ci=ci))

        return ScoreTable(
            arms={
                arm: [score(self.scored.mean(trainings, arm, each)) for each in means]
                for arm in self.names
            },
            pairs={
                pair: [score(self.scored.difference(trainings, pair, each)) for each in means]
                for pair in self.pairs
            },
        )


def over_competition(
    arms: ScoredArms, labels: Sequence[str], tested: Callable[[Sequence[int]], Estimate]
) -> Score | None:
    """Return an AUROC, or a difference, over CheXpert's competition labels.

    It is of all of them; None where the data lack one, and without a value where one has none.

    Args:
        arms: the scored models.
        labels: their labels.
        tested: makes it from the columns of the labels.
    """
    if not set(COMPETITION_LABELS) <= set(labels):
        return None
    columns, scores = [labels.index(label) for label in COMPETITION_LABELS], arms.scored["auroc"]
    lacking = sorted(set(columns) - set(scores.defined(columns)))
    if lacking:
        named = ", ".join(f"{labels[column]} ({scores.reasons[0][column]})" for column in lacking)
        reason = f"not defined for all {len(columns)} labels: {named}"
        return Score(value=None, reason=reason)
    return Score.of(tested(columns))


def same_patients(scored: Mapping[str, Predictions]) -> Predictions:
    """Return the first training's test set once all others are seen to have the same.

    Args:
        scored: by training.

    Raises:
        ArtefactError: one has other images or labels.
    """
    (first_name, first), *others = scored.items()
    for name, found in others:
        same = (
            found.labels == first.labels
            and np.array_equal(found.image_id, first.image_id)
            and np.array_equal(found.target, first.target, equal_nan=True)
        )
        if not same:
            raise ArtefactError(
                f"{name} was judged on other images or labels than {first_name}. "
                "A file was changed after the run; compare anew."
            )
    return first
