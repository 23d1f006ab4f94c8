"""Records grouped by patient, and the proof that no two sets of a plan share one.

The proof is computed from the tables as they lie on disk, so it speaks of what a run will read and
not of what the code that split them meant to do.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.identity import by_number, shown_patient
from fedcxr.data.records import RecordTable
from fedcxr.errors import LeakError, some

_TOKEN = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Proof:
    """That the sets are disjoint in patients and in images."""

    pairs_checked: int
    sets: tuple[str, ...]
    """Names of the sets that have records, such as `site-00/train` and `global/test`."""


@dataclass(frozen=True, slots=True)
class Members:
    """The patients and images of one set."""

    patient_ids: frozenset[str]
    image_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Grouped:
    """Patients as numbers, in the order of `by_number` (`fedcxr/data/identity.py`)."""

    patient_ids: tuple[str, ...]
    """(P,)"""
    patient_of: NDArray[np.int64]
    """(N,) of each record, in 0 … P-1."""


def group_by_patient(patient_ids: Sequence[str]) -> Grouped:
    """Return the distinct patients of the records and whose each record is.

    >>> group_by_patient(["b", "a", "b"]).patient_of
    array([1, 0, 1])
    """
    distinct = sorted(set(patient_ids), key=by_number)
    number = {patient_id: i for i, patient_id in enumerate(distinct)}
    return Grouped(tuple(distinct), np.array([number[p] for p in patient_ids], dtype=np.int64))


def table_sets(name: str, table: RecordTable) -> dict[str, Members]:
    """Return the sets of a table, `name/split` for each split that has records."""
    rows = {
        split: [i for i, s in enumerate(table.split) if s == split] for split in set(table.split)
    }
    return {
        f"{name}/{split}": Members(
            frozenset(table.patient_id[i] for i in rows[split]),
            frozenset(table.image_id[i] for i in rows[split]),
        )
        for split in sorted(rows)
    }


def prove_disjoint(sets: Mapping[str, Members]) -> Proof:
    """Return the proof that no patient and no image is in two of the sets.

    One pass covers every pair: a member of two sets meets its first owner when it comes again.

    Raises:
        LeakError: naming tokens that are in two sets, and how many there are.
    """
    for kind in ("patient", "image"):
        owner: dict[str, str] = {}
        shared: dict[str, str] = {}
        for name, members in sets.items():
            ids = members.patient_ids if kind == "patient" else members.image_ids
            for member in sorted(ids):
                first = owner.setdefault(member, name)
                if first != name:
                    shared[member] = f"{shown_id(member)} in {first} and {name}"
        if shared:
            raise LeakError(
                f"{len(shared)} {kind}{'s are' if len(shared) > 1 else ' is'} in two sets: "
                f"{some(list(shared.values()))}. Whole patients belong to one set: make the "
                f"partition again from the source, or mend its lists."
            )
    return Proof(len(sets) * (len(sets) - 1) // 2, tuple(sets))


def shown_id(identifier: str) -> str:
    """Return an identifier fit for a message: a token as it is, anything else hashed."""
    if _TOKEN.fullmatch(identifier):
        return identifier
    return shown_patient(identifier)
