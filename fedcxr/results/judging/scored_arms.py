"""The models of all arms on the same test patients, and what an arm or a pair of arms scores.

An arm's value is the mean over its models: over the seeds, and in the local arm over the sites of
each seed. What is repeated to learn how far ways of training vary is a training, or, with several
partitions, a partition with all its trainings: these are nested in it and have it in common, so
that the partitions' means are the values that vary. The folds of a cross-validation are partitions
that test other patients each. Every interval that leaves here held in the
self-test of the statistics for such a test set (see `metrics.gate`); one that did not is left out,
with the reason.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.estimate import MIN_SEEDS, Estimate
from fedcxr.metrics.fold_regime import INTERVAL, FoldStudy
from fedcxr.metrics.gate import TRIED, gated
from fedcxr.metrics.regime import load_regime
from fedcxr.metrics.scored_areas import MEASURES, Measure, score_models
from fedcxr.metrics.scored_folds import join_folds
from fedcxr.metrics.scored_models import ScoredModels
from fedcxr.metrics.studies import IMAGES, Units
from fedcxr.runs.predictions import Predictions

Scored = Measure | ScoredModels
"""One of the areas, or any measure of the same trainings (`ScoredArms.by_training`)."""
_OVER_FOLDS: Measure = "auroc"
"""What the self-test has tried the interval over folds of."""
_AREA_ALONE = "no interval: over folds the self-test of the statistics has tried the AUROC alone"


class Trained(Protocol):
    """What must be known of a training to join its models."""

    @property
    def arm(self) -> str:
        """Return whose model it is."""

    @property
    def seed(self) -> int:
        """Return what no other training of the arm has, unless of another site."""

    @property
    def partition(self) -> int:
        """Return which of the draws of patients to sites it is trained on."""


ModelsOfFold = tuple[Predictions, Sequence[tuple[Trained, ArrayLike]]]
"""Test patients, and what each training's model says of them."""


@dataclass(frozen=True, slots=True)
class ScoredArms:
    """T trainings, an arm and a seed each, and the size of the test set."""

    scored: Mapping[Measure, ScoredModels]  # of the trainings
    arm: NDArray[np.str_]  # (T,)
    seed: NDArray[np.int64]  # (T,)
    unit: NDArray[np.int64]  # (T,) the partition if there are several, else the seed
    is_nested: bool  # trainings in several partitions
    models: FloatArray  # (T, K) what each of the K models counts in a training
    cluster: float  # images, or studies, a patient on average
    level: float
    unit_names: Units  # of a row
    test_share: float | None = None
    """Of a cross-validation, how many patients a fold tests for each that it trains on; None where
    all models have the same test patients."""

    @classmethod
    def of(
        cls,
        test: Predictions,
        probs: Sequence[tuple[Trained, ArrayLike]],
        level: float,
        units: Units = IMAGES,
    ) -> "ScoredArms":
        """Return the (N, L) probabilities of each training's model, scored.

        Args:
            test: the truth of the N rows.
            probs: by training.
            level: of the intervals.
            units: what a row is called.
        """
        return cls.of_folds([(test, probs)], level, units)

    @classmethod
    def of_folds(
        cls,
        folds: Sequence[ModelsOfFold],
        level: float,
        units: Units = IMAGES,
        *,
        test_share: float | None = None,
    ) -> "ScoredArms":
        """Return the models of each fold, scored on its patients.

        Args:
            folds: the truth of each fold's test patients, and the (N, L) probabilities of each
                training's model on them; one fold is one test set for all models.
            level: of the intervals.
            units: what a row is called.
            test_share: see `ScoredArms`; given for several folds.
        """
        done = [training for _, probs in folds for training, _ in probs]
        images = sum(len(test.patient_id) for test, _ in folds)
        everyone = sum(len(set(test.patient_id.tolist())) for test, _ in folds)
        is_nested = len({training.partition for training in done}) > 1
        names = [(t.arm, t.seed, t.partition if is_nested else t.seed) for t in done]
        trainings = sorted(set(names), key=names.index)
        own = np.array([[name == each for name in names] for each in trainings], dtype=np.float64)
        weights = own / own.sum(axis=1, keepdims=True)
        areas = [
            score_models(
                test.target,
                np.array([found for _, found in probs], dtype=np.float64),
                test.patient_id,
                test.labels,
            )
            for test, probs in folds
        ]
        return cls(
            scored={
                measure: join_folds([each[measure] for each in areas]).combined(weights)
                for measure in MEASURES
            },
            arm=np.array([arm for arm, _, _ in trainings]),
            seed=np.array([seed for _, seed, _ in trainings]),
            unit=np.array([unit for _, _, unit in trainings]),
            is_nested=is_nested,
            models=weights,
            cluster=images / max(1, everyone),
            level=level,
            unit_names=units,
            test_share=test_share,
        )

    def by_training(self, models: ScoredModels) -> ScoredModels:
        """Return a measure of the trainings from that of all models."""
        return models.combined(self.models)

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

    def mean(self, scored: Scored, arm: str, columns: Sequence[int]) -> Estimate:
        """Return an arm's mean over these labels, or one label, for other patients."""
        models = self._models(scored)
        found = models.mean(self._weights(arm), columns, self.level)
        return self._gated(found, models, columns, [arm], TRIED[models.measure].mean)

    def difference(self, scored: Scored, pair: tuple[str, str], columns: Sequence[int]) -> Estimate:
        """Return how far apart two arms are: their methods, or with one training their models."""
        tested = self.of_methods if self.is_of_methods(pair) else self.of_models
        return tested(scored, pair, columns)

    def is_of_methods(self, pair: tuple[str, str]) -> bool:
        """Return whether there are trainings enough for a word about ways of training."""
        return len(self.units(pair[0])) >= MIN_SEEDS

    def of_models(self, scored: Scored, pair: tuple[str, str], columns: Sequence[int]) -> Estimate:
        """Return how far apart these very models are: for other patients."""
        models = self._models(scored)
        contrast = self._weights(pair[0]) - self._weights(pair[1])
        found = models.difference(contrast, columns, self.level)
        return self._gated(found, models, columns, pair, TRIED[models.measure].models)

    def of_methods(self, scored: Scored, pair: tuple[str, str], columns: Sequence[int]) -> Estimate:
        """Return how far apart two ways of training are: for other patients and trainings."""
        models = self._models(scored)
        found = self.wherever(models, pair, columns)
        if self.test_share is not None:
            return self._over_folds(found, models, columns, pair)
        tried = TRIED[models.measure]
        seeds = len(self.units(pair[0])) if tried.methods != tried.models else None
        return self._gated(found, models, columns, pair, tried.methods, seeds)

    def wherever(self, scored: Scored, pair: tuple[str, str], columns: Sequence[int]) -> Estimate:
        """Return what `of_methods` does, shown to hold or not: a pilot is to tell its variances."""
        units = self.units(pair[0])
        pairs = np.array(
            [self._weights(pair[0], unit) - self._weights(pair[1], unit) for unit in units]
        )
        models = self._models(scored)
        if self.test_share is None:
            return models.method_difference(pairs, columns, self.level)
        return models.fold_difference(pairs, columns, self.level, test_share=self.test_share)

    def lacks_patients_alone(self, pair: tuple[str, str], columns: Sequence[int]) -> bool:
        """Return whether more patients of this kind would give the verdict its interval."""
        if self.test_share is not None:
            return self._fold_study(pair, columns).is_reachable()
        units = len(self.units(pair[0]))
        auroc = self._auroc(pair, columns)
        name, trainings = ("methods", units) if units >= MIN_SEEDS else ("models", None)
        return load_regime(name).covered(sys.maxsize, self.cluster, auroc, trainings)[0]

    def _over_folds(
        self, found: Estimate, models: ScoredModels, columns: Sequence[int], pair: tuple[str, str]
    ) -> Estimate:
        """Return a difference over folds without its interval where such a one was not tried."""
        if models.measure != _OVER_FOLDS:
            return replace(found, ci=None, parts=(), reason=_AREA_ALONE)
        return gated(
            found,
            models,
            columns,
            interval=INTERVAL,
            cluster=self.cluster,
            auroc=self._auroc(pair, columns),
            over_folds=self._fold_study(pair, columns),
        )

    def _fold_study(self, pair: tuple[str, str], columns: Sequence[int]) -> FoldStudy:
        by_fold = [self.by_unit("auroc", arm, columns) for arm in pair]  # (folds, trainings) each
        trainings = by_fold[0].shape[1]
        spread = None
        if trainings > 1:
            spread = max(float(np.sqrt(each.var(axis=1, ddof=1).mean())) for each in by_fold)
        auroc = self._auroc(pair, columns)
        return FoldStudy(len(by_fold[0]), trainings, spread, self.cluster, auroc, self.unit_names)

    def _models(self, scored: Scored) -> ScoredModels:
        return scored if isinstance(scored, ScoredModels) else self.scored[scored]

    def _weights(self, arm: str, unit: int | None = None) -> FloatArray:
        own = self.arm == arm
        if unit is not None:
            own &= self.unit == unit
        return np.asarray(own / own.sum(), dtype=np.float64)

    def _auroc(self, arms: Sequence[str], columns: Sequence[int]) -> float:
        """Return the best arm's mean AUROC, nan where no label has one."""
        macro = self.scored["auroc"].macro(columns)
        return max(float(macro[self.arm == arm].mean()) for arm in arms)

    def _gated(
        self,
        found: Estimate,
        models: ScoredModels,
        columns: Sequence[int],
        arms: Sequence[str],
        interval: str,
        seeds: int | None = None,
    ) -> Estimate:
        """Return it without its interval where such an interval was not shown to hold."""
        return gated(
            found,
            models,
            columns,
            interval=interval,
            cluster=self.cluster,
            auroc=self._auroc(arms, columns),
            seeds=seeds,
            units=self.unit_names,
        )
