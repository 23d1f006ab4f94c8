"""A site's own data: where it is, and its records as cached images and targets.

A client learns where its data is from its own machine: in deployment the node config names a folder
(`site-dir`), in a simulation the engine or the run config does. Nothing in an order can point it
elsewhere.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcxr.atomic import write_bytes_atomically
from fedcxr.config.kit import SiteLimits
from fedcxr.config.task import SiteTask, parse_task
from fedcxr.cores import cores
from fedcxr.data.cache.store import Cache, build_cache, open_cache
from fedcxr.data.policies import score_targets, to_predict, train_targets
from fedcxr.data.records import RecordTable
from fedcxr.errors import ConfigError, DataError, some
from partitions.exported import table_differences
from partitions.table import read_table

NO_LIMITS = SiteLimits()


@dataclass(frozen=True, slots=True)
class SiteLocation:
    """Where one site's files are."""

    site_id: str
    table: Path
    """The site's CSV."""
    cache: Path | None
    """A cache made before (simulation), or None: the site builds its own beside its CSV."""
    state: Path
    """Folder for what the site keeps between rounds."""
    own_images: Path | None = None
    """Folder for what shows patients' pixels, or could: a VAE, its samples, a sheet of them. Never
    in the server's run folder; none = `state`."""
    vae_numbers: tuple[str, ...] | None = None
    """The numbers of its VAE that the site's owner lets out; none = those that the run asks for."""
    limits: SiteLimits = NO_LIMITS
    """The most that the site's owner lets a run ask for."""
    images: Path | None = None
    """Folder that the table's paths are relative to, in which nothing is written; none = the
    table's own."""
    node_key: Path | None = None
    """The private key of the site's kit, which signs for it; none = it has no kit."""


@dataclass(frozen=True, slots=True)
class SiteSplit:
    """The images of one split of a site, ready to train on."""

    rows: NDArray[np.int64]
    """(N,) rows of the cache."""
    target: NDArray[np.float32]
    """(N, L): of train what is trained on, of val the truth in {0, 1, nan}; nan = not known."""
    patient: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """(N,) a number for each patient of the site, the same in train and val."""


@dataclass(frozen=True, slots=True)
class Unfilled:
    """The training targets that wait for a first model's prediction (`self_trained`)."""

    rows: NDArray[np.int64]
    """(K,) of the split's images."""
    columns: NDArray[np.int64]
    """(K,) of the task's labels."""
    digest: str
    """Of the images and labels that they stand for, so that a file of predictions can say whose."""


@dataclass(frozen=True, slots=True)
class Site:
    """One site's data for one task."""

    site_id: str
    labels: tuple[str, ...]
    """The site's own vocabulary, of which the task's labels are a part."""
    num_patients: int
    images: NDArray[np.uint8]
    """(N, H, W) memory map."""
    train: SiteSplit
    val: SiteSplit
    unfilled: Unfilled


def own_folder(
    folder: Path,
    vae_numbers: tuple[str, ...] = (),
    site_id: str | None = None,
    limits: SiteLimits = NO_LIMITS,
    images: Path | None = None,
) -> SiteLocation:
    """Return the location of a hospital's own folder: `site.csv`, and its images beside it.

    Args:
        folder: the hospital's.
        vae_numbers: what its owner lets out of a VAE.
        site_id: its name in the plan; none = the folder's.
        limits: the most that its owner lets a run ask for.
        images: where its images are; none = beside `site.csv`.

    Raises:
        ConfigError: there is no such file.
    """
    table = folder / "site.csv"
    if not table.is_file():
        raise ConfigError(
            f"{table}: missing. Set site-dir in the node config to the site's folder."
        )
    name = site_id or folder.resolve().name
    state = folder / "state"
    return SiteLocation(
        name, table, None, state, vae_numbers=vae_numbers, limits=limits, images=images
    )


def simulated(
    partition: Path, index: int, *, cache: Path, state: Path, own_images: Path | None = None
) -> SiteLocation:
    """Return the location of simulated site number `index` in a partition folder."""
    tables = _tables(partition)
    if index >= len(tables):
        raise ConfigError(
            f"{partition}: there is no site number {index}; it has {len(tables)}. "
            "Give Flower as many SuperNodes as the partition has sites."
        )
    table = tables[index]
    shown = own_images and own_images / table.stem
    return SiteLocation(table.stem, table, cache, state / table.stem, shown)


@lru_cache(maxsize=8)
def _tables(partition: Path) -> tuple[Path, ...]:
    """Return the sites' tables; kept, since to list a thousand for every order takes 6 ms."""
    return tuple(sorted((partition / "sites").glob("*.csv")))


def open_site(location: SiteLocation, task: SiteTask) -> Site:
    """Return the site's data for `task`; kept per process, since every round asks for the same.

    Raises:
        DataError: the site lacks a label of the task, or too many of its images are bad.
        ArtefactError: its table or cache is damaged.
    """
    return _open_site(location, task.to_text())


@lru_cache(maxsize=256)
def _open_site(location: SiteLocation, task_text: str) -> Site:
    task = parse_task(task_text)
    table = read_table(location.table)
    if location.cache is None:
        _check_same_table(location, task.run, table)
    states = table.states[:, _columns(table.labels, task.labels)]  # (N, L)
    cache = _cache_of(location, table, task)
    usable = np.array([image_id in cache.row_by_id for image_id in table.image_id], dtype=bool)
    train, val = ([i for i in table.rows(name) if usable[i]] for name in ("train", "val"))
    train_ids = [table.image_id[i] for i in train]
    target = train_targets(
        states[train], task.labels, task.policy, image_id=train_ids, seed=task.seed
    )
    truth = score_targets(states[val], task.labels, task.policy)
    patient = np.unique(np.array(table.patient_id), return_inverse=True)[1]
    return Site(
        site_id=location.site_id,
        labels=table.labels,
        num_patients=len({p for p, ok in zip(table.patient_id, usable, strict=True) if ok}),
        images=cache.images,
        train=SiteSplit(cache.rows(train_ids), target, patient[train]),
        val=SiteSplit(cache.rows([table.image_id[i] for i in val]), truth, patient[val]),
        unfilled=_unfilled(states[train], train_ids, task),
    )


def _check_same_table(location: SiteLocation, run: str, table: RecordTable) -> None:
    """Raise DataError where a hospital's labels are not those with which it began a run.

    Its table is kept in its state folder when the run begins.
    """
    kept = location.state / run / location.table.name
    today = location.table.read_bytes()
    if not kept.is_file():
        write_bytes_atomically(kept, today, mode=0o600)
        return
    if kept.read_bytes() == today:
        return
    differences = table_differences(location.table.name, read_table(kept), table)
    if differences:
        raise DataError(
            f"{location.table}: not as it was when run {run} began: {some(differences, 5)}. Put it "
            f"back for this run, or delete {kept} to go on with other labels."
        )


def _unfilled(states: NDArray[np.int8], image_id: Sequence[str], task: SiteTask) -> Unfilled:
    rows, columns = np.nonzero(to_predict(states, task.labels, task.policy))
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    asked = (f"{image_id[row]}\0{task.labels[column]}\n" for row, column in pairs)
    return Unfilled(rows, columns, hashlib.sha256("".join(asked).encode()).hexdigest())


def _cache_of(location: SiteLocation, table: RecordTable, task: SiteTask) -> Cache:
    if location.cache is not None:
        return open_cache(location.cache)
    return decode_site(
        location, table, size_px=task.model.image_size, max_bad_fraction=task.max_bad_fraction
    )


def decode_site(
    location: SiteLocation,
    table: RecordTable,
    *,
    size_px: int,
    max_bad_fraction: float,
    progress: Callable[[int, int], None] | None = None,
) -> Cache:
    """Return the cache of a real site's images: beside its own folder's table, else at home.

    Args:
        location: the site's.
        table: its table.
        size_px: side of the squares.
        max_bad_fraction: more bad files than this share is an error.
        progress: told how many files are done, and of how many.

    Raises:
        DataError: the table says of no image where it is, or too many are bad.
        ArtefactError: the cache is damaged or cannot be written.
    """
    if table.path is None:
        raise DataError(
            f"{location.table}: no column 'path', so its images cannot be found. "
            "Write the site's folder anew with `export_site`."
        )
    folder = location.table.parent
    return build_cache(
        list(zip(table.image_id, table.path, strict=True)),
        location.images or folder,
        size_px=size_px,
        max_bad_fraction=max_bad_fraction,
        workers=cores(),
        folder=None if location.images else folder / "cache" / f"{size_px}px",
        progress=progress,
    )


def _columns(have: Sequence[str], want: Sequence[str]) -> list[int]:
    missing = [label for label in want if label not in have]
    if missing:
        raise DataError(
            f"The site's table lacks the labels {some(missing)}; it has {some(list(have))}."
        )
    return [have.index(label) for label in want]
