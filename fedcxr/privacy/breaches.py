"""DP-SGD's own step, as it is and broken on purpose: an audit that is any good finds the broken.

Each broken one calls the same functions with one thing done wrong, such as has been done wrong in
practice (Nasr et al. 2023, "Tight auditing of differentially private machine learning").
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fedcxr.privacy.canaries import Batch, Step
from fedcxr.privacy.dp_sgd import Draws, Mechanism, PatientSum, noised, step_gradient
from fedcxr.privacy.trial import CANARY_IMAGES, LENGTH, Breach, Trial, of_a_clipped_mean


def as_it_is(batch: Batch, mechanism: Mechanism, draws: Draws) -> Tensor:
    """Return what DP-SGD's own step gives."""
    return step_gradient(batch.gradients_of, batch.images, batch.size, mechanism, draws)[0]


def without_noise(batch: Batch, mechanism: Mechanism, draws: Draws) -> Tensor:
    """Wrong: nothing is added."""
    return as_it_is(batch, replace(mechanism, noise=0.0), draws)


def with_a_quarter_of_the_noise(batch: Batch, mechanism: Mechanism, draws: Draws) -> Tensor:
    """Wrong: σ/4 where σ is accounted for."""
    return as_it_is(batch, replace(mechanism, noise=mechanism.noise / 4), draws)


def without_clipping(batch: Batch, mechanism: Mechanism, draws: Draws) -> Tensor:
    """Wrong: a patient's gradient counts as long as it is."""
    total = PatientSum(batch.size, clip=1e9)
    return _added(total, *batch.rows(), mechanism, draws)


def with_each_image_clipped(batch: Batch, mechanism: Mechanism, draws: Draws) -> Tensor:
    """Wrong: the image is the unit, so a patient of several images counts several times."""
    rows, _, share = batch.rows()
    total = PatientSum(batch.size, mechanism.clip)
    return _added(total, rows, np.arange(len(rows)), np.ones_like(share), mechanism, draws)


def with_the_mean_clipped(batch: Batch, mechanism: Mechanism, draws: Draws) -> Tensor:
    """Wrong: the batch's mean is clipped in place of each patient's gradient."""
    rows, patient, share = batch.rows()
    if not len(rows):
        return as_it_is(batch, mechanism, draws)
    total = PatientSum(batch.size, mechanism.clip)
    total.add(rows, np.zeros_like(patient), share / len(batch.images))
    return noised(total.result() * mechanism.expected, mechanism, draws)


def _added(
    total: PatientSum,
    rows: Tensor,
    patient: NDArray[np.int64],
    share: NDArray[np.float64],
    mechanism: Mechanism,
    draws: Draws,
) -> Tensor:
    if len(rows):
        total.add(rows, patient, share)
    return noised(total.result(), mechanism, draws)


@dataclass(frozen=True, slots=True)
class Variant:
    """A mechanism to audit."""

    title: str
    step: Step
    breach: Callable[[Trial], Breach]
    """What the auditor's better look has of a canary."""
    is_seeded: bool = False
    """Whether the noise is drawn from the run's seed."""


AS_IT_IS = Variant("as it is", as_it_is, lambda trial: Breach(1.0, trial.noise))

BROKEN: dict[str, Variant] = {
    "no-noise": Variant("no noise", without_noise, lambda trial: Breach(1.0, 0.0)),
    "quarter-noise": Variant(
        "noise ÷ 4", with_a_quarter_of_the_noise, lambda trial: Breach(1.0, trial.noise / 4)
    ),
    "no-clipping": Variant(
        "no clipping", without_clipping, lambda trial: Breach(LENGTH, trial.noise)
    ),
    "image-clipping": Variant(
        "each image clipped, not the patient",
        with_each_image_clipped,
        lambda trial: Breach(float(CANARY_IMAGES), trial.noise),
    ),
    "mean-clipping": Variant(
        "the batch's mean clipped",
        with_the_mean_clipped,
        lambda trial: Breach(of_a_clipped_mean(trial), trial.noise),
    ),
    "server-seed": Variant(
        "noise from the run's seed", as_it_is, lambda trial: Breach(1.0, 0.0), is_seeded=True
    ),
}
