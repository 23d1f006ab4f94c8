"""Patients drawn with replacement, and what each patient or image weighs in a resample.

The images of one patient resemble one another, so a resample draws patients, not images; a patient
drawn twice brings all images twice. Nothing is copied: the weight of an image is how often its
patient was drawn. One seed gives one stream of draws, however many are taken at once, so measures
that are resampled apart still see the same patients.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcxr.metrics.auroc import Interval
from fedcxr.seeding import derive_rng

CHUNK_ELEMENTS = 200_000  # images × resamples at once: 1.6 MB an array, which the cache holds


def group(patient_id: ArrayLike) -> NDArray[np.intp]:
    """Return (N,) the number of each row's patient, 0 to P - 1 in the order of their names.

    >>> group(["p2", "p1", "p2"])
    array([1, 0, 1])
    """
    _, number = np.unique(np.asarray(patient_id), return_inverse=True)
    return number


def draw_patients(rng: np.random.Generator, num_draws: int, num_patients: int) -> NDArray[np.int64]:
    """Return (num_draws, num_patients) patients drawn with replacement, a resample a row."""
    return rng.integers(0, num_patients, size=(num_draws, num_patients), dtype=np.int64)


def patient_weights(
    num_patients: int, resamples: int, seed: int, *, at_once: int
) -> Iterator[NDArray[np.int64]]:
    """Yield (R', num_patients) how often each patient was drawn, `at_once` resamples a time."""
    rng = derive_rng(seed, "bootstrap")
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        drawn = draw_patients(rng, size, num_patients)
        cells = drawn + num_patients * np.arange(size)[:, None]
        times = np.bincount(cells.ravel(), minlength=size * num_patients)
        yield times.reshape(size, num_patients)


def image_weights(
    patient: NDArray[np.intp], resamples: int, seed: int, *, elements: int = CHUNK_ELEMENTS
) -> Iterator[NDArray[np.int64]]:
    """Yield (R', N) weights, how often each image's patient was drawn, some resamples a time.

    Args:
        patient: (N,) in 0 to P - 1, each of them met (see `group`).
        resamples: how many times the patients are drawn; the parts' R' add up to it.
        seed: root seed of the draws.
        elements: R' × N is about this; it does not change the draws.
    """
    at_once = max(1, elements // len(patient))
    for times in patient_weights(int(patient.max()) + 1, resamples, seed, at_once=at_once):
        yield times.take(patient, axis=1)


def percentile(draws: ArrayLike, level: float) -> Interval:
    """Return the quantiles that leave `level` of the draws between them.

    Args:
        draws: (R,) resampled values, one at least.
        level: in (0, 1).

    Raises:
        ValueError: a level out of range.

    >>> percentile([0.0, 1.0, 2.0, 3.0, 4.0], 0.5)
    (1.0, 3.0)
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    low, high = np.quantile(np.asarray(draws), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
