"""Which patients the server keeps for validation and test, and which each site keeps for its own.

The global sets come first: the official test set where there is one, and validation patients from
train. A test patient is never used to choose anything.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.partition import PartitionConfig
from fedcxr.data.tokens import Tokens
from fedcxr.errors import ConfigError, DataError, LeakError, some
from fedcxr.seeding import derive_rng
from partitions.patients import Grouped

MIN_SITE_PATIENTS = 2
MIN_PATIENTS_FOR_SITE_VAL = 4

TRAIN, VAL, TEST = 0, 1, 2
"""Roles of a patient."""


def split_globally(
    grouped: Grouped, official: Sequence[str], config: PartitionConfig, seed: int, tokens: Tokens
) -> NDArray[np.int64]:
    """Return the role of each patient, (P,): TEST and VAL are the server's, TRAIN the sites'.

    Args:
        grouped: the records by patient.
        official: (N,) the official split of each record, `test`, `train` or empty.
        config: the fractions and the number of sites.
        seed: root of the streams that draw.
        tokens: for the patients that a message names.

    Raises:
        LeakError: a patient is in the official train and test sets.
        DataError: there are no patients left to train on.
        ConfigError: more sites than the patients can fill.
    """
    role = np.full(len(grouped.patient_ids), TRAIN)
    is_test = np.array([split == "test" for split in official], dtype=bool)
    if is_test.any():
        in_test, in_train = set(grouped.patient_of[is_test]), set(grouped.patient_of[~is_test])
        _refuse_shared(sorted(int(p) for p in in_test & in_train), grouped, tokens)
        role[sorted(in_test)] = TEST
    else:
        role[_draw(np.arange(len(role)), config.test_fraction, seed, "test")] = TEST
    pool = np.flatnonzero(role == TRAIN)
    role[_draw(pool, config.val_fraction, seed, "val")] = VAL
    _check_enough(int((role == TRAIN).sum()), config.clients)
    return role


def site_validation(
    site_of: NDArray[np.int64], num_sites: int, fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Return which patients their site keeps for validation, (P,).

    At least one where a site has four patients or more and the fraction is above 0, none where it
    has fewer; at least two are left to train on.
    """
    is_val = np.zeros(len(site_of), dtype=bool)
    for site in range(num_sites):
        mine = np.flatnonzero(site_of == site)
        if len(mine) >= MIN_PATIENTS_FOR_SITE_VAL and fraction > 0:
            is_val[_draw(mine, fraction, seed, "site-val", site)] = True
    return is_val


def _draw(
    patients: NDArray[np.int64], fraction: float, seed: int, *names: str | int
) -> NDArray[np.int64]:
    """Return a random share of the patients, at least one."""
    rng = derive_rng(seed, "partition", *names)
    count = min(len(patients), max(1, round(fraction * len(patients))))
    return rng.choice(patients, size=count, replace=False)


def _refuse_shared(shared: list[int], grouped: Grouped, tokens: Tokens) -> None:
    if shared:
        named = some([tokens.patient(grouped.patient_ids[p]) for p in shared])
        raise LeakError(
            f"{len(shared)} patients are in the official train set and in the official test set: "
            f"{named} (keyed hashes). Fetch the official lists again, or remove both to have the "
            f"patients split anew."
        )


def _check_enough(num_train: int, num_sites: int) -> None:
    if num_train < MIN_SITE_PATIENTS:
        raise DataError(
            f"{num_train} patients are left to train on after validation and test; at least "
            f"{MIN_SITE_PATIENTS} are needed. Give a larger data set."
        )
    if num_train < MIN_SITE_PATIENTS * num_sites:
        raise ConfigError(
            f"partition.clients={num_sites}: {num_train} patients are left to train on, and each "
            f"site needs {MIN_SITE_PATIENTS}. Set --clients {num_train // MIN_SITE_PATIENTS} or "
            f"fewer."
        )
