"""The models of all arms on the same test patients, and what an arm or a pair of arms scores.

An arm's value is the mean over its models: over the seeds, and in the local arm over the sites of
each seed. What is repeated to learn how far ways of training vary is a training, or, with several
partitions, a partition with all its trainings: these are nested in it and have it in common, so
that the partitions' means are the values that vary. Every interval that leaves here held in the
self-test of the statistics for such a test set (see `metrics.regime`); one that did not is left
out, with the reason.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.experiments.compare.arms import Training
from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.estimate import MIN_SEEDS, Estimate
from fedcxr.metrics.regime import load_regime
from fedcxr.metrics.scored_models import Measure, ScoredModels, score_models
from fedcxr.report.protocol_words import patients_words
from fedcxr.runs.predictions import Predictions


@dataclass(frozen=True, slots=True)
class ScoredArms:
    """K models, whose arm and seed each is, and the size of the test set."""

    scored: Mapping[Measure, ScoredModels]
    arm: NDArray[np.str_]  # (K,)
    seed: NDArray[np.int64]  # (K,)
    unit: NDArray[np.int64]  # (K,) the partition if there are several, else the seed
    is_nested: bool  # trainings in several partitions
    cluster: float  # images, or studies, a patient on average
    level: float

    @classmethod
    def of(
        cls, test: Predictions, probs: Sequence[tuple[Training, ArrayLike]], level: float
    ) -> "ScoredArms":
        """Return the (N, L) probabilities of each training's model, scored."""
        models = np.array([found for _, found in probs], dtype=np.float64)
        everyone = len(set(test.patient_id.tolist()))
        is_nested = len({training.partition for training, _ in probs}) > 1
        return cls(
            scored=score_models(test.target, models, test.patient_id, test.labels),
            arm=np.array([training.arm for training, _ in probs]),
            seed=np.array([training.seed for training, _ in probs]),
            unit=np.array([t.partition if is_nested else t.seed for t, _ in probs]),
            is_nested=is_nested,
            cluster=len(test.patient_id) / max(1, everyone),
            level=level,
        )

    def seeds(self, arm: str) -> list[int]:
        """Return the seeds of an arm, rising."""
        return sorted(set(self.seed[self.arm == arm].tolist()))

    def units(self, arm: str) -> list[int]:
        """Return what of an arm was repeated: its partitions if there are several, else seeds."""
        return sorted(set(self.unit[self.arm == arm].tolist()))

    def by_seed(self, measure: Measure, arm: str, columns: Sequence[int]) -> list[float]:
        """Return the macro mean of each training: in the local arm the mean over its sites."""
        macro = self.scored[measure].macro(columns)
        own = self.arm == arm
        return [float(macro[own & (self.seed == seed)].mean()) for seed in self.seeds(arm)]

    def by_unit(self, measure: Measure, arm: str, columns: Sequence[int]) -> NDArray[np.float64]:
        """Return the macro mean of each training by what was repeated, (units, trainings)."""
        units = {int(s): int(u) for s, u in zip(self.seed, self.unit, strict=True)}
        seeds, values = self.seeds(arm), self.by_seed(measure, arm, columns)
        found = [
            [value for seed, value in zip(seeds, values, strict=True) if units[seed] == unit]
            for unit in self.units(arm)
        ]
        return np.array(found, dtype=np.float64)

    def mean(self, measure: Measure, arm: str, columns: Sequence[int]) -> Estimate:
        """Return an arm's mean over these labels, or one label, for other patients."""
        found = self.scored[measure].mean(self._weights(arm), columns, self.level)
        return self._if_held(measure, found, columns, self._auroc([arm], columns))

    def of_models(
        self, measure: Measure, pair: tuple[str, str], columns: Sequence[int]
    ) -> Estimate:
        """Return how far apart these very models are: for other patients."""
        contrast = self._weights(pair[0]) - self._weights(pair[1])
        found = self.scored[measure].difference(contrast, columns, self.level)
        name = "models" if measure == "auroc" else "ap_difference"
        return self._if_held(name, found, columns, self._auroc(pair, columns))

    def of_methods(
        self, measure: Measure, pair: tuple[str, str], columns: Sequence[int]
    ) -> Estimate:
        """Return how far apart two ways of training are: for other patients and trainings."""
        found = self.wherever(measure, pair, columns)
        auroc = self._auroc(pair, columns)
        if measure == "ap":
            return self._if_held("ap_difference", found, columns, auroc)
        return self._if_held("methods", found, columns, auroc, seeds=len(self.units(pair[0])))

    def wherever(self, measure: Measure, pair: tuple[str, str], columns: Sequence[int]) -> Estimate:
        """Return what `of_methods` does, shown to hold or not: a pilot is to tell its variances."""
        units = self.units(pair[0])
        pairs = [self._weights(pair[0], unit) - self._weights(pair[1], unit) for unit in units]
        return self.scored[measure].method_difference(np.array(pairs), columns, self.level)

    def lacks_patients_alone(self, pair: tuple[str, str], columns: Sequence[int]) -> bool:
        """Return whether more patients of this kind would give the verdict its interval."""
        units = len(self.units(pair[0]))
        auroc = self._auroc(pair, columns)
        name, trainings = ("methods", units) if units >= MIN_SEEDS else ("models", None)
        return load_regime(name).covered(sys.maxsize, self.cluster, auroc, trainings)[0]

    def _weights(self, arm: str, unit: int | None = None) -> FloatArray:
        own = self.arm == arm
        if unit is not None:
            own &= self.unit == unit
        return np.asarray(own / own.sum(), dtype=np.float64)

    def _auroc(self, arms: Sequence[str], columns: Sequence[int]) -> float:
        """Return the best arm's mean AUROC, nan where no label has one."""
        return max(float(np.mean(self.by_seed("auroc", arm, columns))) for arm in arms)

    def _if_held(
        self,
        name: str,
        found: Estimate,
        columns: Sequence[int],
        auroc: float,
        seeds: int | None = None,
    ) -> Estimate:
        """Return it without its interval where such an interval was not shown to hold."""
        if np.isnan(found.value):
            return found
        scored = self.scored["auroc"]
        few, kind, column = min(
            (int(scored.patients[column][kind]), kind, column)
            for column in columns
            for kind in (0, 1)
        )
        is_held, why = load_regime(name).covered(
            few,
            self.cluster,
            auroc,
            seeds,
            rarest=patients_words(few, scored.labels[column], with_it=kind == 0),
        )
        return found if is_held else replace(found, ci=None, parts=(), reason=why)
