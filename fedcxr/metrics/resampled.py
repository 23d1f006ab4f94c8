"""Both areas of many models on the same images: in every resample, and without every patient.

The costly part of comparing arms. Each label of each model is put in order once; every chunk of
resamples is then a product of sparse matrices for each (see `areas`). Threads share these columns;
a number is computed by one of them, so their number does not change it. Not for one model alone
with intervals of its AUROC: see `bootstrap`.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from fedcxr.metrics.areas import Areas, find_steps, weighted_areas
from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.jackknife import jackknife
from fedcxr.metrics.resampling import patient_weights

_CHUNK_ELEMENTS = 800_000  # images × resamples at once: 3 MB at most in each array of `areas`


def resampled_areas(
    truth: FloatArray,
    models: FloatArray,
    patient: NDArray[np.intp],
    *,
    resamples: int,
    seed: int,
    threads: int,
) -> tuple[FloatArray, FloatArray]:
    """Return the areas of M models, AUROC first and average precision second.

    Args:
        truth: (N, L) in {0, 1, nan}.
        models: (M, N, L) finite scores.
        patient: (N,) in 0 to P - 1, each of them met.
        resamples: R, how many times the patients are drawn.
        seed: root seed of the draws, which are those of `image_weights`.
        threads: at most so many.

    Returns:
        (2, M, L, 1 + R) on the full set and then in each resample, and (2, M, L, P) without each
        patient. Where a label keeps one class only both are nan: the average precision would be
        1 whatever the model, which is no evidence.
    """
    shape = (len(models), truth.shape[1])
    truths = [np.ascontiguousarray(column) for _ in models for column in truth.T]
    columns = [np.ascontiguousarray(column) for model in models for column in model.T]
    with ThreadPoolExecutor(threads) as pool:
        without = list(pool.map(partial(jackknife, patient=patient), truths, columns))
        steps = list(pool.map(partial(find_steps, unit=patient), truths, columns))
        drawn = [
            _table(list(pool.map(partial(weighted_areas, weights=weights), steps)), shape)
            for weights in weightings(patient, resamples, seed)
        ]
    return np.concatenate(drawn, axis=-1), _table(without, shape)


def weightings(patient: NDArray[np.intp], resamples: int, seed: int) -> Iterator[NDArray[np.int32]]:
    """Yield (P, R') the weights of the full set, then those of the resamples, for `areas`.

    Args:
        patient: (N,) in 0 to P - 1, each of them met.
        resamples: how many times the patients are drawn; the parts' R' add up to it, and one more.
        seed: root seed of the draws, which are those of `image_weights`.
    """
    num_patients = int(patient.max()) + 1
    at_once = max(1, _CHUNK_ELEMENTS // len(patient))
    full = np.ones((1, num_patients), np.int64)
    for times in chain([full], patient_weights(num_patients, resamples, seed, at_once=at_once)):
        yield np.ascontiguousarray(times.T, dtype=np.int32)


def _table(areas: Sequence[Areas], shape: tuple[int, int]) -> FloatArray:
    """Return (2, M, L, R) of the (M · L) areas (R,), both nan where one is."""
    table: FloatArray = np.moveaxis(np.array(areas), 1, 0).reshape(2, *shape, -1)
    table[1, np.isnan(table[0])] = np.nan
    return table
