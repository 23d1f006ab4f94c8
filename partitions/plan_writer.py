"""Writes a partition folder whole or not at all, and proves it on what it wrote."""

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedcxr.data.cache.writer import sha256_of
from fedcxr.data.records import RecordTable
from fedcxr.errors import ArtefactError
from fedcxr.filenames import shortened
from fedcxr.storage import mend
from partitions.patients import Proof, prove_disjoint
from partitions.plan_folder import (
    PLAN_JSON,
    TEST_CSV,
    VAL_CSV,
    PartitionPlan,
    all_sets,
    digest_of,
    plan_of,
    proof_to_json,
    site_file,
)
from partitions.plan_reader import read_plan
from partitions.summary import site_to_json, summarise_site, summarise_split, with_distances
from partitions.table import read_table, write_table


def write_plan(
    out: Path,
    head: Mapping[str, Any],
    tables: Mapping[str, RecordTable],
    holds: Mapping[str, str],
) -> PartitionPlan:
    """Return the plan that was written to `out`, under another name until whole.

    Its tables are those that were read back from the disk.

    Args:
        out: the folder to make; if this plan is there already, it stays.
        head: what plan.json says beside the numbers and the proof, which come from the files.
        tables: by file name in the folder, its rows.
        holds: by site, in the order of the plan, what it holds.

    Raises:
        LeakError: a patient or an image is in two sets.
        ArtefactError: `out` cannot be written, or holds another plan.
    """
    building = out.parent / f".{shortened(out.name, 200)}-{uuid.uuid4().hex[:8]}"
    try:
        for name, table in tables.items():
            (building / name).parent.mkdir(parents=True, exist_ok=True)
            write_table(table, building / name)
        written = {name: read_table(building / name) for name in tables}
        proof = prove_disjoint(all_sets(written))
        body = {**head, **_numbers(building, written, holds, proof)}
        body["digest"] = digest_of(body)
        (building / PLAN_JSON).write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
        try:
            building.rename(out)
        except OSError:
            if not (out / PLAN_JSON).is_file():  # it is there when another process was faster
                raise
            return _the_same(read_plan(out), str(body["digest"]))
        return replace(plan_of(out, body), proof=proof, tables=written)
    except OSError as err:
        raise ArtefactError(
            f"{out}: the partition cannot be written ({err.strerror}). {mend(out, err)}"
        ) from err
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _the_same(plan: PartitionPlan, digest: str) -> PartitionPlan:
    """Return the plan that is there already if it is the one that was to be written."""
    if plan.digest != digest:
        raise ArtefactError(
            f"{plan.folder}: holds another partition. Name a new folder, or reuse it."
        )
    return plan


def _numbers(
    folder: Path, written: Mapping[str, RecordTable], holds: Mapping[str, str], proof: Proof
) -> dict[str, Any]:
    """Return the digests, numbers and proof of the files, as they were read back from the disk."""
    sites = [summarise_site(site, written[site_file(site)], held) for site, held in holds.items()]
    return {
        "files": {name: sha256_of(folder / name) for name in written},
        "global": {
            "val": summarise_split(written[VAL_CSV]),
            "test": summarise_split(written[TEST_CSV]),
        },
        "sites": [site_to_json(site) for site in with_distances(sites)],
        "proof": proof_to_json(proof),
    }
