"""Both areas of many models on the same test patients, and how far each patient moves them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.cores import cores
from fedcxr.metrics.areas import Areas
from fedcxr.metrics.auroc import FloatArray, check_scores
from fedcxr.metrics.estimate import Estimate
from fedcxr.metrics.jackknife import jackknife
from fedcxr.metrics.patient_images import PatientImages, check_patients
from fedcxr.metrics.scored_models import Bounds, ScoredModels

Measure = Literal["auroc", "ap"]
MEASURES: tuple[Measure, ...] = ("auroc", "ap")
_BOUNDS: dict[Measure, Bounds] = {"auroc": "auroc", "ap": "area"}


def score_models(
    target: ArrayLike,
    models: ArrayLike,
    patient_id: ArrayLike,
    labels: Sequence[str],
    *,
    measures: Sequence[Measure] = MEASURES,
    threads: int | None = None,
) -> dict[Measure, ScoredModels]:
    """Return both measures of K models, or one of them.

    A label without both classes has neither: the average precision of positives alone would be 1
    whatever the model. One whose positives, or negatives, are all of one patient has no interval.

    Args:
        target: (N, L) in {0, 1, nan}; nan is left out.
        models: (K, N, L) scores.
        patient_id: (N,) whose image each row is.
        labels: the L names.
        measures: the AUROC alone takes half the time.
        threads: at most so many, the cores there are if not given; the result is the same.

    Raises:
        RunError: a score is not finite.
        ValueError: the shapes do not agree.
    """
    truth, scores, patient = check_models(target, models, patient_id, labels)
    whose = PatientImages.of(truth, patient)
    columns = [np.ascontiguousarray(column) for column in truth.T]
    places = [(model, label) for model in range(len(scores)) for label in range(len(labels))]

    def found(place: tuple[int, int]) -> Areas:
        model, label = place
        own = np.ascontiguousarray(scores[model, :, label])
        return jackknife(columns[label], own, patient, with_ap="ap" in measures)

    num_threads = threads or cores()
    if num_threads == 1:
        each = list(map(found, places))
    else:
        with ThreadPoolExecutor(num_threads) as pool:
            each = list(pool.map(found, places))
    table = np.array(each).reshape(*scores.shape[::2], 2, -1)
    missing = [whose.missing(column) for column in range(len(labels))]
    table[:, [why is not None for why in missing]] = np.nan
    reasons = tuple(why or whose.alone(column) for column, why in enumerate(missing))
    return {
        measure: ScoredModels(
            measure=measure,
            bounds=_BOUNDS[measure],
            labels=tuple(labels),
            patients=whose.patients,
            value=table[:, :, MEASURES.index(measure), 0],
            influence=_influence(table[:, :, MEASURES.index(measure)]),
            kind=whose.has_finding.astype(np.int8),
            images=whose.images.astype(np.float64),
            reasons=(reasons,) * len(scores),
        )
        for measure in measures
    }


def _influence(table: FloatArray) -> FloatArray:
    """Return (K, L, P) the value less what it is without each patient, of (K, L, 1 + P)."""
    return table[..., :1] - table[..., 1:]


def score_one(target: ArrayLike, probs: ArrayLike, patient_id: ArrayLike, level: float) -> Estimate:
    """Return the AUROC of one model for one label, (N,) each, with its interval.

    >>> target, probs = [0, 0, 0, 1, 1, 1], [0.1, 0.4, 0.5, 0.35, 0.8, 0.9]
    >>> found = score_one(target, probs, list("abcdef"), 0.95)
    >>> round(found.value, 4), round(found.se, 4)  # 7 of 9 pairs
    (0.7778, 0.2778)
    """
    truth, scores = np.asarray(target)[:, None], np.asarray(probs)[None, :, None]
    found = score_models(truth, scores, patient_id, [""], measures=["auroc"], threads=1)["auroc"]
    return found.mean(np.ones(1), [0], level)


def check_models(
    target: ArrayLike, models: ArrayLike, patient_id: ArrayLike, labels: Sequence[str]
) -> tuple[FloatArray, FloatArray, NDArray[np.intp]]:
    """Return target (N, L), scores (K, N, L) and patients (N,) from 0, once they agree.

    Raises:
        RunError: a score is not finite.
        ValueError: the shapes do not agree.
    """
    truth, scores = np.asarray(target, dtype=np.float64), np.asarray(models, dtype=np.float64)
    if truth.ndim != 2 or scores.ndim != 3 or scores.shape[1:] != truth.shape:
        need = "need target (N, L) and models (K, N, L)"
        raise ValueError(f"{need}, got {truth.shape} and {scores.shape}")
    if truth.shape[1] != len(labels):
        raise ValueError(f"need {truth.shape[1]} labels, got {len(labels)}")
    for model in scores:
        check_scores(truth, model)
    return truth, scores, check_patients(patient_id, len(truth))
