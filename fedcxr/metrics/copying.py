"""Do a generator's samples copy the images it was trained on? A permutation test over patients.

Held-out patients are as like the training patients as these are like one another. So a generator
that has learned what radiographs look like, and no single one of them by heart, makes samples that
are as near to the one as to the other, but for chance and for there being more of the one. What
chance does is seen by drawing anew who counts as trained on.

Not a proof of privacy: a generator can give away more than its samples' nearest neighbours show.

Source: the three-sample comparison of Meehan et al. 2020, "A non-parametric test to detect
data-copying in generative models", §3. Deviation: distances are compared as ratios, and their
distribution is that of permutations.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 499
COPY_LEVEL = 0.01
"""p value at and below which samples count as copying."""
_MOST_SAMPLES = 500
"""Of those behind the p value; all are looked at for copies."""
_BY_CHANCE = 0.01
"""Share of the samples that count as copies where there are none."""
_TINY = 1e-6
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class CopyTest:
    """What the nearest neighbours of S samples say."""

    p_value: float
    """Of the samples being nearer to the patients trained on than chance explains."""
    copies: NDArray[np.bool_]
    """(S,) samples that are nearer to one of them than 99 of 100 would be by chance; none where
    the p value is above `COPY_LEVEL`, and chance explains them all."""

    @property
    def is_copying(self) -> bool:
        """Whether the samples as a whole copy."""
        return self.p_value <= COPY_LEVEL


def copy_test(
    distance: NDArray[np.float32], is_train: NDArray[np.bool_], rng: np.random.Generator
) -> CopyTest:
    """Return how near samples are to the patients trained on, against held-out ones.

    The statistic is the mean log of the distance to the nearest held-out patient over that to the
    nearest one trained on.

    Args:
        distance: (S, P) of each sample to the nearest image of each patient.
        is_train: (P,) whether the generator was trained on the patient; both kinds occur.
        rng: of the permutations.
    """
    shown = distance[rng.permutation(len(distance))[:_MOST_SAMPLES]]
    found = _nearness(shown, is_train, ~is_train).mean()
    extreme = 0
    for _ in range(PERMUTATIONS):
        drawn = rng.permutation(is_train)
        extreme += int(_nearness(shown, drawn, ~drawn).mean() >= found)
    p_value = (1 + extreme) / (1 + PERMUTATIONS)
    # Samples that are alike, as of a VAE that has learned nothing, are all nearer to the one or the
    # other together: that is one accident, and no sample's own.
    copies = np.zeros(len(distance), dtype=bool)
    if p_value <= COPY_LEVEL:
        copies = _find_copies(distance, is_train, rng)
    return CopyTest(p_value, copies)


def patient_distances(
    samples: NDArray[np.float32], real: NDArray[np.float32], patient: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return (S, P) Euclidean distances to the nearest image of each patient.

    Args:
        samples: (S, D).
        real: (N, D).
        patient: (N,) from 0 to P − 1, each at least once.

    >>> real = np.float32([[0, 0], [3, 4], [6, 8]])
    >>> patient_distances(np.float32([[0, 0]]), real, np.array([0, 1, 1])).tolist()
    [[0.0, 5.0]]
    """
    order = np.argsort(patient, kind="stable")
    starts = np.flatnonzero(np.diff(patient[order], prepend=-1))
    real = real[order]
    lengths = np.einsum("nd,nd->n", real, real)
    found = np.empty((len(samples), len(starts)), np.float32)
    for begin in range(0, len(samples), _CHUNK):
        part = samples[begin : begin + _CHUNK]
        squares = np.einsum("nd,nd->n", part, part)[:, None] + lengths - 2 * part @ real.T
        nearest = np.minimum.reduceat(squares, starts, axis=1)
        found[begin : begin + _CHUNK] = np.sqrt(np.maximum(nearest, 0))
    return found


def _find_copies(
    distance: NDArray[np.float32], is_train: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return (S,) which samples are too near to a patient trained on.

    Each group of as many training as held-out patients is as near as these, but for chance: how
    much nearer a sample is to held-out patients, which nobody can have copied, says how much that
    is. A permutation would not say it: where there are copies, they are among what it draws.
    """
    trained = rng.permutation(np.flatnonzero(is_train))
    held_out = rng.permutation(np.flatnonzero(~is_train))
    size = min(len(trained), len(held_out))
    starts = sorted({min(start, len(trained) - size) for start in range(0, len(trained), size)})
    groups = [trained[start : start + size] for start in starts]
    nearness = np.stack([_nearness(distance, group, held_out[:size]) for group in groups])
    threshold = float(np.quantile(-nearness, 1 - _BY_CHANCE / len(groups)))
    copies: NDArray[np.bool_] = nearness.max(axis=0) > max(threshold, 0.0)
    return copies


def _nearness(
    distance: NDArray[np.float32],
    trained: NDArray[np.bool_] | NDArray[np.int64],
    held_out: NDArray[np.bool_] | NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return (S,) logs of distance to the nearest held-out patient over nearest trained on."""
    near = distance[:, trained].min(axis=1).astype(np.float64)
    far = distance[:, held_out].min(axis=1).astype(np.float64)
    nearness: NDArray[np.float64] = np.log((far + _TINY) / (near + _TINY))
    return nearness
