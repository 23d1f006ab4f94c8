"""A hospital's data made ready before its client connects: checked, split, decoded.

`--data` is the hospital's own folder with `site.csv`, or a CheXpert or NIH ChestX-ray14. A data set
is only read: its table of tokens lies in the home folder, `sites/NAME/`, with all that the client
keeps. What was checked once is not looked at again while no file has another size or time.
"""

import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from clients.site import SiteLocation, decode_site
from fedcxr.atomic import write_text_atomically
from fedcxr.config.partition import PartitionConfig
from fedcxr.data.cache.builder import recipe_of
from fedcxr.data.quality.check import check_data, check_reading
from fedcxr.data.quality.findings import NOTICE, DataReport, Finding
from fedcxr.data.quality.images import SIDE_PX
from fedcxr.data.read import read_dataset
from fedcxr.data.readers.layouts import recognise
from fedcxr.data.readers.site_folder import SITE_CSV
from fedcxr.data.records import DataSet, RecordTable
from fedcxr.data.tokens import Tokens, load_key
from fedcxr.errors import ArtefactError, ConfigError, DataError
from fedcxr.home import home_folder
from fedcxr.version import __version__
from partitions.hospital_folder import hospital_reading, own_images, write_own_table
from partitions.table import read_table

STATE_JSON = "site.json"
"""In the site's folder: what was checked, under which key its table was made, the images' size."""

_DISK_S = 0.1
"""For the measuring of the disk, whose result nobody sees here."""

OnProgress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and the total."""
OnNotices = Callable[[tuple[Finding, ...]], None]
"""Told what is worth knowing of the data and stops nobody."""


@dataclass(frozen=True, slots=True)
class SiteData:
    """Data that a client can take part with."""

    folder: Path
    """With `site.csv`, and what the client keeps."""
    images: Path
    """What the table's paths are relative to."""
    table: RecordTable
    left_out: int = 0
    """Images of an official val or test set, which nobody trains on."""
    image_size: int | None = None
    """Side in pixels to which they are decoded; none = they will be at the first order."""


def prepare_site(
    site: str,
    data: Path,
    *,
    views: Literal["frontal", "all"] = "frontal",
    image_size: int | None = None,
    accept: Collection[str] = (),
    on_progress: OnProgress | None = None,
    on_notices: OnNotices = lambda found: None,
) -> SiteData:
    """Return a site's data, checked and, where the size is known, decoded.

    Args:
        site: its name.
        data: its own folder with `site.csv`, or a CheXpert or NIH ChestX-ray14, or its parent.
        views: of a data set, which images are taken; a `site.csv` says itself.
        image_size: side in pixels to decode to; none = as at the last start.
        accept: kinds of problems that do not stop it.
        on_progress: told how far it is.
        on_notices: told once of what is worth knowing, when the data were looked at.

    Raises:
        ConfigError: no data folder.
        DataError: the tables are wrong, or `fedcxr check-data` calls something a problem.
        ArtefactError: the table was made under another patient key, or a cache is damaged.
        StorageError: the home folder cannot be written.
    """
    if not data.is_dir():
        raise ConfigError(f"--data {data}: there is no such folder.")
    state_file = home_folder().absolute() / "sites" / site / STATE_JSON
    state = _read_state(state_file)
    is_own = (data / SITE_CSV).is_file()
    if not is_own:
        _check_layout(data)
    dataset = hospital_reading(data).dataset if is_own else read_dataset(data, views=views)
    digest = _digest(dataset, accept)
    if state.get("checked") != digest:
        report = _check_folder(data, on_progress)
        notices = [finding for finding in report.findings if finding.severity == NOTICE]
        on_notices((*notices, *_accepted(report, accept, data)))
    if is_own:
        made = SiteData(data, data, read_table(data / SITE_CSV))
        fingerprint = None
    else:
        tokens = Tokens(load_key())
        fingerprint = tokens.fingerprint
        made = _from_dataset(dataset, tokens, state_file.parent, state.get("key"))
    size = image_size or state.get("image_size")
    write_text_atomically(
        state_file, json.dumps({"checked": digest, "key": fingerprint, "image_size": size}) + "\n"
    )
    if size is not None:
        _decode(site, made, size, on_progress)
    return SiteData(made.folder, made.images, made.table, made.left_out, size)


def _check_folder(data: Path, on_progress: OnProgress | None) -> DataReport:
    """Return what `fedcxr check-data` finds in a hospital's own folder or a data set."""

    def progress(what: str, done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(f"Checking: {what.lower()}", done, total)

    if (data / SITE_CSV).is_file():
        reading = hospital_reading(data)
        return check_reading(reading, progress=progress, disk_budget_s=_DISK_S)
    return check_data(data, progress=progress, disk_budget_s=_DISK_S)


def _check_layout(data: Path) -> None:
    """Raise `DataError` where a folder without site.csv holds no data set."""
    try:
        recognise(data)
    except DataError as err:
        raise DataError(
            f"{data}: no {SITE_CSV} (docs/data-formats.md, a hospital's folder), and no data set "
            f"either: {err}"
        ) from err


def _accepted(report: DataReport, accept: Collection[str], data: Path) -> list[Finding]:
    """Return the problems that the owner accepts; `DataError` where there is another."""
    others = [finding for finding in report.problems if finding.kind not in accept]
    if others:
        lines = [
            f"{one.kind}: {one.title}: {one.count} ({', '.join(one.examples[:3])})"
            for one in others
        ]
        raise DataError(
            f"{data}: not clean, so the client does not connect:\n  "
            + "\n  ".join(lines)
            + f"\n`fedcxr check-data {data}` says what each means and how to mend it; "
            "--accept KIND takes one as it is."
        )
    return list(report.problems)


def _from_dataset(
    dataset: DataSet, tokens: Tokens, folder: Path, known_key: str | None
) -> SiteData:
    """Return the data of a site that brings a data set, with its table in its own folder."""
    if known_key not in (None, tokens.fingerprint):
        raise ArtefactError(
            f"{folder / SITE_CSV}: made with patient key {known_key}, and this one is "
            f"{tokens.fingerprint}: the site's own split could not be kept. Set "
            "FEDCXR_PATIENT_KEY to the file of that key, or move this folder away."
        )
    own = own_images(dataset, tokens)
    fraction = PartitionConfig().site_val_fraction
    table = write_own_table(own, tokens, fraction, folder / SITE_CSV)
    left_out = len(dataset.records) - len(own.records)
    return SiteData(folder, dataset.root.absolute(), table, left_out)


def _decode(site: str, data: SiteData, size_px: int, on_progress: OnProgress | None) -> None:
    """Make the cache that the site's first order would make; its own check was before."""
    images = None if data.images == data.folder else data.images
    place = SiteLocation(site, data.folder / SITE_CSV, None, data.folder / "state", images=images)

    def progress(done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(f"Decoding to {size_px} px", done, total)

    decode_site(place, data.table, size_px=size_px, max_bad_fraction=1.0, progress=progress)


def _digest(dataset: DataSet, accept: Collection[str]) -> str:
    """Return what a check depends on: the rows, the files' sizes and times, what is accepted."""
    items = {(str(number), one.path) for number, one in enumerate(dataset.records)}
    recipe, _ = recipe_of(sorted(items), dataset.files, SIDE_PX)
    sha = hashlib.sha256(f"{__version__}\0{recipe.digest}\0{sorted(accept)}\n".encode())
    for record in dataset.records:
        sha.update(repr(record).encode("utf-8", "surrogateescape"))
    return sha.hexdigest()


def _read_state(file: Path) -> dict[str, Any]:
    """Return what an earlier start left; nothing where there was none, or it is damaged."""
    try:
        tree = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}
