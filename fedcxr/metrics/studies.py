"""From images to studies: one score for all the views taken at one visit.

CheXpert scores studies: the probability of a finding is the maximum over the views, because a
sign may show on one of them only. Not for training, where every image counts by itself.

Source: Irvin et al. 2019, "CheXpert", §4.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.runs.predictions import Predictions, read_prediction_sets

FloatArray = NDArray[np.floating]
TextArray = NDArray[np.str_]
Units = tuple[str, str]
"""What a row of scored predictions is called, one and many."""

IMAGES: Units = ("image", "images")
STUDIES: Units = ("study", "studies")


def units_of(score_by: str) -> Units:
    """Return what is scored and counted on a test set.

    >>> units_of("study")
    ('study', 'studies')
    """
    return STUDIES if score_by == "study" else IMAGES


def by_study(
    target: FloatArray, probs: FloatArray, study_id: ArrayLike, patient_id: ArrayLike
) -> tuple[FloatArray, FloatArray, TextArray, TextArray]:
    """Return target, probs, study_id and patient_id with one row a study, as first met.

    A study is a (patient, study) pair, so that names like "study1" may recur among patients.

    Args:
        target: (N, L) in {0, 1, nan}; a study's is the maximum over its known views, nan if none.
        probs: (N, L); a study's is the maximum over its views. A nan stays nan.
        study_id: (N,).
        patient_id: (N,).
    """
    studies = np.asarray(study_id, dtype=np.str_)
    patients = np.asarray(patient_id, dtype=np.str_)
    group, first = _group(patients, studies)
    num_groups = len(first)
    top = np.full((num_groups, probs.shape[1]), -np.inf, dtype=probs.dtype)
    np.maximum.at(top, group, probs)
    truth = np.full((num_groups, target.shape[1]), np.nan, dtype=target.dtype)
    np.fmax.at(truth, group, target)
    return truth, top, studies[first], patients[first]


def as_scored(predictions: Predictions, score_by: str) -> Predictions:
    """Return predictions by image, or with one row a study and the attributes of its first image.

    Args:
        predictions: by image.
        score_by: `image` or `study`.
    """
    if score_by == "image":
        return predictions
    one = predictions
    target, probs, studies, patients = by_study(one.target, one.probs, one.study_id, one.patient_id)
    _, first = _group(one.patient_id, one.study_id)
    return replace(
        one,
        probs=probs,
        target=target,
        image_id=one.image_id[first],
        study_id=studies,
        patient_id=patients,
        attributes={name: values[first] for name, values in one.attributes.items()},
    )


def read_scored(path: Path, splits: Sequence[str]) -> dict[str, Predictions]:
    """Return a file's predictions of some splits, a row an image or a study, as the run scores.

    Raises:
        ArtefactError: the file is missing, damaged, or lacks a split.
    """
    found, score_by = read_prediction_sets(path, splits)
    return {split: as_scored(each, score_by) for split, each in found.items()}


def _group(patients: TextArray, studies: TextArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return each row's group (N,), numbered as first met, and the first row of each (G,)."""
    _, patient = np.unique(patients, return_inverse=True)
    names, study = np.unique(studies, return_inverse=True)
    pair = patient * max(len(names), 1) + study
    _, first, group = np.unique(pair, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.intp)
    place[np.argsort(first, kind="stable")] = np.arange(len(first))
    return place[group], np.sort(first)
