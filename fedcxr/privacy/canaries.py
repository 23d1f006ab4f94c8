"""Canaries in the space of gradients, and DP-SGD's steps run on them.

A canary is a patient whose images have gradients along one coordinate that nobody else's have, ten
times as long as the clipping bound: what a step does with it is seen there and nowhere else. So
there are as many independent questions as canaries, and what is asked is the mechanism alone: the
draw of patients, the mean over a patient's images, the clipping, the noise, the division. Whoever
audits is the server: it sees what each step gives out, and knows the run's seed. No network is
trained: how its gradients come about changes nothing of what is promised of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedcxr.privacy.dp_sgd import (
    Draws,
    Mechanism,
    noised,
    poisson_sample,
)
from fedcxr.privacy.secret_noise import SECRET_BYTES, SecretStream
from fedcxr.privacy.trial import CANARY_IMAGES, LENGTH, Trial
from fedcxr.seeding import derive_rng, derive_seed

_OTHER_COORDINATES = 100
"""In which the gradients of patients who are no canaries lie."""
_PHYSICAL_BATCH = 64
"""Images; smaller than a batch, so that patients are finished over several of them."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step is done on."""

    images: list[NDArray[np.int64]]
    """Of each drawn patient."""
    gradients_of: Callable[[NDArray[np.int64]], Tensor]
    size: int
    """T: numbers in a gradient."""

    def rows(self) -> tuple[Tensor, NDArray[np.int64], NDArray[np.float64]]:
        """Return the gradients of all images, whose each is, and its share of the patient."""
        counts = np.array([len(own) for own in self.images], dtype=np.int64)
        numbers = np.concatenate([np.empty(0, np.int64), *self.images])
        patient = np.repeat(np.arange(len(counts)), counts)
        return self.gradients_of(numbers), patient, np.repeat(1.0 / counts, counts)


Step = Callable[[Batch, Mechanism, Draws], Tensor]


@dataclass(frozen=True, slots=True)
class Released:
    """What the server has after all steps, along each canary, and the truth."""

    seen: NDArray[np.float64]
    """(m,) sum of the steps' updates."""
    without_known_noise: NDArray[np.float64]
    """(m,) the same, less the noise that the run's seed gives."""
    is_in: NDArray[np.bool_]
    """(m,) whether the canary was among the patients."""


def run_steps(trial: Trial, step: Step, seed: int, *, is_seeded: bool = False) -> Released:
    """Return what the server sees of all steps of a site with canaries in it, or not, by coin.

    Args:
        trial: what is run.
        step: the mechanism's.
        seed: of the coins, of the run, and of what stands for the site's secret.
        is_seeded: whether the noise is wrongly drawn from the run's seed.
    """
    rng = derive_rng(seed, "audit", "site")
    is_in = rng.random(trial.canaries) < 0.5
    present = np.concatenate(
        [np.flatnonzero(is_in), np.arange(trial.canaries, trial.sampling.patients)]
    )
    site = _Site(trial, rng)
    secret = rng.bytes(SECRET_BYTES)  # a real site's is from its operating system
    run_seed = derive_seed(seed, "audit", "run")
    drawn = SecretStream(secret, "patients")
    noise: Draws = _SeededDraws(run_seed) if is_seeded else SecretStream(secret, "noise")
    known = _SeededDraws(run_seed)
    mechanism = Mechanism(1.0, trial.noise, trial.sampling.batch, _PHYSICAL_BATCH)
    seen, repeated = np.zeros(trial.canaries), np.zeros(trial.canaries)
    for _ in range(trial.sampling.steps):
        taken = present[poisson_sample(drawn, len(present), trial.sampling.rate)]
        update = step(site.batch(taken), mechanism, noise)
        seen += update[: trial.canaries].double().numpy()
        # What the noise would be if it came from the run's seed.
        guessed = noised(torch.zeros(site.size), mechanism, known)
        repeated += guessed[: trial.canaries].double().numpy()
    return Released(seen, seen - repeated, is_in)


class _Site:
    """The gradients of a site's patients: canaries first."""

    def __init__(self, trial: Trial, rng: np.random.Generator) -> None:
        self._canaries = trial.canaries
        self.size = trial.canaries + _OTHER_COORDINATES
        others = rng.standard_normal((trial.sampling.patients - trial.canaries, _OTHER_COORDINATES))
        others *= LENGTH / np.linalg.norm(others, axis=1, keepdims=True)
        self._others = torch.from_numpy(others.astype(np.float32))

    def batch(self, taken: NDArray[np.int64]) -> Batch:
        """Return the step's batch: canaries have several images, the others one."""
        images = [
            np.full(CANARY_IMAGES if patient < self._canaries else 1, patient) for patient in taken
        ]
        return Batch(images, self._gradients, self.size)

    def _gradients(self, patients: NDArray[np.int64]) -> Tensor:
        rows = torch.zeros(len(patients), self.size)
        is_canary = patients < self._canaries
        canaries = torch.from_numpy(np.flatnonzero(is_canary))
        rows[canaries, torch.from_numpy(patients[is_canary])] = LENGTH
        others = torch.from_numpy(np.flatnonzero(~is_canary))
        rows[others, self._canaries :] = self._others[patients[~is_canary] - self._canaries]
        return rows


class _SeededDraws:
    """Draws that whoever knows the run's seed can repeat."""

    def __init__(self, run_seed: int) -> None:
        self._rng = derive_rng(run_seed, "noise", "site-00")

    def uniforms(self, count: int) -> NDArray[np.float64]:
        """Return numbers uniform in (0, 1)."""
        return self._rng.random(count)

    def normals(self, count: int) -> NDArray[np.float64]:
        """Return standard normal numbers."""
        return self._rng.standard_normal(count)
