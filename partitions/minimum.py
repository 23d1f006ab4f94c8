"""Training images, and positive ones of every label, that no site may lack.

After the draw, patients are moved from sites that can spare them to sites in need, those with the
rarest label first. A move never takes from a site what that site needs itself, so the need of all
sites together falls with each one, and the search ends. It is greedy: where it fails, a cleverer
exchange of patients may exist.

Each site's own validation patients are drawn before and stay where they are: what is counted is
what a site trains on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.partition import PartitionConfig
from fedcxr.errors import ConfigError
from partitions.assign import SCHEMES
from partitions.patient_table import PatientTable
from partitions.scheme import Assignment
from partitions.splits import MIN_SITE_PATIENTS

_SPARED_AT_ONCE = 0.5
"""The share of what a site can spare that it gives in one go, so that no one site gives it all."""


@dataclass(frozen=True, slots=True)
class _Ledger:
    """What patients bring and sites have, by requirement: patients, images, then each label."""

    brings: NDArray[np.int64]
    """(P, R)"""
    least: NDArray[np.int64]
    """(S, R); by a scheme that cannot give a site a label, 0 where its source does not have it."""
    has: NDArray[np.int64]
    """(S, R); changed by every move."""
    site_of: NDArray[np.int64]
    """(P,); changed by every move."""

    def need(self) -> NDArray[np.int64]:
        """Return what the sites lack, (S, R)."""
        lacks: NDArray[np.int64] = np.maximum(self.least - self.has, 0)
        return lacks


def meet_minimum(
    assignment: Assignment,
    trains: NDArray[np.bool_],
    table: PatientTable,
    labels: Sequence[str],
    config: PartitionConfig,
) -> NDArray[np.int64]:
    """Return the site of each patient, (P,), with as few as possible moved to meet the minimum.

    Args:
        assignment: of the P patients to share.
        trains: (P,) whether the patient's site trains on them; others are not moved.
        table: of the same P patients.
        labels: the L names.
        config: `min_images`, `min_positives` and the scheme.

    Raises:
        ConfigError: the minimum cannot be met: naming site and label, and how many there are.
    """
    if not config.min_images and not config.min_positives:
        return assignment.site_of
    movable = np.flatnonzero(trains)
    ledger = _ledger(assignment, movable, table, config)
    wanted = ["patients", "images", *(f"positive images of {label!r}" for label in labels)]
    _check_possible(ledger, assignment, wanted, config)
    if not SCHEMES.get(config.scheme).is_fixed:
        for requirement in np.argsort(ledger.brings.sum(axis=0), kind="stable").tolist():
            _fill(ledger, requirement)
    _check_met(ledger, assignment, wanted, config)
    site_of = assignment.site_of.copy()
    site_of[movable] = ledger.site_of
    return site_of


def _ledger(
    assignment: Assignment, movable: NDArray[np.int64], table: PatientTable, config: PartitionConfig
) -> _Ledger:
    num_sites = len(assignment.site_ids)
    site_of = assignment.site_of[movable]
    rows = table.rows(movable)
    one = np.ones(len(movable), dtype=np.int64)
    brings = np.column_stack([one, rows.images, rows.positives])
    has = _by_site(brings, site_of, num_sites)
    least = np.full(has.shape, config.min_positives, dtype=np.int64)
    if SCHEMES.get(config.scheme).is_fixed:
        least[:, 2:][_by_site(rows.masked, site_of, num_sites) == has[:, 1:2]] = 0
    least[:, 0], least[:, 1] = MIN_SITE_PATIENTS, config.min_images
    return _Ledger(brings, least, has, site_of.copy())


def _by_site(
    counts: NDArray[np.int64], site_of: NDArray[np.int64], num_sites: int
) -> NDArray[np.int64]:
    """Return the sums of (P, R) counts by site, (S, R)."""
    sums = np.zeros((num_sites, counts.shape[1]), dtype=np.int64)
    np.add.at(sums, site_of, counts)
    return sums


def _fill(ledger: _Ledger, requirement: int) -> None:
    """Move patients to the sites that lack `requirement`, until none does or nobody can spare any.

    Who could spare nobody once never can again: only sites in need receive.
    """
    carriers = np.flatnonzero(ledger.brings[:, requirement])
    can_give = np.ones(len(ledger.has), dtype=bool)
    need = ledger.need()[:, requirement]
    for site in np.argsort(-need, kind="stable")[: np.count_nonzero(need)].tolist():
        while ledger.has[site, requirement] < ledger.least[site, requirement]:
            spare = np.where(can_give, (ledger.has - ledger.least)[:, requirement], 0)
            donor = int(spare.argmax())
            if spare[donor] <= 0:
                return
            moved = _spared(ledger, carriers, donor, site, requirement)
            can_give[donor] = len(moved) > 0
            total = ledger.brings[moved].sum(axis=0)
            ledger.has[donor] -= total
            ledger.has[site] += total
            ledger.site_of[moved] = site


def _spared(
    ledger: _Ledger, carriers: NDArray[np.int64], donor: int, site: int, requirement: int
) -> NDArray[np.int64]:
    """Return the patients that `donor` gives to `site` in one go, those that help most first.

    A donor keeps what it must have, and gives nothing of what it lacks itself.
    """
    spare = np.maximum(ledger.has[donor] - ledger.least[donor], 0)
    own = carriers[ledger.site_of[carriers] == donor]
    own = own[(ledger.brings[own] <= spare).all(axis=1)]
    need = np.maximum(ledger.least[site] - ledger.has[site], 0)
    helps = np.minimum(ledger.brings[own], need)
    own = own[np.lexsort((-helps.sum(axis=1), -helps[:, requirement]))]
    given = np.cumsum(ledger.brings[own], axis=0)
    enough = min(need[requirement], max(1, int(_SPARED_AT_ONCE * spare[requirement])))
    before = given[:, requirement] - ledger.brings[own, requirement]
    allowed = (given <= spare).all(axis=1) & (before < enough)
    spared: NDArray[np.int64] = own[: int(np.logical_and.accumulate(allowed).sum())]
    return spared


def _check_possible(
    ledger: _Ledger, assignment: Assignment, wanted: Sequence[str], config: PartitionConfig
) -> None:
    """Refuse what there is not enough of at all sites together; the scarcest is named."""
    total, asked = ledger.has.sum(axis=0), ledger.least.sum(axis=0)
    lacking = np.flatnonzero(total < asked)
    if not len(lacking):
        return
    worst = int(lacking[np.argmin(total[lacking])])
    key, flag = _named(worst)
    there, num_sites = int(total[worst]), int((ledger.least[:, worst] > 0).sum())
    least, poorest = int(ledger.least[:, worst].max()), int(ledger.need()[:, worst].argmax())
    more = f"; {len(lacking) - 1} more are as scarce" if len(lacking) > 1 else ""
    each = there // num_sites
    mend = f"Set {flag} {each} or lower" if each else f"Leave {flag} out"
    if there >= least and config.scheme != "sites-file":
        mend += f", or --clients {there // least} or fewer"
    if worst > 1:
        mend += ", or leave the label out of --labels"
    raise ConfigError(
        f"partition.{key}={least}: there are {there} {wanted[worst]} to train on in all, too few "
        f"for {least} at each of {num_sites} sites{more}; {assignment.site_ids[poorest]} has "
        f"{int(ledger.has[poorest, worst])}. {mend}."
    )


def _check_met(
    ledger: _Ledger, assignment: Assignment, wanted: Sequence[str], config: PartitionConfig
) -> None:
    need = ledger.need()
    if not need.any():
        return
    site, requirement = (int(i) for i in np.argwhere(need)[0])
    key, flag = _named(requirement)
    has, least = int(ledger.has[site, requirement]), int(ledger.least[site, requirement])
    there = int(ledger.has[:, requirement].sum())
    comes_to, why = "reaches", "no other site can spare a patient for it without lacking something"
    if SCHEMES.get(config.scheme).is_fixed:
        comes_to = "has"
        why = f"the scheme {config.scheme} says who is where, so that no patient can be moved"
    raise ConfigError(
        f"partition.{key}={least}: {assignment.site_ids[site]} {comes_to} {has} "
        f"{wanted[requirement]} to train on, of {there} at all {len(need)} sites, and {why}. "
        f"Set {flag} lower, have fewer sites, or name another --scheme."
    )


def _named(requirement: int) -> tuple[str, str]:
    """Return the key and the flag of a requirement."""
    if requirement == 1:
        return "min_images", "--min-images"
    return "min_positives", "--min-positives"
