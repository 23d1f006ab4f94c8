"""One simulated study: two arms of known AUROC, trained several times, and the areas of it.

The scores are binormal. An image of a patient with the finding scores higher by a shift that gives
the model its AUROC exactly; the rest is noise of variance 1, a share of which, the correlation, is
the same for all images of a patient. A patient has a finding on all images or on none. Both parts
of the noise are shared in part by the two arms, and more of it by the trainings of one arm, as the
errors of models are. A training draws its shift around the arm's, so that its AUROC has the cell's
standard deviation over trainings and the arm's AUROC as its mean.

Source: Dorfman and Alf 1969, J. Math. Psychol. 6, 487-496 (binormal model).
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fedcxr.metrics.auroc import FloatArray
from fedcxr.metrics.estimate import Estimate
from fedcxr.metrics.regime import Cell
from fedcxr.metrics.scored_areas import score_models

AREA_INTERVALS = ("methods", "models", "auroc", "ap", "ap_difference")

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Design:
    """What all cells of the self-test share."""

    seed: int = 1988
    level: float = 0.95
    margin: float = 0.01  # the second arm has the cell's AUROC, the first so much less
    arm_correlation: float = 0.8  # of the scores of an image by models of two arms, within a class
    training_correlation: float = 0.9  # by two trainings of one arm


@dataclass(frozen=True, slots=True)
class Study:
    """What the models of two arms scored. P patients, N images, L labels, S trainings an arm."""

    patient: NDArray[np.intp]  # (N,) rising from 0 to P - 1
    positive: BoolArray  # (L, P) which patients have the finding
    scores: FloatArray  # (2, S, N, L)
    shift: FloatArray  # (2, S) how much higher a positive scores, in standard deviations


class Found(NamedTuple):
    """An interval and what it should hold."""

    estimate: Estimate
    truth: float


def simulate_study(
    cell: Cell, design: Design, rng: np.random.Generator, *, shift: FloatArray | None = None
) -> Study:
    """Return a study; the labels of a macro mean are independent of one another.

    Args:
        cell: the kind of study.
        design: what all cells share.
        rng: draws patients, trainings and scores.
        shift: (2, S) of each training, drawn by the cell if not given.
    """
    num = cell.positives + cell.negatives
    sizes = rng.geometric(1 / cell.cluster, num) if cell.uneven else [int(cell.cluster)] * num
    patient = np.repeat(np.arange(num), sizes)
    positive = np.zeros((cell.labels, num), dtype=np.bool_)
    for label in positive:
        label[rng.permutation(num)[: cell.positives]] = True
    shift = _shifts(cell, design, rng) if shift is None else shift
    own = _noise(rng, cell, design, num)[:, :, patient]
    each = _noise(rng, cell, design, len(patient))
    noise = np.sqrt(cell.correlation) * own + np.sqrt(1 - cell.correlation) * each
    return Study(patient, positive, noise + shift[:, :, None, None] * positive[:, patient].T, shift)


def areas_of(study: Study, cell: Cell, design: Design) -> dict[str, Found]:
    """Return the intervals of both areas by name, what there is of the study.

    - `methods`: the difference of two ways of training, first arm minus second, for other patients
      and trainings.
    - `models`: that of the trained models, for other patients.
    - `auroc`, `ap`, `ap_difference`: the second arm's AUROC and average precision, and the
      difference of the latter, likewise.

    What holds the models fixed is held against the areas that these very models have.
    """
    arms, seeds, images, labels = study.scores.shape
    target = study.positive[:, study.patient].T.astype(float)  # (N, L)
    models = study.scores.reshape(arms * seeds, images, labels)
    names, columns = [str(label) for label in range(labels)], range(labels)
    found = score_models(target, models, study.patient, names, threads=1)
    second = np.repeat([0.0, 1.0], seeds) / seeds
    contrast = np.repeat([1.0, -1.0], seeds) / seeds
    level = design.level
    difference = found["auroc"].difference(contrast, columns, level)
    aurocs = special.ndtr(study.shift / math.sqrt(2)).mean(axis=1)
    aps = average_precision_of(study.shift, float(target.mean())).mean(axis=1)
    intervals = {
        "models": Found(difference, float(aurocs[0] - aurocs[1])),
        "auroc": Found(found["auroc"].mean(second, columns, level), float(aurocs[1])),
        "ap": Found(found["ap"].mean(second, columns, level), float(aps[1])),
        "ap_difference": Found(
            found["ap"].difference(contrast, columns, level), float(aps[0] - aps[1])
        ),
    }
    if seeds > 1:
        pairs = np.hstack([np.eye(seeds), -np.eye(seeds)])
        methods = found["auroc"].method_difference(pairs, columns, level)
        intervals["methods"] = Found(methods, -design.margin)
    return intervals


def average_precision_of(shift: FloatArray, prevalence: float) -> FloatArray:
    """Return the areas under the binormal precision-recall curves of so many images as you like.

    >>> average_precision_of(np.array([0.0]), 0.3).round(6)  # chance: the prevalence
    array([0.3])
    """
    recall, weights = _nodes()
    alarms = special.ndtr(special.ndtri(recall) - shift[..., None])
    precision = prevalence * recall / (prevalence * recall + (1 - prevalence) * alarms)
    return np.asarray(precision @ weights)


@cache
def _nodes() -> tuple[FloatArray, FloatArray]:
    """Return the places in (0, 1) that an integral is taken over, and their weights."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    return (nodes + 1) / 2, weights / 2


def _shifts(cell: Cell, design: Design, rng: np.random.Generator) -> FloatArray:
    """Return (2, S) the shift of each training."""
    mean, spread = shift_law(cell, design)
    return np.asarray(
        mean[:, None] + spread[:, None] * rng.standard_normal((2, cell.seeds)), dtype=np.float64
    )


def shift_law(cell: Cell, design: Design) -> tuple[FloatArray, FloatArray]:
    """Return the mean and standard deviation of each arm's shift over trainings, (2,) each.

    With a shift of mean m and variance d², the mean AUROC is Φ(m / √(2 + d²)), exactly; d is what
    gives the AUROC its standard deviation, to first order.
    """
    aurocs = np.array([cell.auroc - design.margin, cell.auroc])
    usual = special.ndtri(aurocs)
    spread = cell.training_sd * math.sqrt(2) * math.sqrt(2 * math.pi) * np.exp(usual**2 / 2)
    return usual * np.sqrt(2 + spread**2), spread


def _noise(rng: np.random.Generator, cell: Cell, design: Design, size: int) -> FloatArray:
    """Return (2, S, size, labels) standard normal, correlated over arms and over trainings."""
    last = (size, cell.labels)
    shared = rng.standard_normal((1, 1, *last))
    of_arm = rng.standard_normal((2, 1, *last))
    of_training = rng.standard_normal((2, cell.seeds, *last))
    among, within = design.arm_correlation, design.training_correlation
    return np.asarray(
        np.sqrt(among) * shared
        + np.sqrt(within - among) * of_arm
        + np.sqrt(1 - within) * of_training
    )
