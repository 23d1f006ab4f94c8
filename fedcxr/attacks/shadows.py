"""Models of the attacker's own: the run's network, trained as the run does, on half of the people.

Two and two share the people: whom the first is not taught, the second is. So each person is in
exactly half of an even number of models. The training is that of one site with all its patients;
the attacker of a federation has no other sites to average over.

Source: Shokri et al. 2017, "Membership Inference Attacks Against Machine Learning Models" (shadow
models); Carlini et al. 2022, §V.A (each record in half of them).
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.data.policies import columns_with, policy_of
from fedcxr.inference import Predictor
from fedcxr.seeding import derive_rng, derive_seed
from fedcxr.training.loop import train_site
from fedcxr.training.optimizers import optimizer_state
from fedcxr.training.pool import ImagePool


def taught(num_patients: int, model: int, seed: int) -> NDArray[np.bool_]:
    """Return (P,) whom a shadow model is taught; its partner, the next odd one, the others.

    >>> first, second = taught(4, 6, seed=0), taught(4, 7, seed=0)
    >>> int(first.sum()), bool((first ^ second).all())
    (2, True)
    """
    order = derive_rng(seed, "shadow half", model // 2).permutation(num_patients)
    half = np.zeros(num_patients, dtype=bool)
    half[order[: num_patients // 2]] = True
    return ~half if model % 2 else half


def train_shadow(
    target: Predictor, pool: ImagePool, model: int, *, rates: Sequence[float], threads: int
) -> Predictor:
    """Return a trained shadow model.

    Args:
        target: the model that is attacked; the shadow is made and trained as it was.
        pool: what it is taught.
        model: its number, of which its seeds are.
        rates: the learning rate of each round.
        threads: of the arithmetic; another number changes the last bits.

    Raises:
        DivergedError: its loss left the finite numbers.
    """
    config = _own_config(target.config, model)
    shadow = Predictor(
        config,
        target.labels,
        precision=target.precision,
        device=target.device,
        threads=target.threads,
        png_bits=target.png_bits,
    )
    policy = policy_of(config.data, rounds=config.server.rounds)
    kept = None
    torch.set_num_threads(threads)
    for number, rate in enumerate(rates, start=1):
        train_site(
            shadow.model,
            pool,
            config=config.train,
            learning_rate=rate,
            normalization=shadow.normalization,
            precision=shadow.precision,
            device=shadow.device,
            seed=derive_seed(config.seed, "round", number),
            multi_class=columns_with(policy, shadow.labels, "multi_class"),
            freeze_batch_norm=config.server.batch_norm == "frozen",
            optimizer_state=kept,
        )
        kept = optimizer_state(shadow.model) if config.train.moments == "keep" else None
    return shadow


def _own_config(config: ExperimentConfig, model: int) -> ExperimentConfig:
    """Return the run's configuration with the seed of a shadow model."""
    return config.model_copy(update={"seed": derive_seed(config.seed, "shadow", model)})
