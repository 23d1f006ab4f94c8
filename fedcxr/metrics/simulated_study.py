"""One simulated study: two arms of known AUROC on the same patients, and every interval of it.

The scores are binormal. An image of a patient with the finding scores higher by a shift that gives
the arm its AUROC exactly; the rest is noise of variance 1, a share of which, the correlation, is
the same for all images of a patient. A patient has a finding on all images or on none. Both
parts of the noise are shared by the two arms in part, as the errors of two models are.

What a patient's images are worth against another's is counted once. A resample is then two matrix
products, and 2,000 of them take milliseconds. Not for real scores: these may be tied.

Source: Dorfman and Alf 1969, J. Math. Psychol. 6, 487-496 (binormal model).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fedcxr.metrics.areas import ratio
from fedcxr.metrics.auroc import FloatArray, Interval
from fedcxr.metrics.bca import bca, percentile
from fedcxr.metrics.delong import clustered_test
from fedcxr.metrics.macro_difference import macro_test
from fedcxr.metrics.non_inferiority import decide
from fedcxr.metrics.regime import Cell
from fedcxr.seeding import derive_rng

INTERVALS = ("percentile", "bca", "clustered", "clustered_t", "jackknife_t")
"""The intervals that are tried; the clustered ones are of one label only."""
OUTCOMES = ("inconclusive", "non-inferior", "inferior", "undefined")
_AT_ONCE = 250
"""Resamples at once. Arrays that the cache holds, and that malloc need not ask the system for: all
2,000 at once take four times as long."""
_EXACT = 2**24
"""Whole numbers up to this are exact in float32, which halves the time of a product."""

BoolArray = NDArray[np.bool_]
Counts = NDArray[np.floating]  # whole numbers


@dataclass(frozen=True, slots=True)
class Design:
    """What all cells of the self-test share."""

    seed: int = 1988
    resamples: int = 2000
    level: float = 0.95
    margin: float = 0.01
    auroc: float = 0.85  # of the second arm; the first has the margin less
    arm_correlation: float = 0.8  # of the two arms' scores of an image, within a class


@dataclass(frozen=True, slots=True)
class Study:
    """What two arms scored. P patients, N images, L labels."""

    patient: NDArray[np.intp]  # (N,) rising from 0 to P - 1
    positive: BoolArray  # (L, P) which patients have the finding
    scores: FloatArray  # (L, 2, N)


@dataclass(frozen=True, slots=True)
class Excess:
    """One label of a study: pairs of images that the first arm ranks right, less the second's."""

    pairs: Counts  # (m, n) by positive and negative patient
    positive: NDArray[np.intp]  # (m,) the positive patients
    negative: NDArray[np.intp]  # (n,)
    positive_images: Counts  # (m,) how many they have
    negative_images: Counts  # (n,)

    @property
    def difference(self) -> float:
        """The first arm's AUROC minus the second's."""
        every = float(self.positive_images.sum()) * float(self.negative_images.sum())
        return float(self.pairs.sum(dtype=float)) / every


def count_outcomes(
    cell: Cell, design: Design, studies: range
) -> tuple[NDArray[np.int64], FloatArray]:
    """Return (intervals, outcomes) counts over these studies of a cell, and (intervals,) widths.

    A study is a function of the seed, the cell and its number, however they are shared out.
    """
    counts = np.zeros((len(INTERVALS), len(OUTCOMES)), np.int64)
    widths = np.zeros(len(INTERVALS))  # sums over the studies that have the interval
    for number in studies:
        rng = derive_rng(design.seed, "selftest", cell.name, number)
        for name, ci in intervals_of(simulate_study(cell, design, rng), design, rng).items():
            place = INTERVALS.index(name)
            counts[place, OUTCOMES.index(_outcome(ci, design.margin))] += 1
            widths[place] += np.nan_to_num(ci[1] - ci[0])
    return counts, widths


def simulate_study(cell: Cell, design: Design, rng: np.random.Generator) -> Study:
    """Return a study; the labels of a macro mean are independent of one another."""
    num = cell.positives + cell.negatives
    sizes = rng.geometric(1 / cell.cluster, num) if cell.uneven else [int(cell.cluster)] * num
    patient = np.repeat(np.arange(num), sizes)
    positive = np.zeros((cell.labels, num), dtype=np.bool_)
    for label in positive:
        label[rng.permutation(num)[: cell.positives]] = True
    aurocs = np.array([design.auroc - design.margin, design.auroc])
    shift = np.sqrt(2) * special.ndtri(aurocs)  # AUROC = Φ(shift / √2)
    own = _noise(rng, cell.labels, num, design.arm_correlation)[:, :, patient]
    each = _noise(rng, cell.labels, len(patient), design.arm_correlation)
    noise = np.sqrt(cell.correlation) * own + np.sqrt(1 - cell.correlation) * each
    return Study(patient, positive, noise + shift[:, None] * positive[:, None, patient])


def intervals_of(study: Study, design: Design, rng: np.random.Generator) -> dict[str, Interval]:
    """Return every interval of the first arm's macro AUROC minus the second's, by name."""
    num = study.positive.shape[1]
    labels = [excess_of(study, label) for label in range(len(study.positive))]
    value = float(np.mean([label.difference for label in labels]))
    weights = draw_weights(rng, design.resamples, num)
    draws = np.concatenate([_macro_draws(labels, some) for some in weights])
    without = np.mean([jackknife_of(label, num) for label in labels], axis=0)
    target = study.positive[:, study.patient].T.astype(float)  # (N, L)
    scores = study.scores.transpose(1, 2, 0)  # (2, N, L)
    found = {
        "percentile": percentile(draws, design.level),
        "bca": bca(value, draws, without, design.level)[0],
        "jackknife_t": macro_test(target, scores, study.patient, level=design.level).ci,
    }
    if len(labels) == 1:
        test = clustered_test(target[:, 0], study.scores[0], study.patient, level=design.level)
        half = float(special.ndtri((1 + design.level) / 2)) * test.se
        found["clustered"] = (test.difference - half, test.difference + half)
        found["clustered_t"] = test.ci
    return found


def excess_of(study: Study, label: int) -> Excess:
    """Return what the pairs of patients are worth for one label."""
    positive = study.positive[label]
    sizes = np.bincount(study.patient).astype(np.float64)
    first, second = (_won(scores, positive, study.patient) for scores in study.scores[label])
    most = sizes[positive].sum() * sizes[~positive].sum()
    dtype = np.float32 if 2 * most < _EXACT else np.float64
    return Excess(
        pairs=(first - second).astype(dtype),
        positive=np.flatnonzero(positive),
        negative=np.flatnonzero(~positive),
        positive_images=sizes[positive].astype(dtype),
        negative_images=sizes[~positive].astype(dtype),
    )


def draw_weights(rng: np.random.Generator, resamples: int, num_patients: int) -> Iterator[Counts]:
    """Yield (R', P) how often each patient is drawn, in draws of P with replacement."""
    for start in range(0, resamples, _AT_ONCE):
        size = min(_AT_ONCE, resamples - start)
        drawn = rng.integers(0, num_patients, size=(size, num_patients), dtype=np.uint16)
        cells = drawn + num_patients * np.arange(size)[:, None]
        times = np.bincount(cells.ravel(), minlength=size * num_patients)
        yield times.reshape(size, num_patients).astype(np.float32)


def resampled(label: Excess, weights: Counts) -> FloatArray:
    """Return (R,) the difference of AUROCs in resamples, nan where a class is lost.

    Args:
        label: of a study.
        weights: (R, P), whole numbers.
    """
    up = weights.take(label.positive, axis=1).astype(label.pairs.dtype, copy=False)  # (R, m)
    down = weights.take(label.negative, axis=1).astype(label.pairs.dtype, copy=False)  # (R, n)
    excess = np.einsum("rn,rn->r", up @ label.pairs, down)
    every = (up @ label.positive_images).astype(float) * (down @ label.negative_images)
    return ratio(excess, every)


def jackknife_of(label: Excess, num_patients: int) -> FloatArray:
    """Return (P,) the difference of AUROCs without each patient."""
    rows, columns = label.pairs.sum(axis=1, dtype=float), label.pairs.sum(axis=0, dtype=float)
    positives, negatives = float(label.positive_images.sum()), float(label.negative_images.sum())
    without: FloatArray = np.empty(num_patients)
    without[label.positive] = (rows.sum() - rows) / (
        (positives - label.positive_images) * negatives
    )
    without[label.negative] = (rows.sum() - columns) / (
        positives * (negatives - label.negative_images)
    )
    return without


def _macro_draws(labels: list[Excess], weights: Counts) -> FloatArray:
    """Return (R,) the mean over the labels; one of several that is lost takes its full value."""
    found = [resampled(label, weights) for label in labels]
    if len(found) == 1:
        return found[0]
    full = [label.difference for label in labels]
    kept = [np.where(np.isnan(d), f, d) for d, f in zip(found, full, strict=True)]
    mean: FloatArray = np.mean(kept, axis=0)
    return mean


def _noise(rng: np.random.Generator, labels: int, size: int, correlation: float) -> FloatArray:
    """Return (labels, 2, size) standard normal, both arms correlated."""
    shared = rng.standard_normal((labels, 1, size))
    apart = rng.standard_normal((labels, 2, size))
    return np.asarray(np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * apart)


def _won(scores: FloatArray, positive: BoolArray, patient: NDArray[np.intp]) -> NDArray[np.int32]:
    """Return (m, n) pairs of images in which the positive patient's scores above the other's.

    From one table of how many of each negative patient's images lie below each rank: pairs of
    images are never made, so ten images a patient do not take a hundred times as long.
    """
    is_positive = positive[patient]
    order = np.argsort(scores[~is_positive])
    column = (np.cumsum(~positive) - 1)[patient[~is_positive]][order]
    below = np.zeros((len(order) + 1, int(np.sum(~positive))), np.int32)
    below[np.arange(1, len(order) + 1), column] = 1
    below = np.cumsum(below, axis=0, dtype=np.int32)
    rank = np.searchsorted(scores[~is_positive][order], scores[is_positive])
    first = np.searchsorted(patient[is_positive], np.flatnonzero(positive))
    return np.asarray(np.add.reduceat(below[rank], first, axis=0))


def _outcome(ci: Interval, margin: float) -> str:
    """Return what an interval says where the truth is exactly minus the margin."""
    return "undefined" if np.isnan(ci).any() else decide(ci, margin)
