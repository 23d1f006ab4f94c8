"""Areas under the ROC and the precision-recall curve of one label, under many weightings at once.

Both curves turn only at a score that some positive has. A label is therefore kept as its *steps*,
these scores from high to low, with the positives of each and the negatives that come in with it:
sparse matrices, steps × units. Their products with a matrix of weights, units × resamples, hold all
that both areas need, and nothing is sorted twice. A unit is an image, or a patient, whose weight
then goes for each of the images. Not for a single area: see `auroc` and `average_precision`.

Sources: Hanley and McNeil 1982 (AUROC as the share of pairs in order, a tie counting one half);
Davis and Goadrich 2006, §4 (why the precision-recall curve is not interpolated between its steps).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from fedcxr.metrics.auroc import FloatArray

_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True, slots=True)
class Steps:
    """One label in the order of its scores. G steps, K units."""

    hits: Any  # (G, K) sparse: positives at the step
    alarms: Any  # (G + 1, K) sparse: negatives that come in at the step; the rest in the last row
    tied: Any  # (T, K) sparse: those among them with the very score of the step
    tied_steps: NDArray[np.intp]  # (T,) the steps that have such a tie


class Areas(NamedTuple):
    """Both areas under R weightings, nan where not defined."""

    auroc: FloatArray  # (R,)
    ap: FloatArray  # (R,)


class Places(NamedTuple):
    """The step at which each row comes in."""

    step: NDArray[np.intp]  # (N,) 0 to G; G = below every positive
    tied: NDArray[np.bool_]  # (N,) negatives with the very score of their step
    num_steps: int  # G


def find_places(truth: FloatArray, scores: FloatArray) -> Places:
    """Return where each row comes in when the threshold is lowered from positive to positive.

    Args:
        truth: (N,) in {0, 1, nan}; the place of a row that is nan means nothing.
        scores: (N,) finite.

    >>> find_places(np.array([1.0, 0, 1, 0]), np.array([0.4, 0.4, 0.2, 0.1])).step
    array([0, 0, 1, 2])
    """
    levels = np.unique(-scores[truth == 1])  # (G,) negated, so highest score first
    step = np.searchsorted(levels, -scores)
    tied = (truth == 0) & (step < len(levels))
    tied[tied] = levels[step[tied]] == -scores[tied]
    return Places(step, tied, len(levels))


def find_steps(truth: FloatArray, scores: FloatArray, unit: NDArray[np.intp]) -> Steps:
    """Return the steps of one label; rows of unknown target are left out.

    Args:
        truth: (N,) in {0, 1, nan}.
        scores: (N,) finite.
        unit: (N,) in 0 to K - 1, each of them met: whose weight each row takes.
    """
    step, tied, num_steps = find_places(truth, scores)
    num_units = int(unit.max(initial=-1)) + 1

    def count(rows: NDArray[np.bool_], place: NDArray[np.intp], height: int) -> Any:  # noqa: ANN401
        ones = np.ones(np.count_nonzero(rows), np.int32)
        return coo_array((ones, (place[rows], unit[rows])), shape=(height, num_units)).tocsr()

    tied_steps = np.unique(step[tied])
    return Steps(
        hits=count(truth == 1, step, num_steps),
        alarms=count(truth == 0, step, num_steps + 1),
        tied=count(tied, np.searchsorted(tied_steps, step), len(tied_steps)),
        tied_steps=tied_steps,
    )


def weighted_areas(steps: Steps, weights: NDArray[np.number]) -> Areas:
    """Return both areas under R weightings of the units at once.

    Args:
        steps: of one label.
        weights: (K, R), not negative. Whole numbers give the AUROC without rounding before its
            one division, and twice as fast in int32, which 2·10⁹ drawn images would overflow.

    Returns:
        The AUROC, nan where the positives or the negatives weigh nothing, and the average
        precision, nan where the positives do.
    """
    auroc, hits, alarms, positives = _ordered(steps, weights)
    found = np.cumsum(hits, axis=0, dtype=hits.dtype)
    called = np.add(alarms, found, out=alarms)  # these arrays are what takes the time: no copies
    # keeps 0 / 0 at 0 and changes no other precision
    np.maximum(called, 1 if np.issubdtype(called.dtype, np.integer) else _TINY, out=called)
    return Areas(
        auroc=auroc,
        ap=ratio(_sum_of_products(hits, found / called), positives),
    )


def _ordered(
    steps: Steps, weights: NDArray[np.number]
) -> tuple[FloatArray, NDArray[np.number], NDArray[np.number], FloatArray]:
    """Return the AUROC (R,), then by step what comes in, and the weight of the positives (R,).

    By step, (G, R): the positives at it, and the negatives down to it.
    """
    hits = steps.hits @ weights
    alarms = steps.alarms @ weights  # (G + 1, R)
    np.cumsum(alarms, axis=0, out=alarms)
    negatives, alarms = alarms[-1].astype(np.float64), alarms[:-1]
    positives = hits.sum(axis=0, dtype=np.float64)
    ties = _sum_of_products(hits[steps.tied_steps], steps.tied @ weights)
    wins = positives * negatives - _sum_of_products(hits, alarms) + ties / 2
    return ratio(wins, positives * negatives), hits, alarms, positives


def _sum_of_products(one: NDArray[np.number], other: NDArray[np.number]) -> FloatArray:
    """Return (R,) of (G, R) each; whole numbers are multiplied as floats, exact below 2^53."""
    total: FloatArray = np.einsum("gr,gr->r", one, other, dtype=np.float64)
    return total


def ratio(above: NDArray[np.number], below: NDArray[np.number]) -> FloatArray:
    """Return above / below, nan where `below` is 0."""
    result: FloatArray = np.full(below.shape, np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result
