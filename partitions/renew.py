"""A partition over data that have changed: everybody stays where they are, the rows are today's.

For a run or a comparison that takes changed data on purpose. Images that are gone are left out, new
ones are in no set. The plan keeps the digest of the one that it came from, since that is what a
run's checkpoints were made under.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from fedcxr.data.records import DataSet, RecordTable
from fedcxr.data.tokens import Tokens
from partitions.plan_folder import PLAN_JSON, PartitionPlan, all_tables
from partitions.plan_writer import write_plan
from partitions.record_table import take, tokenise

_FROM_THE_TABLES = ("files", "global", "sites", "proof", "digest")
"""What of plan.json is worked out anew."""


def renew_plan(plan: PartitionPlan, dataset: DataSet, tokens: Tokens, out: Path) -> PartitionPlan:
    """Return the plan in `out` with the same images in the same sets, and today's rows of them.

    Args:
        plan: the partition.
        dataset: as it is read today, with all labels of the plan.
        tokens: of the partition's key.
        out: the folder to make.

    Raises:
        ArtefactError: `out` cannot be written.
    """
    now = tokenise(dataset, tokens, [""] * len(dataset.records))
    row_now = {image_id: row for row, image_id in enumerate(now.image_id)}
    tables = {name: _todays(table, now, row_now) for name, table in all_tables(plan).items()}
    old: dict[str, Any] = json.loads((plan.folder / PLAN_JSON).read_text(encoding="utf-8"))
    head = {key: value for key, value in old.items() if key not in _FROM_THE_TABLES}
    head["renewed_from"] = plan.lineage
    head["labels"] = list(now.labels)
    return write_plan(out, head, tables, {site.site_id: site.holds for site in plan.sites})


def _todays(table: RecordTable, now: RecordTable, row_now: dict[str, int]) -> RecordTable:
    """Return today's rows of the images of a table that are still there, each with its split."""
    kept = [row for row, image_id in enumerate(table.image_id) if image_id in row_now]
    rows = np.array([row_now[table.image_id[row]] for row in kept], dtype=np.int64)
    found = take(now, rows)
    return RecordTable(
        labels=found.labels,
        image_id=found.image_id,
        patient_id=found.patient_id,
        study_id=found.study_id,
        split=tuple(table.split[row] for row in kept),
        view=found.view,
        projection=found.projection,
        sex=found.sex,
        age=found.age,
        states=found.states,
    )
