"""Held-out patients and what is scored on them.

Thread count and precision change the last bits, so evaluation always uses the same ones in a run:
all cores, and float32, whatever the run trains in.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.data.cache.store import Cache, open_cache
from fedcxr.data.policies import policy_of, score_targets
from fedcxr.data.records import RecordTable
from fedcxr.metrics.auroc import macro, score_labels
from fedcxr.metrics.curves import bce
from fedcxr.metrics.studies import by_study
from fedcxr.runs.predictions import Predictions
from partitions.table import read_table


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Held-out images with their targets."""

    images: NDArray[np.uint8]
    rows: NDArray[np.int64]
    """(N,) of `images`."""
    target: NDArray[np.float32]
    """(N, L) in {0, 1, nan}."""
    image_id: NDArray[np.str_]
    study_id: NDArray[np.str_]
    patient_id: NDArray[np.str_]
    attributes: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    """(N,) each, by the names of `runs.predictions.ATTRIBUTES`."""

    def with_probs(self, labels: Sequence[str], probs: NDArray[np.float32]) -> Predictions:
        """Return what is kept of these images beside a model's probabilities (N, L)."""
        return Predictions(
            tuple(labels),
            probs,
            self.target,
            self.image_id,
            self.study_id,
            self.patient_id,
            self.attributes,
        )


@dataclass(frozen=True, slots=True)
class Scores:
    """What one evaluation says."""

    loss: float
    accuracy: float | None
    """Share of the known targets on whose side of 0.5 the probability is."""
    macro_auroc: float | None
    auroc: dict[str, float | None]


NO_SCORES = Scores(math.nan, None, None, {})


def read_held_out(
    cache: Path, csv_path: Path, *, config: ExperimentConfig, labels: Sequence[str]
) -> HeldOut:
    """Return the images of a table that are in the cache; see `held_out`."""
    return held_out(read_table(csv_path), open_cache(cache), config, labels)


def held_out(
    table: RecordTable, cache: Cache, config: ExperimentConfig, labels: Sequence[str]
) -> HeldOut:
    """Return the images of `table` that are in the cache, with the truth by the run's policy."""
    kept = [i for i, image_id in enumerate(table.image_id) if image_id in cache.row_by_id]
    columns = [table.labels.index(label) for label in labels]
    policy = policy_of(config.data, rounds=config.server.rounds)
    target = score_targets(table.states[kept][:, columns], labels, policy)
    image_id = [table.image_id[i] for i in kept]
    return HeldOut(
        cache.images,
        cache.rows(image_id),
        target,
        np.array(image_id),
        np.array([table.study_id[i] for i in kept]),
        np.array([table.patient_id[i] for i in kept]),
        _attributes(table, kept),
    )


def _attributes(table: RecordTable, rows: Sequence[int]) -> dict[str, NDArray[np.generic]]:
    ages = [table.age[i] for i in rows]
    return {
        "sex": np.array([table.sex[i] for i in rows], dtype=np.str_),
        "age": np.array([np.nan if age is None else age for age in ages], dtype=np.float32),
        "view": np.array([table.view[i] for i in rows], dtype=np.str_),
        "projection": np.array([table.projection[i] for i in rows], dtype=np.str_),
    }


def scored(
    config: ExperimentConfig, data: HeldOut, probs: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.str_]]:
    """Return target, probabilities and patients as the run scores them: by image or by study."""
    if config.data.score_by == "image":
        return data.target, probs, data.patient_id
    target, probs, _, patients = by_study(data.target, probs, data.study_id, data.patient_id)
    return target, probs, patients


def score(
    config: ExperimentConfig, data: HeldOut, probs: NDArray[np.float32], labels: Sequence[str]
) -> Scores:
    """Return loss, accuracy and AUROC of `probs`; undefined AUROC is None."""
    target, scored_probs, _ = scored(config, data, probs)
    label_scores = score_labels(target, scored_probs, labels)
    value, _ = macro(label_scores)
    known = ~np.isnan(target)
    right = (scored_probs >= 0.5) == (target == 1)
    accuracy = float(right[known].mean()) if known.any() else None
    by_label = {s.label: s.value for s in label_scores}
    return Scores(bce(data.target, probs), accuracy, value, by_label)


def val_line(scores: Scores) -> dict[str, Any]:
    """Return what a round's line says of the validation patients."""
    return {
        "val_loss": scores.loss,
        "val_accuracy": scores.accuracy,
        "val_macro_auroc": scores.macro_auroc,
        "val_auroc": scores.auroc,
    }


def test_line(scores: Scores) -> dict[str, float | None]:
    """Return what a round's line says of the test patients; None where it is not finite."""
    is_finite = math.isfinite(scores.loss)
    return {
        "test_loss": scores.loss if is_finite else None,
        "test_accuracy": scores.accuracy if is_finite else None,
    }
