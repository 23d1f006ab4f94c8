"""From a configuration to what a run stands on: the partition folder, the cache, the boxes.

Everything is content-addressed under the home folder, so asking twice, or from the server and a
client of the same simulation, costs one read and gives the same folder.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.flower import config_key
from fedcxr.config.load import check_config
from fedcxr.data.cache import Cache, build_cache
from fedcxr.data.read import read_dataset
from fedcxr.data.records import Box, DataSet
from fedcxr.data.synthetic import embedded_dataset
from fedcxr.data.tokens import SYNTHETIC_KEY, Tokens, load_key
from fedcxr.errors import ArtefactError, some
from fedcxr.home import home_folder
from fedcxr.runs.versions import cores
from partitions.plan import PartitionPlan, make_partition, read_plan
from partitions.table import read_table

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run stands on."""

    plan: PartitionPlan
    cache: Path
    cache_digest: str
    boxes: tuple[Box, ...]
    """Known boxes; `path` is the image's token."""
    notes: tuple[str, ...]
    source: str
    bad_images: int


def prepare(config: ExperimentConfig, progress: Progress | None = None) -> Prepared:
    """Return the partition, cache and boxes of `config`, made if they are not there yet.

    Raises:
        DataError: the data set is wrong or too many images are bad.
        LeakError: a patient would be in two places.
        ArtefactError: `partition.folder` is damaged or of other data.
    """
    return _prepare(config_key(config), progress)


def prepare_global(folder: Path, config: ExperimentConfig) -> Prepared:
    """Return what a server among real sites stands on: its own plan, val and test, in `folder`.

    Raises:
        ArtefactError: the folder is damaged, or not one that `export_global` made.
    """
    plan = read_plan(folder)
    items = []
    for table in (read_table(plan.val_csv), read_table(plan.test_csv)):
        if table.path is None:
            raise ArtefactError(
                f"{folder}: its tables have no column 'path'. Make the server's "
                "folder with `export_global`."
            )
        items += list(zip(table.image_id, table.path, strict=True))
    cache = build_cache(
        items,
        folder / "global",
        size_px=config.model.image_size,
        max_bad_fraction=config.data.max_bad_fraction,
        workers=cores(),
    )
    return Prepared(plan, cache.folder, cache.digest, (), (), plan.source, len(cache.bad))


@lru_cache(maxsize=4)
def _prepare(key_text: str, progress: Progress | None) -> Prepared:
    config = check_config(json.loads(key_text))
    root = Path(config.data.root) if config.data.root else embedded_dataset(config.data.synthetic)
    dataset = read_dataset(root, views=config.data.views, labels=config.data.labels)
    # Nobody is to be hidden in made-up data, and its runs shall be the same on every machine.
    key = SYNTHETIC_KEY if config.data.root is None else load_key()
    tokens = Tokens(key)
    cache = build_cache(
        [(tokens.image(record.path), record.path) for record in dataset.records],
        dataset.root,
        size_px=config.model.image_size,
        max_bad_fraction=config.data.max_bad_fraction,
        workers=cores(),
        progress=progress,
    )
    good = dataset.where(lambda record: tokens.image(record.path) in cache.row_by_id)
    plan = _plan(config, good, key)
    _check_fit(plan, cache, tokens, dataset.labels, config.data.views)
    boxes = tuple(
        Box(tokens.image(b.path), b.label, b.x, b.y, b.width, b.height)
        for b in dataset.boxes
        if b.label in dataset.labels
    )
    source = "synthetic" if config.data.root is None else root.resolve().name
    return Prepared(plan, cache.folder, cache.digest, boxes, dataset.notes, source, len(cache.bad))


def _plan(config: ExperimentConfig, dataset: DataSet, key: bytes) -> PartitionPlan:
    if config.partition.folder is not None:
        return read_plan(Path(config.partition.folder))
    folder = home_folder() / "partitions" / _plan_digest(config, dataset, key)
    if (folder / "plan.json").is_file():
        return read_plan(folder)
    return make_partition(
        dataset,
        config=config.partition,
        seed=config.seed,
        key=key,
        views=config.data.views,
        out=folder,
    )


def _plan_digest(config: ExperimentConfig, dataset: DataSet, key: bytes) -> str:
    sha = hashlib.sha256()
    parts = [
        config.partition.model_dump(mode="json"),
        config.seed,
        config.data.views,
        dataset.layout,
        dataset.labels,
        Tokens(key).fingerprint,
    ]
    sha.update(json.dumps(parts, sort_keys=True).encode())
    for record in dataset.records:
        sha.update(
            f"{record.patient_id}\0{record.path}\0{record.split}\0{record.labels}\n".encode()
        )
    return sha.hexdigest()[:24]


def _check_fit(
    plan: PartitionPlan, cache: Cache, tokens: Tokens, labels: tuple[str, ...], views: str
) -> None:
    """Refuse a partition folder of other data, other labels or another key."""
    if plan.key_fingerprint != tokens.fingerprint:
        raise ArtefactError(
            f"{plan.folder}: its patient tokens were made with another key. "
            "Set FEDCXR_PATIENT_KEY to that key's file, or partition anew."
        )
    if plan.views != views:
        raise ArtefactError(
            f"{plan.folder}: made with views={plan.views}, the run has {views}. "
            f"Give --views {plan.views}, or partition anew."
        )
    absent = [label for label in labels if label not in plan.labels]
    if absent:
        raise ArtefactError(
            f"{plan.folder}: made without the labels {some(absent)}. "
            "Partition anew or leave them out of --labels."
        )
    for file in (plan.val_csv, plan.test_csv, *(plan.site_csv(s.site_id) for s in plan.sites)):
        missing = [i for i in read_table(file).image_id if i not in cache.row_by_id]
        if missing:
            raise ArtefactError(
                f"{file}: {len(missing)} of its images are not in the data set "
                f"({some(missing, 3)}). Give the --data it was made from."
            )
