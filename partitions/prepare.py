"""From a configuration to what a run stands on: the partition folder, the cache, the boxes.

Everything is content-addressed under the home folder, so asking twice, or from the server and a
client of the same simulation, costs one read and gives the same folder.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.partition import ATTRIBUTES
from fedcxr.config.task import PolicyConfig
from fedcxr.cores import cores
from fedcxr.data.cache.images import cache_of
from fedcxr.data.cache.store import Cache, build_cache
from fedcxr.data.cache.writer import sha256_of
from fedcxr.data.copies import without_copies
from fedcxr.data.origin import SamplePart
from fedcxr.data.policies import policy_of
from fedcxr.data.read import read_dataset
from fedcxr.data.records import Box, DataSet
from fedcxr.data.synthetic.write import embedded_dataset
from fedcxr.data.tokens import SYNTHETIC_KEY, Tokens, load_key
from fedcxr.errors import ArtefactError
from fedcxr.home import home_folder
from fedcxr.report.origin_words import notes_of, one_class_words
from fedcxr.storage import writing
from partitions.changes import DataChanges, find_changes
from partitions.class_sample import sites_of_one_class
from partitions.fit import check_fit, check_key
from partitions.plan import PartitionPlan, make_partition, read_plan
from partitions.plan_folder import FORMAT, TEST_CSV, VAL_CSV
from partitions.renew import renew_plan

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
    png_bits: int | None
    """As `Cache.png_bits`."""
    contents: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By image token, the keyed digest of the file; empty where nobody has read them."""
    changes: DataChanges | None = None
    """What is not as it was when `partition.folder` was written, and was taken on purpose; none
    where the partition is a new one."""

    def without_tables(self) -> "Prepared":
        """Return the same with a plan that does not hold its tables in memory."""
        return replace(self, plan=self.plan.without_tables())


def prepare(
    config: ExperimentConfig,
    progress: Progress | None = None,
    *,
    keep_tables: bool = False,
    draw: int = 0,
) -> Prepared:
    """Return the partition, cache and boxes of `config`, made if they are not there yet.

    Args:
        config: of the run.
        progress: called with how many images are decoded, and of how many.
        keep_tables: whether the plan still holds its tables, for who needs them at once.
        draw: which of the draws of patients to sites, as `make_partition` takes it; a
            `partition.folder` is one draw, whatever is asked for.

    Raises:
        DataError: the data set is wrong or too many images are bad.
        LeakError: a patient would be in two places.
        ArtefactError: `partition.folder` is damaged or of other data.
        StorageError: the home folder cannot be written.
    """
    logs = home_folder() / "logs"
    with writing(logs):  # here it can be said in words; a site that cannot log sends a bare code
        logs.mkdir(parents=True, exist_ok=True)
    read = read_for(config)
    tokens = Tokens(key_for(config))
    cache = cache_of(
        read,
        tokens,
        size_px=config.model.image_size,
        max_bad_fraction=config.data.max_bad_fraction,
        progress=progress,
    )
    contents = {image_id: tokens.content(digest) for image_id, digest in cache.contents().items()}
    dataset = _distinct(read, tokens, contents)
    if config.partition.folder is None:
        plan, changes = _own_plan(config, dataset, tokens.key, draw), None
    else:
        plan, changes = _given_plan(config, read, tokens, contents, cache)
    check_fit(plan, cache, tokens, contents, labels=dataset.labels, views=config.data.views)
    boxes = tuple(
        Box(tokens.image(b.path), b.label, b.x, b.y, b.width, b.height)
        for b in dataset.boxes
        if b.label in dataset.labels
    )
    names = [Path(root).resolve().name for root in config.data.roots]
    source = " + ".join(names) or "synthetic"
    return Prepared(
        plan=plan if keep_tables else plan.without_tables(),
        cache=cache.folder,
        cache_digest=cache.digest,
        boxes=boxes,
        notes=(*dataset.notes, *notes_of(plan.test_set), *_notes_of_sites(config, plan)),
        source=source,
        bad_images=len(cache.bad),
        png_bits=cache.png_bits,
        contents=contents,
        changes=changes,
    )


def prepare_global(folder: Path, config: ExperimentConfig) -> Prepared:
    """Return what a server among real sites stands on: its own plan, val and test, in `folder`.

    Raises:
        ArtefactError: the folder is damaged, or not one that `export_global` made.
    """
    plan = read_plan(folder)
    items = []
    for table in (plan.table(VAL_CSV), plan.table(TEST_CSV)):
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
    return Prepared(
        plan=plan.without_tables(),
        cache=cache.folder,
        cache_digest=cache.digest,
        boxes=(),
        notes=tuple(notes_of(plan.test_set)),
        source=plan.source,
        bad_images=len(cache.bad),
        png_bits=cache.png_bits,
    )


def read_for(config: ExperimentConfig) -> DataSet:
    """Return the records of `config`'s data set, with the column that its partition asks for."""
    data, partition = config.data, config.partition
    roots = [Path(root) for root in data.roots] or [embedded_dataset(data.synthetic)]
    own_column = partition.scheme == "by-attribute" and partition.attribute not in ATTRIBUTES
    return read_dataset(
        roots,
        views=data.views,
        labels=data.labels,
        task=data.task,
        label_table=data.label_table,
        column=partition.attribute if own_column else None,
        follow_links=data.follow_links,
    )


def key_for(config: ExperimentConfig) -> bytes:
    """Return the key of the run's tokens.

    Nobody is to be hidden in made-up data, and its runs shall be the same on every machine.
    """
    return load_key() if config.data.roots else SYNTHETIC_KEY


def _distinct(read: DataSet, tokens: Tokens, contents: Mapping[str, str]) -> DataSet:
    """Return the records whose images could be decoded, without copies."""
    digests = {
        record.path: contents[image_id]
        for record in read.records
        if (image_id := tokens.image(record.path)) in contents
    }
    good = read.where(lambda record: record.path in digests)
    return without_copies(good, digests)


def _own_plan(config: ExperimentConfig, dataset: DataSet, key: bytes, draw: int) -> PartitionPlan:
    """Return the partition that the configuration describes, made if it is not there yet."""
    name = _plan_digest(config, dataset, key) + (f"-{draw}" if draw else "")
    folder = home_folder() / "partitions" / name
    if (folder / "plan.json").is_file():
        return read_plan(folder)
    return make_partition(
        dataset,
        config=config.partition,
        seed=config.seed,
        key=key,
        views=config.data.views,
        out=folder,
        draw=draw,
        policy=_policy(config),
    )


def _notes_of_sites(config: ExperimentConfig, plan: PartitionPlan) -> list[str]:
    """Return a sentence for each site of a sample by class that has one class alone."""
    (first, *_) = plan.test_set.parts
    if not isinstance(first, SamplePart):
        return []
    lacking = sites_of_one_class(plan, _policy(config))
    return [one_class_words(site_id, first.label, has_it=has_it) for site_id, has_it in lacking]


def _policy(config: ExperimentConfig) -> PolicyConfig:
    return policy_of(config.data, rounds=config.server.rounds)


def _given_plan(
    config: ExperimentConfig,
    dataset: DataSet,
    tokens: Tokens,
    contents: Mapping[str, str],
    cache: Cache,
) -> tuple[PartitionPlan, DataChanges]:
    """Return the partition that was made before, and what of its data has changed since."""
    plan = read_plan(Path(str(config.partition.folder)))
    check_key(plan, tokens)
    bad = frozenset(image_id for image_id, _, _ in cache.bad)
    changes = find_changes(plan, dataset, tokens, contents, bad=bad)
    if not config.data.accept_changed_data:
        changes.refuse(plan.folder)
    if not changes:
        return plan, changes
    # A plan of its own, named by what it holds: asked again, it is the same.
    digest = _plan_digest(config, dataset, tokens.key)
    out = home_folder() / "partitions" / f"{plan.digest[:24]}-{digest}"
    renewed = read_plan(out) if (out / "plan.json").is_file() else None
    return renewed or renew_plan(plan, dataset, tokens, out), changes


def _plan_digest(config: ExperimentConfig, dataset: DataSet, key: bytes) -> str:
    sha = hashlib.sha256()
    parts = [
        FORMAT,
        config.partition.model_dump(mode="json"),
        config.seed,
        config.data.views,
        dataset.layout,
        dataset.labels,
        [asdict(one) for one in dataset.official],
        Tokens(key).fingerprint,
        sha256_of(Path(file)) if (file := config.partition.sites_file) else "",
        _policy(config).model_dump(mode="json") if config.partition.class_sizes else "",
    ]
    sha.update(json.dumps(parts, sort_keys=True).encode())
    for record in dataset.records:
        sha.update(
            f"{record.patient_id}\0{record.path}\0{record.split}\0{record.labels}\0{record.source}"
            f"\0{record.view}\0{record.projection}\0{record.sex}\0{record.age}"
            f"\0{record.attribute}\n".encode()
        )
    return sha.hexdigest()[:24]
