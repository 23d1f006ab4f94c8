"""Whom a membership attack is about: a run's training patients, and others who were held out.

Both are of the run's own partition, with the images and the training labels that its sites use, so
that nothing but the training tells them apart. Not for runs of real sites: their tables stay there.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.attacks.signals import has_label
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.data.cache.store import Cache, open_cache
from fedcxr.data.policies import policy_of, train_targets
from fedcxr.data.records import RecordTable
from fedcxr.errors import ArtefactError, DataError
from fedcxr.home import home_folder
from fedcxr.metrics.subgroups import UNKNOWN, age_band
from partitions.plan import PartitionPlan, read_plan
from partitions.plan_folder import TEST_CSV, VAL_CSV
from partitions.record_table import take

FEWEST = 20
"""Patients of either kind that an attack is tried on."""


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """P patients with N images."""

    images: NDArray[np.uint8]
    """(M, H, W) memory map."""
    rows: NDArray[np.int64]
    """(N,) of `images`."""
    target: NDArray[np.float32]
    """(N, L) as the sites train on it; nan = not known."""
    patient: NDArray[np.intp]
    """(N,) from 0 to P - 1."""
    site: NDArray[np.str_]
    """(P,) whose training the patient was in; empty = in none, a non-member."""
    home: NDArray[np.str_]
    """(P,) whose patient it is, trained on or held out; empty = the server's."""
    groups: dict[str, NDArray[np.str_]]
    """(P,) each, by attribute."""
    digest: str
    """Of images and targets, and whose they are."""
    left_out: int
    """Images that no model can be asked about: no label of theirs is known, or they are bad."""
    official: int = 0
    """Patients of an official test set, who are left out: they may differ in more than that nobody
    trained on them, as in who labelled them."""

    @property
    def is_member(self) -> NDArray[np.bool_]:
        """(P,) whether the patient was trained on."""
        return np.asarray(self.site != "")

    @property
    def num_patients(self) -> int:
        """P."""
        return len(self.site)


def read_population(
    folder: Path, config: ExperimentConfig, labels: tuple[str, ...], cache_digest: str
) -> Population:
    """Return the patients of a run.

    Args:
        folder: the run's.
        config: its configuration.
        labels: that it trains.
        cache_digest: of its images.

    Raises:
        ArtefactError: its partition or cache is missing or damaged, or the sites' tables are
            elsewhere.
        DataError: there are too few patients to attack.
    """
    plan = read_plan(folder / "partition")
    official = any(part.origin == "official" for part in plan.test_set.parts)
    if plan.is_export:
        raise ArtefactError(
            f"{folder}: its sites' tables are with the sites, so nobody here knows who was trained "
            "on. Attack a simulated run."
        )
    cache = open_cache(home_folder() / "cache" / cache_digest)
    parts = _parts(plan, with_test=not official)
    found = _joined(parts, cache, config, labels)
    _check_enough(folder, found, official=official)
    return replace(found, official=plan.test_set.patients if official else 0)


@dataclass(frozen=True, slots=True)
class _Part:
    """A set of patients."""

    table: RecordTable
    home: str
    """As in `Population`."""
    is_trained_on: bool = False


def _parts(plan: PartitionPlan, *, with_test: bool) -> list[_Part]:
    """Return each set of patients."""
    held_out = [_Part(plan.table(VAL_CSV), "")]
    if with_test:
        held_out.append(_Part(plan.table(TEST_CSV), ""))
    trained = []
    for site in plan.sites:
        table = plan.site_table(site.site_id)
        trained.append(_Part(take(table, table.rows("train")), site.site_id, is_trained_on=True))
        held_out.append(_Part(take(table, table.rows("val")), site.site_id))
    return trained + held_out


def _joined(
    parts: list[_Part], cache: Cache, config: ExperimentConfig, labels: tuple[str, ...]
) -> Population:
    """Return the images of all parts that the models can be asked about."""
    tables = [part.table for part in parts]
    policy = policy_of(config.data, rounds=config.server.rounds)
    targets = []
    for table in tables:
        columns = [table.labels.index(label) for label in labels]
        states, ids = table.states[:, columns], table.image_id
        targets.append(train_targets(states, labels, policy, image_id=ids, seed=config.seed))
    target = np.concatenate(targets)
    image_id = np.array([name for table in tables for name in table.image_id])
    cached = np.array([name in cache.row_by_id for name in image_id.tolist()], dtype=bool)
    kept = np.flatnonzero(cached & has_label(target).any(axis=1))
    tokens = np.array([name for table in tables for name in table.patient_id])[kept]
    _, first, patient = np.unique(tokens, return_index=True, return_inverse=True)
    own = kept[first]
    sha = hashlib.sha256(target[kept].tobytes())
    sha.update("\0".join([*image_id[kept].tolist(), *tokens.tolist()]).encode())
    sex = [name for table in tables for name in table.sex]
    age = [years for table in tables for years in table.age]
    return Population(
        images=cache.images,
        rows=cache.rows(image_id[kept].tolist()),
        target=target[kept],
        patient=patient,
        site=_of_each(parts, [part.home if part.is_trained_on else "" for part in parts])[own],
        home=_of_each(parts, [part.home for part in parts])[own],
        groups={
            "sex": np.array([sex[row] or UNKNOWN for row in own.tolist()]),
            "age band": np.array([age_band(age[row]) for row in own.tolist()]),
        },
        digest=sha.hexdigest(),
        left_out=len(image_id) - len(kept),
    )


def _of_each(parts: list[_Part], names: list[str]) -> NDArray[np.str_]:
    """Return the name of each part for each of its images."""
    return np.repeat(np.array(names, dtype=np.str_), [len(part.table) for part in parts])


def _check_enough(folder: Path, found: Population, *, official: bool) -> None:
    members = int(found.is_member.sum())
    others = found.num_patients - members
    if min(members, others) < FEWEST:
        why = " beside the official test set, which may differ otherwise" if official else ""
        more = "partition.folds=2" if official else "partition.test_fraction"
        raise DataError(
            f"{folder}: {members} training patients and {others} who were held out{why}; an attack "
            f"needs {FEWEST} of each. Train on more patients, or hold out more ({more})."
        )
