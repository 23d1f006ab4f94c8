"""Makes the partition of a data set: global validation and test first, then the sites.

Every identifier that is written is a keyed token (`fedcxr/data/tokens.py`), and the rows of a file
are in the order of their tokens: the order of the source would give the patients' numbers away.
"""

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcxr.config.partition import PartitionConfig
from fedcxr.data.cache_writer import sha256_of
from fedcxr.data.labels import POSITIVE
from fedcxr.data.records import DataSet, RecordTable
from fedcxr.data.tables import paused_collector
from fedcxr.data.tokens import Tokens
from fedcxr.errors import ArtefactError
from fedcxr.seeding import derive_rng
from partitions.dirichlet import assign_dirichlet, strata_by_rarest
from partitions.iid import assign_iid
from partitions.patients import group_by_patient, prove_disjoint
from partitions.plan_folder import (
    FORMAT,
    PLAN_JSON,
    TEST_CSV,
    VAL_CSV,
    PartitionPlan,
    all_sets,
    digest_of,
    proof_to_json,
    read_plan,
    site_file,
)
from partitions.splits import TEST, TRAIN, VAL, site_validation, split_globally
from partitions.summary import SiteSummary, site_to_json, summarise_site, summarise_split
from partitions.table import read_table, write_table

__all__ = ["PartitionPlan", "SiteSummary", "make_partition", "read_plan", "tokenise"]


def make_partition(
    dataset: DataSet,
    *,
    config: PartitionConfig,
    seed: int,
    key: bytes,
    views: str,
    out: Path,
) -> PartitionPlan:
    """Return the plan that gives every patient to one split or site, written to `out`.

    Records with the official split `val` (CheXpert's valid set beside the 2022 test set) are left
    out. The same data set, config and seed give the same sets whatever the key.

    Args:
        dataset: the records, already filtered by view and label.
        config: number of sites, scheme and fractions.
        seed: the root seed of the run.
        key: of the tokens.
        views: which views the data set was read with, for plan.json.
        out: the folder to make; it may exist if it is empty or holds this very partition.

    Raises:
        ConfigError: more sites than the patients can fill.
        DataError: too few patients.
        LeakError: a patient is in the official train and test sets.
        ArtefactError: `out` holds something else, or cannot be written.
    """
    if out.exists() and not (out / PLAN_JSON).is_file() and any(out.iterdir()):
        raise ArtefactError(f"{out}: holds something else. Name a new folder.")
    dataset = dataset.where(lambda record: record.split != "val")
    with paused_collector():
        tables = _tables(dataset, config, seed, Tokens(key))
        head = {
            "format": FORMAT,
            "layout": dataset.layout,
            "source": dataset.root.name,
            "labels": list(dataset.labels),
            "scheme": config.scheme,
            "alpha": config.alpha if config.scheme == "dirichlet" else None,
            "seed": seed,
            "key_fingerprint": Tokens(key).fingerprint,
            "views": views,
        }
        digest = _write(out, head, tables)
    plan = read_plan(out)
    if plan.digest != digest:
        raise ArtefactError(f"{out}: holds another partition. Name a new folder, or reuse it.")
    return plan


def tokenise(dataset: DataSet, tokens: Tokens, split: list[str]) -> RecordTable:
    """Return the records as a table of tokens, in the records' order.

    Args:
        dataset: N records.
        tokens: of the patient key.
        split: (N,) the split to write beside each.
    """
    records = dataset.records
    patient = {p: tokens.patient(p) for p in {r.patient_id for r in records}}
    study = {s: tokens.study(s) for s in {r.study_id for r in records}}
    return RecordTable(
        labels=dataset.labels,
        image_id=tuple(tokens.image(r.path) for r in records),
        patient_id=tuple(patient[r.patient_id] for r in records),
        study_id=tuple(study[r.study_id] for r in records),
        split=tuple(split),
        view=tuple(r.view for r in records),
        projection=tuple(r.projection for r in records),
        sex=tuple(r.sex for r in records),
        age=tuple(r.age for r in records),
        states=dataset.states(),
    )


def _tables(
    dataset: DataSet, config: PartitionConfig, seed: int, tokens: Tokens
) -> dict[str, RecordTable]:
    """Return the table of each file of the plan."""
    grouped = group_by_patient([record.patient_id for record in dataset.records])
    official = [record.split for record in dataset.records]
    role = split_globally(grouped, official, config, seed, tokens)  # (P,)
    site_of = np.full(len(role), -1)
    pool = np.flatnonzero(role == TRAIN)
    site_of[pool] = _assign(dataset, grouped.patient_of, pool, config, seed)
    keeps = site_validation(site_of, config.clients, config.site_val_fraction, seed)
    is_val = keeps | (role == VAL)
    name = np.where(role == TEST, "test", np.where(is_val, "val", "train"))  # (P,)
    whole = tokenise(dataset, tokens, name[grouped.patient_of].tolist())
    role_of, owner_of = role[grouped.patient_of], site_of[grouped.patient_of]  # (N,)
    order = np.argsort(np.array(whole.image_id))
    width = max(2, len(str(config.clients - 1)))
    rows_by_owner = [order[owner_of[order] == site] for site in range(config.clients)]
    return {
        VAL_CSV: _take(whole, order[role_of[order] == VAL]),
        TEST_CSV: _take(whole, order[role_of[order] == TEST]),
        **{
            site_file(f"site-{site:0{width}d}"): _take(whole, rows)
            for site, rows in enumerate(rows_by_owner)
        },
    }


def _assign(
    dataset: DataSet,
    patient_of: NDArray[np.int64],
    pool: NDArray[np.int64],
    config: PartitionConfig,
    seed: int,
) -> NDArray[np.int64]:
    """Return the site of each patient of the pool."""
    rng = derive_rng(seed, "partition", config.scheme, config.clients)
    if config.scheme == "iid":
        return assign_iid(len(pool), config.clients, rng)
    positive = np.zeros((int(patient_of.max()) + 1, len(dataset.labels)), dtype=bool)
    np.logical_or.at(positive, patient_of, dataset.states() == POSITIVE)
    strata = strata_by_rarest(positive[pool])
    return assign_dirichlet(strata, config.clients, alpha=config.alpha, rng=rng)


def _take(table: RecordTable, rows: NDArray[np.int64]) -> RecordTable:
    """Return the table's rows at the given positions, in that order."""
    at = rows.tolist()
    return RecordTable(
        labels=table.labels,
        image_id=tuple(table.image_id[i] for i in at),
        patient_id=tuple(table.patient_id[i] for i in at),
        study_id=tuple(table.study_id[i] for i in at),
        split=tuple(table.split[i] for i in at),
        view=tuple(table.view[i] for i in at),
        projection=tuple(table.projection[i] for i in at),
        sex=tuple(table.sex[i] for i in at),
        age=tuple(table.age[i] for i in at),
        states=table.states[rows],
    )


def _write(out: Path, head: dict[str, Any], tables: dict[str, RecordTable]) -> str:
    """Write the folder under another name, prove it disjoint, rename it to `out`; its digest."""
    building = out.parent / f".{out.name}-{uuid.uuid4().hex[:8]}"
    try:
        for name, table in tables.items():
            (building / name).parent.mkdir(parents=True, exist_ok=True)
            write_table(table, building / name)
        written = {name: read_table(building / name) for name in tables}
        proof = prove_disjoint(all_sets(written))
        head["files"] = {name: sha256_of(building / name) for name in tables}
        head["global"] = {
            "val": summarise_split(written[VAL_CSV]),
            "test": summarise_split(written[TEST_CSV]),
        }
        head["sites"] = [
            site_to_json(summarise_site(Path(name).stem, table))
            for name, table in written.items()
            if name not in (VAL_CSV, TEST_CSV)
        ]
        head["proof"] = proof_to_json(proof)
        head["digest"] = digest_of(head)
        (building / PLAN_JSON).write_text(json.dumps(head, indent=1) + "\n", encoding="utf-8")
        try:
            building.rename(out)
        except OSError:
            if not (out / PLAN_JSON).is_file():  # it is there when another process was faster
                raise
        return str(head["digest"])
    except OSError as err:
        raise ArtefactError(f"{out}: the partition cannot be written ({err.strerror}).") from err
    finally:
        shutil.rmtree(building, ignore_errors=True)
