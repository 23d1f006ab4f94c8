"""Opens a partition folder, only if it is whole and its sets are disjoint."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fedcxr.collector import paused_collector
from fedcxr.data.cache.writer import sha256_of
from fedcxr.data.records import RecordTable
from fedcxr.errors import DataError, LeakError, some
from partitions.patients import prove_disjoint
from partitions.plan_folder import (
    PLAN_JSON,
    TEST_CSV,
    VAL_CSV,
    PartitionPlan,
    all_sets,
    damaged,
    plan_of,
    read_head,
    site_file,
)
from partitions.summary import is_same, summarise_site, summarise_split
from partitions.table import read_table


def read_plan(folder: Path) -> PartitionPlan:
    """Return the plan in `folder`, checked against every file and proved disjoint anew.

    Raises:
        ArtefactError: a file is missing, damaged, or not what plan.json says of it.
        LeakError: a patient or an image is in two sets.
    """
    head = read_head(folder)
    plan = plan_of(folder, head)
    try:
        expected = {str(name): str(sha256) for name, sha256 in head["files"].items()}
        said = {"val": head["global"]["val"], "test": head["global"]["test"]}
        pairs, names = int(head["proof"]["pairs_checked"]), list(head["proof"]["sets"])
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise damaged(folder, f"{PLAN_JSON} lacks or garbles {err}") from err
    _check_files(plan, expected)
    with paused_collector():
        tables = {name: _table(folder, name, plan.labels) for name in expected}
    proof = prove_disjoint(all_sets(tables))
    if not plan.is_export and (proof.pairs_checked, list(proof.sets)) != (pairs, names):
        raise damaged(folder, "the stored proof of disjointness is about other sets")
    for site in () if plan.is_export else plan.sites:
        found = summarise_site(site.site_id, tables[site_file(site.site_id)], site.holds)
        if not is_same(replace(found, js_distance=site.js_distance), site):
            raise damaged(folder, f"the numbers of {site.site_id} are not those of its file")
    if said != {"val": summarise_split(tables[VAL_CSV]), "test": summarise_split(tables[TEST_CSV])}:
        raise damaged(folder, "the numbers of the global splits are not those of their files")
    return replace(plan, proof=proof, tables=tables)


def _check_files(plan: PartitionPlan, expected: Mapping[str, str]) -> None:
    names = {VAL_CSV, TEST_CSV}
    if not plan.is_export:
        names |= {site_file(site.site_id) for site in plan.sites}
    if set(expected) != names:
        wrong = some(sorted(set(expected) ^ names))
        raise damaged(plan.folder, f"{PLAN_JSON} does not name the files of its sites: {wrong}")
    for name, sha256 in expected.items():
        path = plan.folder / name
        if not path.is_file():
            raise damaged(plan.folder, f"{name} is missing")
        if sha256_of(path) != sha256:
            raise damaged(plan.folder, f"{name} has been changed (sha256)")


def _table(folder: Path, name: str, labels: tuple[str, ...]) -> RecordTable:
    try:
        table = read_table(folder / name)
    except LeakError:
        raise
    except DataError as err:
        raise damaged(folder, str(err)) from err
    if table.labels != labels:
        raise damaged(folder, f"{name} has other labels than {PLAN_JSON}")
    wanted = {VAL_CSV: {"val"}, TEST_CSV: {"test"}}.get(name, {"train", "val"})
    if not set(table.split) <= wanted:
        raise damaged(folder, f"{name} has rows of another split than {some(sorted(wanted))}")
    return table
