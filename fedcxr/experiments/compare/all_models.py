"""What every model of every arm says of the same test patients, and a measure of all of them.

A measure is computed for all models at once and given back arm by arm and pair by pair.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcxr.experiments.compare.arms import Training
from fedcxr.experiments.compare.scored_arms import ScoredArms
from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.estimate import Estimate
from fedcxr.metrics.patient_images import check_patients
from fedcxr.metrics.scored_models import ScoredModels
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
    unit: str  # what a row is called, in the plural

    @classmethod
    def of(
        cls,
        trainings: Sequence[Training],
        test: Sequence[Predictions],
        val: Sequence[Predictions],
        *,
        pairs: Sequence[Pair],
        unit: str,
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
            scored=ScoredArms.of(test[0], pairs_of, LEVEL),
            pairs=tuple(pairs),
            unit=unit,
        )

    @property
    def names(self) -> list[str]:
        """Return the arms in their order."""
        return list(dict.fromkeys(self.arm.tolist()))

    def rows(self, arm: str) -> NDArray[np.intp]:
        """Return the arm's models among the K."""
        return np.flatnonzero(self.arm == arm)

    def table(self, models: ScoredModels) -> ScoreTable:
        """Return a measure of all models by arm and by pair of arms."""
        trainings = self.scored.by_training(models)
        columns = range(len(self.test.labels))
        is_share = models.bounds != "none"

        def score(found: Estimate) -> Score:
            ci = found.ci
            if ci and is_share:  # no difference of shares is larger; few trainings give wide ends
                ci = max(-1.0, ci[0]), min(1.0, ci[1])
            return Score.of(replace(found, ci=ci, reason=in_unit(found.reason, self.unit)))

        return ScoreTable(
            arms={
                arm: [score(self.scored.mean(trainings, arm, [column])) for column in columns]
                for arm in self.names
            },
            pairs={
                pair: [
                    score(self.scored.difference(trainings, pair, [column])) for column in columns
                ]
                for pair in self.pairs
            },
        )


def in_unit(text: str | None, unit: str) -> str | None:
    """Return what the metrics say, with the rows called by their unit: they call each an image.

    >>> in_unit("no image called positive of 2 images", "studies")
    'no study called positive of 2 studies'
    """
    if text is None or unit == "images":
        return text
    return text.replace("images", "studies").replace("image", "study")
