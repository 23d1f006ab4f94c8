"""Sites made of groups of patients: what `by-attribute` and `by-source` share.

With more sites than groups, each further site goes to the group whose sites would still be the
largest (D'Hondt's method): no other way of sharing leaves the smallest site larger. A group's
patients are dealt evenly at random among its sites. With fewer sites than groups, the largest
groups get a site each and the rest join, one by one, the site with the fewest patients.
"""

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.errors import some
from partitions.splits import MIN_SITE_PATIENTS

UNKNOWN = "unknown"
"""The group of patients whose value is blank."""

SMALL_SHARE = 0.01
"""A group below this share of an equal site (or below two patients) has no site of its own: the one
patient of CheXpert whose sex is `Unknown` is no hospital."""

_SHOWN_VALUES = 4
_SHOWN_CHARACTERS = 40


def assign_groups(
    group_of: NDArray[np.int64], num_sites: int, *, join_small: bool, rng: np.random.Generator
) -> tuple[NDArray[np.int64], list[list[int]]]:
    """Return the site of each patient, (P,), and the groups that each site holds, its own first.

    Args:
        group_of: (P,) the group of each patient, in 0 … G-1; every group has a patient.
        num_sites: S.
        join_small: whether a small group joins another's site instead of having one.
        rng: deals a group's patients among its sites.
    """
    sizes = np.bincount(group_of)
    owners = _owners(sizes, num_sites, join_small=join_small)
    num_own = _share_sites(sizes[owners], num_sites)
    first_site = np.cumsum(num_own) - num_own
    site_of = np.empty(len(group_of), dtype=np.int64)
    holds: list[list[int]] = [[] for _ in range(num_sites)]
    members = _members(group_of, len(sizes))
    for owner, first, count in zip(owners.tolist(), first_site, num_own, strict=True):
        dealt = np.arange(sizes[owner]) % count
        site_of[rng.permutation(members[owner])] = first + dealt
        for site in range(first, first + count):
            holds[site].append(owner)
    patients = np.bincount(site_of[np.isin(group_of, owners)], minlength=num_sites)
    smallest = [(int(count), site) for site, count in enumerate(patients)]
    heapq.heapify(smallest)
    rest = np.setdiff1d(np.arange(len(sizes)), owners)
    for group in rest[np.argsort(-sizes[rest], kind="stable")].tolist():
        count, site = smallest[0]
        site_of[members[group]] = site
        holds[site].append(group)
        heapq.heapreplace(smallest, (count + int(sizes[group]), site))
    return site_of, holds


def describe(values: Sequence[str]) -> str:
    """Return what a site holds, in words.

    >>> describe(["AP", ""]), describe(list("abcdef"))
    ('AP, unknown', 'a, b, c, d and 2 more')
    """
    return some([value[:_SHOWN_CHARACTERS] or UNKNOWN for value in values], _SHOWN_VALUES)


def _owners(sizes: NDArray[np.int64], num_sites: int, *, join_small: bool) -> NDArray[np.int64]:
    """Return the groups that have sites of their own, in the order of the groups."""
    least = max(MIN_SITE_PATIENTS, SMALL_SHARE * sizes.sum() / num_sites) if join_small else 1
    by_size = np.argsort(-sizes, kind="stable")
    large = by_size[sizes[by_size] >= least]
    return np.sort((large if len(large) else by_size)[:num_sites])


def _share_sites(sizes: NDArray[np.int64], num_sites: int) -> NDArray[np.int64]:
    """Return how many sites each group has, at least one, `num_sites` in all."""
    count = np.ones(len(sizes), dtype=np.int64)
    queue = [(-size / 2, group) for group, size in enumerate(sizes.tolist())]
    heapq.heapify(queue)
    for _ in range(num_sites - len(sizes)):
        _, group = queue[0]
        count[group] += 1
        heapq.heapreplace(queue, (-int(sizes[group]) / (int(count[group]) + 1), group))
    return count


def _members(group_of: NDArray[np.int64], num_groups: int) -> list[NDArray[np.int64]]:
    by_group = np.argsort(group_of, kind="stable")
    starts = np.searchsorted(group_of[by_group], np.arange(1, num_groups))
    return np.split(by_group, starts)
