"""Which patients the server keeps for validation and test, and which each site keeps for its own.

The global sets come first: the official test set of each source that has one, and patients drawn
by label (`partitions/stratify.py`) where there is none; then validation patients from the rest. A
test patient is never used to choose anything.

With folds, the patients outside an official test set are divided into equal parts by label; one of
them is the test set and the official test patients are left out of the partition, so that they stay
unseen while a study is tuned by cross-validation.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.partition import PartitionConfig
from fedcxr.errors import ConfigError, DataError
from fedcxr.seeding import derive_rng
from partitions.patients import Grouped
from partitions.stratify import stratify

MIN_SITE_PATIENTS = 2
MIN_PATIENTS_FOR_SITE_VAL = 4

TRAIN, VAL, TEST, LEFT_OUT = 0, 1, 2, 3
"""Roles of a patient."""


def split_globally(
    grouped: Grouped,
    official: Sequence[str],
    strata: NDArray[np.bool_],
    config: PartitionConfig,
    *,
    source_of: NDArray[np.int64],
    seed: int,
) -> NDArray[np.int64]:
    """Return the role of each patient, (P,): TEST and VAL are the server's, TRAIN the sites'.

    `val_fraction` and `test_fraction` are of the patients outside an official test set, where
    those of a source that has one are not drawn for the test set.

    Args:
        grouped: the records by patient, none of whom is in two official splits.
        official: (N,) the official split of each record, `test`, `train` or empty.
        strata: (P, K) what is to be about as frequent in every set: the labels, and the sources of
            joined data sets.
        config: the fractions, the folds and the number of sites.
        source_of: (P,) the data set that each patient is of, in 0 … sources-1.
        seed: root of the streams that draw.

    Raises:
        DataError: there are no patients left to train on.
        ConfigError: more sites than the patients can fill, or more folds than patients.
    """
    role = np.full(len(grouped.patient_ids), TRAIN)
    is_test = np.array([split == "test" for split in official], dtype=bool)
    in_test = np.bincount(grouped.patient_of[is_test], minlength=len(role)) > 0
    if in_test.all():
        raise DataError(
            "All patients are in an official test set, so there is nothing to train on. Add the "
            "table of training labels, or score a finished run on these data: fedcxr evaluate RUN."
        )
    outside = np.flatnonzero(~in_test)
    if config.folds is not None:
        fold_of = draw_folds(strata[outside], config.folds, seed)
        role[in_test] = LEFT_OUT
        role[outside[fold_of == config.test_fold]] = TEST
    else:
        role[in_test] = TEST
        has_official = np.bincount(source_of[in_test], minlength=int(source_of.max()) + 1) > 0
        drawn_from = np.flatnonzero(~has_official[source_of])
        role[_draw_alike(drawn_from, drawn_from, config.test_fraction, strata, seed, "test")] = TEST
    pool = np.flatnonzero(role == TRAIN)
    role[_draw_alike(pool, outside, config.val_fraction, strata, seed, "val")] = VAL
    check_enough(int((role == TRAIN).sum()), config)
    return role


def draw_folds(strata: NDArray[np.bool_], folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each patient, (P,); sizes differ by at most one patient.

    Raises:
        ConfigError: there are fewer patients than folds.
    """
    num_patients = len(strata)
    if num_patients < folds:
        raise ConfigError(
            f"partition.folds={folds}: there are {num_patients} patients outside an official test "
            f"set, and each fold needs one. Set --folds lower or give a larger data set."
        )
    sizes = [num_patients // folds + (fold < num_patients % folds) for fold in range(folds)]
    return stratify(strata, sizes, derive_rng(seed, "partition", "folds", folds))


def site_validation(
    site_of: NDArray[np.int64], num_sites: int, fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Return which patients their site keeps for validation, (P,).

    At least one where a site has four patients or more and the fraction is above 0, none where it
    has fewer; at least two are left to train on. Drawn at random: a site's few patients leave
    nothing to stratify.
    """
    is_val = np.zeros(len(site_of), dtype=bool)
    by_site = np.argsort(site_of, kind="stable")
    starts = np.searchsorted(site_of[by_site], np.arange(num_sites + 1))
    for site in range(num_sites):
        mine = by_site[starts[site] : starts[site + 1]]
        if len(mine) >= MIN_PATIENTS_FOR_SITE_VAL and fraction > 0:
            rng = derive_rng(seed, "partition", "site-val", site)
            is_val[rng.choice(mine, size=_share(fraction, len(mine), len(mine)), replace=False)] = (
                True
            )
    return is_val


def _draw_alike(
    pool: NDArray[np.int64],
    whole: NDArray[np.int64],
    fraction: float,
    strata: NDArray[np.bool_],
    seed: int,
    name: str,
) -> NDArray[np.int64]:
    """Return patients of `pool` that are like all of it: a fraction of `whole`, at least one."""
    count = _share(fraction, len(whole), len(pool))
    rng = derive_rng(seed, "partition", name)
    subset_of = stratify(strata[pool], [count, len(pool) - count], rng)
    drawn: NDArray[np.int64] = pool[subset_of == 0]
    return drawn


def _share(fraction: float, num_patients: int, most: int) -> int:
    return min(most, max(1, round(fraction * num_patients)))


def check_enough(num_train: int, config: PartitionConfig) -> None:
    """Raise DataError or ConfigError unless so many patients are enough for the sites."""
    if num_train < MIN_SITE_PATIENTS:
        raise DataError(
            f"{num_train} patients are left to train on after validation and test; at least "
            f"{MIN_SITE_PATIENTS} are needed. Give a larger data set."
        )
    # A file of sites has its own number of them, and is checked site by site.
    if num_train < MIN_SITE_PATIENTS * config.clients and config.scheme != "sites-file":
        raise ConfigError(
            f"partition.clients={config.clients}: {num_train} patients are left to train on, and "
            f"each site needs {MIN_SITE_PATIENTS}. Set --clients {num_train // MIN_SITE_PATIENTS} "
            f"or fewer."
        )
