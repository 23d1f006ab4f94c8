"""Partitions made of another one: all sites as one, or one site alone, with the same held-out sets.

What they train on is, image by image, what the sites of the first partition train on; so a model
trained on one of them is compared with the federation on the same patients.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedcxr.data.records import RecordTable
from partitions.changes import read_contents, write_contents
from partitions.plan_folder import (
    FORMAT,
    TEST_CSV,
    VAL_CSV,
    PartitionPlan,
    site_file,
)
from partitions.plan_writer import write_plan
from partitions.record_table import join

POOLED = "pooled"
"""The name of the one site that holds what all sites hold."""


def pool_sites(plan: PartitionPlan, out: Path) -> PartitionPlan:
    """Return the plan in `out` whose one site holds the records of all sites of `plan`.

    Raises:
        ArtefactError: `plan` is an export without its sites, or `out` cannot be written.
    """
    tables = [plan.site_table(site.site_id) for site in plan.sites]
    return _derived(plan, "pooled", {POOLED: join(tables)}, out)


def single_site(plan: PartitionPlan, site_id: str, out: Path) -> PartitionPlan:
    """Return the plan in `out` whose one site is a site of `plan`.

    Raises:
        ArtefactError: there is no such site, or `out` cannot be written.
    """
    return _derived(plan, "single site", {site_id: plan.site_table(site_id)}, out)


def _derived(
    plan: PartitionPlan, scheme: str, sites: Mapping[str, RecordTable], out: Path
) -> PartitionPlan:
    held = sum(map(len, sites.values()))
    out.parent.mkdir(parents=True, exist_ok=True)
    head: dict[str, Any] = {
        "format": FORMAT,
        "layout": plan.layout,
        "source": plan.source,
        "labels": list(plan.labels),
        "scheme": scheme,
        "parameters": plan.parameters,
        "seed": plan.seed,
        "key_fingerprint": plan.key_fingerprint,
        "views": plan.views,
        "test_set": plan.test_set.to_json(),
        "moved_patients": plan.moved_patients,
        "left_out_images": plan.left_out_images + sum(s.images for s in plan.sites) - held,
    }
    tables = {VAL_CSV: plan.table(VAL_CSV), TEST_CSV: plan.table(TEST_CSV)}
    tables |= {site_file(name): table for name, table in sites.items()}
    made = write_plan(out, head, tables, dict.fromkeys(sites, ""))
    write_contents(out, made, read_contents(plan.folder))
    return made
