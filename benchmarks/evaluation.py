"""Test scores with intervals: 9,000 patients left out in turn, 25,000 images, 14 labels.

The time of `fedcxr.metrics.run_scores.score_run`, and its AUROC against scikit-learn's: on random,
tied and unbalanced scores, each image counted once or as often as its patient was drawn. Beside it,
what scikit-learn itself would take to leave out each patient, from a few of them.

    python -m benchmarks.evaluation [--short]     # the short form repeats less
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.result import Result, Row, run_as_command, spread
from fedcxr.metrics.auroc import auroc
from fedcxr.metrics.run_scores import score_run
from fedcxr.seeding import derive_rng

IMAGES, PATIENTS, LABELS = 25_000, 9_000, 14
GOAL_S, GOAL_DIFFERENCE = 30.0, 1e-12
SKLEARN_PATIENTS = 3
CASES = 60


class Case(NamedTuple):
    """Scores of some images, all arrays (N, L) but the last."""

    target: NDArray[np.float32]
    probs: NDArray[np.float32]
    patient: NDArray[np.int64]
    """(N,)"""


def evaluation(short: bool) -> Result:
    """Return the time of the intervals and the difference from scikit-learn."""
    case = scores_of(IMAGES, PATIENTS)
    names = [f"label {n}" for n in range(LABELS)]
    seconds, busy = [], []
    for _ in range(1 if short else 5):
        begun, begun_busy = time.perf_counter(), time.process_time()
        score_run(*case[:2], names, case.patient)
        seconds.append(time.perf_counter() - begun)
        busy.append(time.process_time() - begun_busy)
    theirs_s = sklearn_seconds(case) * PATIENTS / SKLEARN_PATIENTS
    differences = [difference(*one) for one in comparisons()]
    what = f"intervals over {PATIENTS:,} patients, {IMAGES:,} images × {LABELS} labels"
    return Result(
        name="evaluation",
        title="Scores with intervals",
        command="python -m benchmarks.evaluation",
        short=short,
        rows=[
            Row(what, f"< {GOAL_S:.0f} s", f"{spread(seconds)} s", max(seconds) < GOAL_S),
            Row(
                f"largest difference from scikit-learn's AUROC in {len(differences)} comparisons",
                "≤ 1e-12",
                f"{max(differences):.1e}",
                max(differences) <= GOAL_DIFFERENCE,
            ),
        ],
        notes=[
            f"Processor time: {spread(busy)} s. `roc_auc_score` without each patient in turn would "
            f"take {theirs_s / 60:.0f} minutes, judged by {SKLEARN_PATIENTS} of them.",
            "The comparisons: random and tied scores, from 1 positive in 2 to 1 in 1,000, every "
            "image once or weighted by how often its patient was drawn.",
        ],
        figures={
            "seconds": seconds,
            "processor_seconds": busy,
            "sklearn_seconds": theirs_s,
            "differences": differences,
        },
    )


def scores_of(images: int, patients: int) -> Case:
    """Return scores of images whose labels are as frequent as CheXpert's and some unknown."""
    rng = derive_rng(0, "benchmark", "evaluation")
    patient = rng.integers(0, patients, images)
    frequency = np.geomspace(0.02, 0.5, LABELS)
    has = rng.random((patients, LABELS)) < frequency
    target = has[patient].astype(np.float32)
    probs = rng.normal(0.4 + 0.2 * target, 0.25).clip(0, 1).astype(np.float32)
    target[rng.random(target.shape) < 0.05] = np.nan
    return Case(target, probs, patient)


def sklearn_seconds(case: Case) -> float:
    """Return the seconds that scikit-learn takes without a few of the patients."""
    begun = time.perf_counter()
    for patient in range(SKLEARN_PATIENTS):
        kept = case.patient != patient
        for label in range(LABELS):
            rows = kept & ~np.isnan(case.target[:, label])
            roc_auc_score(case.target[rows, label], case.probs[rows, label])
    return time.perf_counter() - begun


def drawn(rng: np.random.Generator, patient: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often each image counts when the patients are drawn with replacement."""
    number = int(patient.max()) + 1
    return np.bincount(rng.integers(0, number, number), minlength=number)[patient]


def comparisons() -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]]:
    """Yield target, scores and weights of cases of all kinds."""
    rng = derive_rng(0, "benchmark", "comparisons")
    for number in range(CASES):
        images = 3_000
        patient = rng.integers(0, 1_000, images)
        target = (rng.random(images) < (0.5, 0.1, 0.01, 0.001)[number % 4]).astype(np.float64)
        target[:2] = 0, 1
        scores = rng.normal(0.4 + 0.2 * target, 0.25)
        scores = scores if number % 3 == 0 else scores.round(number % 3)
        weights = np.ones(images, np.int64) if number % 2 else drawn(rng, patient)
        weights[:2] = 1
        yield target, scores, weights


def difference(
    target: NDArray[np.float64], scores: NDArray[np.float64], weights: NDArray[np.int64]
) -> float:
    """Return how far our AUROC is from scikit-learn's."""
    theirs = roc_auc_score(target, scores, sample_weight=weights)
    return abs(auroc(target, scores, weights) - float(theirs))


if __name__ == "__main__":
    run_as_command(evaluation, __doc__)
