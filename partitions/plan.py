"""Makes the partition of a data set: global validation and test first, then the sites.

Every identifier that is written is a keyed token (`fedcxr/data/tokens.py`), and the rows of a file
are in the order of their tokens: the order of the source would give the patients' numbers away.
"""

from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.collector import paused_collector
from fedcxr.config.data import DataConfig
from fedcxr.config.partition import PartitionConfig
from fedcxr.config.task import PolicyConfig
from fedcxr.data.leaks import refuse_shared_patients
from fedcxr.data.policies import policy_of
from fedcxr.data.records import DataSet, RecordTable
from fedcxr.data.tokens import Tokens
from fedcxr.errors import ArtefactError, DataError
from fedcxr.seeding import derive_seed
from partitions.assign import assign, scheme_parameters
from partitions.class_sample import ClassSample, sample_of
from partitions.held_out import describe_test_set
from partitions.minimum import meet_minimum
from partitions.patient_table import count_by_patient, majority
from partitions.patients import group_by_patient
from partitions.plan_folder import (
    FORMAT,
    PLAN_JSON,
    TEST_CSV,
    VAL_CSV,
    PartitionPlan,
    site_file,
)
from partitions.plan_reader import read_plan
from partitions.plan_writer import write_plan
from partitions.record_table import take, tokenise
from partitions.scheme import Assignment, Patients
from partitions.splits import TEST, TRAIN, VAL, check_enough, site_validation, split_globally
from partitions.summary import SiteSummary

__all__ = ["PartitionPlan", "SiteSummary", "make_partition", "read_plan", "tokenise"]


@dataclass(frozen=True, slots=True)
class _Decision:
    """Who goes where, decided and not yet written."""

    role: NDArray[np.int64]
    """(P,) of `partitions/splits.py`."""
    site_of: NDArray[np.int64]
    """(P,), -1 for patients of no site."""
    is_val: NDArray[np.bool_]
    """(P,), of the server or of their site."""
    assignment: Assignment
    moved_patients: int


def make_partition(
    dataset: DataSet,
    *,
    config: PartitionConfig,
    seed: int,
    key: bytes,
    views: str,
    out: Path,
    draw: int = 0,
    policy: PolicyConfig | None = None,
) -> PartitionPlan:
    """Return the plan that gives every patient to one split or site, written to `out`.

    Records with the official split `val` (CheXpert's valid set beside the 2022 test set) are left
    out, and with folds those of an official test set. The same data set, config and seed give the
    same sets whatever the key.

    Args:
        dataset: the records, already filtered by view and label.
        config: number of sites, scheme and fractions.
        seed: the root seed of the run.
        key: of the tokens.
        views: which views the data set was read with, for plan.json.
        out: the folder to make; it may exist if it is empty or holds this very partition.
        draw: which of the draws of patients to sites, from 0; all of them have the same global
            validation and test patients.
        policy: under `class_sizes`, what uncertain and blank labels are; none = the defaults.

    Raises:
        ConfigError: the scheme does not fit the data, or a minimum cannot be met.
        DataError: too few patients, or a file of sites that does not fit them.
        LeakError: a patient is in two official sets, or at two sites of a file.
        ArtefactError: `out` holds something else, or cannot be written.
    """
    if out.exists() and not (out / PLAN_JSON).is_file() and any(out.iterdir()):
        raise ArtefactError(f"{out}: holds something else. Name a new folder.")
    tokens = Tokens(key)
    refuse_shared_patients(dataset, tokens)
    all_images, official = len(dataset.records), dataset.official
    dataset = dataset.where(lambda record: record.split != "val")
    if not dataset.records:
        raise DataError(f"{dataset.root}: all images are of the official val set. Add the others.")
    with paused_collector():
        dataset, sample = _sampled(dataset, config, policy, seed)
        patients = _patients(dataset)
        decision = _decide(patients, config, sample, seed, draw)
        test_set = describe_test_set(patients, decision.role, official, config, sample)
        tables = _tables(patients, decision, tokens)
        left_out = all_images - sum(map(len, tables.values()))
        head = {
            **_head(dataset, config, seed, draw),
            "key_fingerprint": tokens.fingerprint,
            "views": views,
            "test_set": test_set.to_json(),
            "moved_patients": decision.moved_patients,
            "left_out_images": left_out,
        }
        assignment = decision.assignment
        holds = dict(zip(assignment.site_ids, assignment.holds, strict=True))
        return write_plan(out, head, tables, holds)


def _sampled(
    dataset: DataSet, config: PartitionConfig, policy: PolicyConfig | None, seed: int
) -> tuple[DataSet, ClassSample | None]:
    """Return the records of the sample that is asked for, with it; all of them where none is."""
    if config.class_sizes is None:
        return dataset, None
    policy = policy or policy_of(DataConfig(), rounds=1)
    sample = sample_of(dataset, config.class_sizes, policy, seed=seed)
    return replace(dataset, records=tuple(compress(dataset.records, sample.is_drawn))), sample


def _head(dataset: DataSet, config: PartitionConfig, seed: int, draw: int) -> dict[str, Any]:
    """Return what plan.json says of the data set and of how it was divided."""
    which = {"draw": draw} if draw else {}
    return {
        "format": FORMAT,
        "layout": dataset.layout,
        "source": dataset.root.name,
        "labels": list(dataset.labels),
        "scheme": config.scheme,
        "parameters": {**scheme_parameters(config), **which},
        "seed": seed,
    }


def _patients(dataset: DataSet) -> Patients:
    records = dataset.records
    grouped = group_by_patient([record.patient_id for record in records])
    num_patients = len(grouped.patient_ids)
    table = count_by_patient(grouped.patient_of, dataset.states(), num_patients)
    # A patient of a joined data set is of one source: their id begins with it.
    cells = [record.source for record in records]
    sources, source_of = majority(cells, grouped.patient_of, num_patients)
    return Patients(dataset, grouped, table, sources, source_of)


def _decide(
    patients: Patients, config: PartitionConfig, sample: ClassSample | None, seed: int, draw: int
) -> _Decision:
    """Return the split and site of every patient; with a sample it says their split."""
    if sample is None:
        role = split_globally(
            patients.grouped,
            [record.split for record in patients.dataset.records],
            patients.strata(),
            config,
            source_of=patients.source_of,
            seed=seed,
        )
    else:
        role = np.array([sample.role_of[name] for name in patients.grouped.patient_ids])
        check_enough(int((role == TRAIN).sum()), config)
    pool = np.flatnonzero(role == TRAIN)
    of_draw = derive_seed(seed, "partition", "draw", draw) if draw else seed
    assignment = assign(patients, pool, config, of_draw)
    num_sites = len(assignment.site_ids)
    keeps = site_validation(assignment.site_of, num_sites, config.site_val_fraction, of_draw)
    labels, table = patients.dataset.labels, patients.table.rows(pool)
    final = meet_minimum(assignment, ~keeps, table, labels, config)
    site_of, is_val = np.full(len(role), -1), role == VAL
    site_of[pool], is_val[pool] = final, keeps
    moved = int((final != assignment.site_of).sum())
    return _Decision(role, site_of, is_val, assignment, moved)


def _tables(patients: Patients, decision: _Decision, tokens: Tokens) -> dict[str, RecordTable]:
    """Return the table of each file of the plan."""
    patient_of = patients.grouped.patient_of
    name = np.where(decision.role == TEST, "test", np.where(decision.is_val, "val", "train"))
    whole = tokenise(patients.dataset, tokens, name[patient_of].tolist())
    order = np.argsort(np.array(whole.image_id))
    role_of, owner_of = decision.role[patient_of][order], decision.site_of[patient_of][order]
    by_owner = np.argsort(owner_of, kind="stable")
    site_ids = decision.assignment.site_ids
    starts = np.searchsorted(owner_of[by_owner], np.arange(len(site_ids) + 1))
    tables = {
        VAL_CSV: take(whole, order[role_of == VAL]),
        TEST_CSV: take(whole, order[role_of == TEST]),
    }
    for site, site_id in enumerate(site_ids):
        rows = order[by_owner[starts[site] : starts[site + 1]]]
        tables[site_file(site_id)] = take(whole, rows)
    return tables
