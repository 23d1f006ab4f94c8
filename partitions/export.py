"""Folders for real machines: a hospital's own data, and the server's.

What a hospital gets is what it would bring by itself: `site.csv` with a `path` column and the
images, named by their tokens. Nothing in it names the source's patients, and it knows nothing of
the other sites. Image files are copied as they are: what a file's own metadata says stays in it.
"""

import json
import logging
import shutil
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from fedcxr.data.cache.writer import sha256_of
from fedcxr.data.paths import Fence
from fedcxr.data.readers.site_folder import SITE_CSV
from fedcxr.data.records import DataSet, RecordTable
from fedcxr.data.tokens import Tokens
from fedcxr.errors import ArtefactError, some
from fedcxr.filenames import shortened
from fedcxr.storage import mend
from partitions.plan_folder import (
    PLAN_JSON,
    TEST_CSV,
    VAL_CSV,
    PartitionPlan,
    digest_of,
)
from partitions.plan_reader import read_plan
from partitions.table import read_table, write_table

_log = logging.getLogger(__name__)


def export_site(plan: PartitionPlan, site_id: str, dataset: DataSet, key: bytes, out: Path) -> Path:
    """Return `out`, made as the data folder of one hospital: site.csv and images/.

    Args:
        plan: the partition.
        site_id: the hospital.
        dataset: what the partition was made of.
        key: the key it was made with.
        out: the folder to make; it may exist if it is empty.

    Raises:
        ArtefactError: another key or data set, no such site, or `out` cannot be written.
        DataError: an image leads out of the data folder.
    """
    csv_path = plan.site_csv(site_id)
    paths = _paths_by_token(plan, dataset, key)

    def fill(folder: Path) -> None:
        write_table(_with_images(read_table(csv_path), dataset, paths, folder), folder / SITE_CSV)

    return _make_folder(out, fill)


def export_global(
    plan: PartitionPlan,
    dataset: DataSet,
    key: bytes,
    out: Path,
    *,
    change_head: Callable[[dict[str, Any]], None] = lambda head: None,
) -> Path:
    """Return `out`, made as the server's data folder: plan.json, its two splits and their images.

    The sites' files are not in it. plan.json keeps their numbers and the proof, names the plan it
    was taken from as `exported_from`, and has a digest of its own; `read_plan` opens it.

    Args:
        plan: the partition.
        dataset: what it was made of.
        key: the key it was made with.
        out: the folder to make; it may exist if it is empty.
        change_head: changes in place what plan.json is to say.

    Raises:
        ArtefactError: another key or data set, or `out` cannot be written.
        DataError: an image leads out of the data folder.
    """
    paths = _paths_by_token(plan, dataset, key)

    def fill(folder: Path) -> None:
        (folder / "global").mkdir()
        for name in (VAL_CSV, TEST_CSV):
            table = read_table(plan.folder / name)
            table = _with_images(table, dataset, paths, folder / "global")
            write_table(table, folder / name)
        head = json.loads((plan.folder / PLAN_JSON).read_text(encoding="utf-8"))
        head["exported_from"] = head.get("exported_from", plan.digest)
        head["files"] = {name: sha256_of(folder / name) for name in (VAL_CSV, TEST_CSV)}
        change_head(head)
        head["digest"] = digest_of(head)
        (folder / PLAN_JSON).write_text(json.dumps(head, indent=1) + "\n", encoding="utf-8")
        read_plan(folder)

    return _make_folder(out, fill)


def _paths_by_token(plan: PartitionPlan, dataset: DataSet, key: bytes) -> dict[str, str]:
    """Return the source path of each image token."""
    tokens = Tokens(key)
    if tokens.fingerprint != plan.key_fingerprint:
        raise ArtefactError(
            f"{plan.folder}: made with patient key {plan.key_fingerprint}, and this one is "
            f"{tokens.fingerprint}. Set FEDCXR_PATIENT_KEY to the file of the key it was made with."
        )
    return {tokens.image(record.path): record.path for record in dataset.records}


def _with_images(
    table: RecordTable, dataset: DataSet, paths: dict[str, str], folder: Path
) -> RecordTable:
    """Copy the table's images to `folder`/images and return the table with their paths."""
    unknown = [image_id for image_id in table.image_id if image_id not in paths]
    if unknown:
        raise ArtefactError(
            f"{dataset.root}: {len(unknown)} images of the partition are not in this data set: "
            f"{some(unknown)}. Give the data set that it was made of."
        )
    fence = Fence(dataset.files)
    (folder / "images").mkdir(exist_ok=True)
    own = []
    for image_id in table.image_id:
        source = paths[image_id]
        own.append(f"images/{image_id}{PurePosixPath(source).suffix.lower()}")
        if fence.stat(source) is None:
            _log.warning("%s: %s is missing; its row stays.", dataset.root, source)
            continue
        shutil.copyfile(fence.file(source), folder / own[-1])
    return replace(table, path=tuple(own))


def _make_folder(out: Path, fill: Callable[[Path], None]) -> Path:
    """Make `out` whole or not at all."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ArtefactError(f"{out}: is there already. Name a new folder.")
    building = out.parent / f".{shortened(out.name, 200)}-{uuid.uuid4().hex[:8]}"
    try:
        building.mkdir(parents=True)
        fill(building)
        building.rename(out)
    except OSError as err:
        raise ArtefactError(f"{out}: cannot be written ({err.strerror}). {mend(out, err)}") from err
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return out
