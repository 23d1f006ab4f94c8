"""What `fedcxr check-data` does: every check of a data set, one after the other, into one report.

    report = check_data(Path("CheXpert-v1.0-small"))
    report.is_clean, [finding.title for finding in report.problems]

The tables are checked first, then the splits against one another, then the images. Everything is
bounded in memory: records as the reader makes them, and half a kilobyte an image for what is
measured.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fedcxr.cores import cores
from fedcxr.data.quality.brightness import (
    NUM_LEVELS,
    cut_findings,
    cut_short,
    exposure_findings,
    find_negatives,
    negative_findings,
    picture_levels,
)
from fedcxr.data.quality.copies import copy_findings
from fedcxr.data.quality.counts import count_labels, count_people
from fedcxr.data.quality.disk import BUDGET_S, Disk, disk_of, measure_speed
from fedcxr.data.quality.findings import NOTICE, DataReport, Finding, Images, sorted_findings
from fedcxr.data.quality.headers import read_headers
from fedcxr.data.quality.images import (
    BLANK_STD,
    DecodedImages,
    Progress,
    blank_findings,
    blocks,
    chosen_images,
    decode_images,
    file_findings,
)
from fedcxr.data.quality.leaks import split_findings
from fedcxr.data.quality.orientation import (
    MAPS_SHAPE,
    orientation_maps,
    turned_findings,
    view_findings,
)
from fedcxr.data.quality.outlines import LAYOUT as OUTLINES
from fedcxr.data.quality.read import FILES, Reading, read_for_check
from fedcxr.data.quality.splits import compare_splits, split_of_images
from fedcxr.data.quality.tables import table_findings
from fedcxr.data.quality.twins import HASH_WORDS, find_twins, hash_squares
from fedcxr.data.records import DataSet
from fedcxr.errors import ConfigError


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the image files gave."""

    findings: tuple[Finding, ...]
    images: Images | None = None
    disk: Disk | None = None


def check_data(
    root: Path,
    *,
    labels_only: bool = False,
    sample: int | None = None,
    splits: Sequence[Path] = (),
    follow_links: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
    disk_budget_s: float = BUDGET_S,
) -> DataReport:
    """Return what is wrong with the data set in `root`, and what is in it.

    Args:
        root: the folder with the tables, or its parent.
        labels_only: look at no image.
        sample: look at this many images, drawn at random; none = all.
        splits: more splits to compare, a file each (`quality/splits.py`).
        follow_links: look at images that links outside the folder lead to.
        workers: that decode; none = one a core.
        progress: told what is being done, how much of it is done, and the total.
        disk_budget_s: time to spend on measuring the disk, and as much on decoding.

    Raises:
        DataError: no data set is recognised, or a split file cannot be read.
        ConfigError: `sample` is below 1.
        ArtefactError: the cache cannot be written.
    """
    start = time.perf_counter()
    return check_reading(
        read_for_check(root, splits, follow_links=follow_links),
        labels_only=labels_only,
        sample=sample,
        workers=workers,
        progress=progress,
        disk_budget_s=disk_budget_s,
        start=start,
    )


def check_reading(
    reading: Reading,
    *,
    labels_only: bool = False,
    sample: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    disk_budget_s: float = BUDGET_S,
    start: float | None = None,
) -> DataReport:
    """Return what is wrong with a data set that was read; arguments and errors as `check_data`'s.

    Args:
        reading: the data set.
        labels_only: look at no image.
        sample: look at this many images.
        workers: that decode.
        progress: told how far it is.
        disk_budget_s: for the disk.
        start: when the reading began, on the clock of `time.perf_counter`; none = now.
    """
    if sample is not None and sample < 1:
        raise ConfigError(f"--sample {sample}: give at least 1 image, or leave it out for all.")
    start = time.perf_counter() if start is None else start
    workers = workers or cores()
    if reading.dataset.layout == OUTLINES:
        seen = _Seen(())
    elif labels_only:
        seen = _Seen((_not_looked_at(reading.dataset),))
    else:
        seen = _check_images(reading, sample, workers, progress, disk_budget_s)
    return _report(reading, seen, start)


def _report(reading: Reading, seen: _Seen, start: float) -> DataReport:
    """Return the report of a check that began at `start`, after the images were looked at."""
    dataset, pairs = reading.dataset, compare_splits(reading.splits)
    # Leaking tables name an image twice: it counts once.
    distinct = replace(dataset, records=tuple(chosen_images(dataset, None)))
    findings = (
        *reading.findings,
        *split_findings(reading.splits, pairs),
        *table_findings(dataset),
        *seen.findings,
    )
    return DataReport(
        root=dataset.root,
        layout=dataset.layout,
        labels=dataset.labels,
        findings=sorted_findings(findings),
        patients=len({record.patient_id for record in distinct.records}),
        studies=len({record.study_id for record in distinct.records}),
        num_images=len(distinct.records),
        label_counts=count_labels(distinct, dataset) if dataset.labels else {},
        people=count_people(distinct.records),
        pairs=tuple(pairs),
        images=seen.images,
        disk=seen.disk,
        notes=dataset.notes,
        official=None if dataset.layout in (FILES, OUTLINES) else dataset.official,
        seconds=time.perf_counter() - start,
    )


def _check_images(
    reading: Reading,
    sample: int | None,
    workers: int,
    progress: Progress | None,
    disk_budget_s: float,
) -> _Seen:
    dataset = reading.dataset
    records = chosen_images(dataset, sample)
    everything = len({record.path for record in dataset.records})
    # The disk first: what was decoded just now would be read from the machine's memory.
    speed = measure_speed([r.path for r in records], dataset.files, disk_budget_s)
    decoded = decode_images(dataset, records, workers=workers, progress=progress)
    findings = list(file_findings(decoded, dataset))
    if len(records) < everything:
        findings.append(_sampled(len(records), everything))
    if not decoded.records:
        return _Seen(tuple(findings))
    if progress is not None:
        progress("Comparing", 0, len(decoded.records))
    findings += _picture_findings(decoded, reading)
    images, header_findings = read_headers(decoded, dataset)
    disk = disk_of(speed, num_images=everything, mean_bytes=decoded.mean_bytes, cores=workers)
    return _Seen((*findings, *header_findings, *_no_room(disk)), images, disk)


def _picture_findings(decoded: DecodedImages, reading: Reading) -> list[Finding]:
    """Return what the pixels show: blank, cut, dark, bright, inverted, copied, turned."""
    num = len(decoded.records)
    spread = np.empty(num, dtype=np.float32)
    hashes = np.empty((num, HASH_WORDS), dtype=np.uint64)
    levels = np.empty((num, NUM_LEVELS), dtype=np.float32)
    maps = np.empty((num, *MAPS_SHAPE), dtype=np.float16)  # half of what an image needs in all
    start = 0
    for squares in blocks(decoded):
        rows = slice(start, start + len(squares))
        spread[rows] = squares.std(axis=(1, 2))
        hashes[rows] = hash_squares(squares)
        levels[rows] = picture_levels(squares)
        maps[rows] = orientation_maps(squares)
        start += len(squares)
    blank = spread < BLANK_STD
    cut, negative = cut_short(levels, blank), find_negatives(decoded, maps, blank)
    # A part of a picture, or its negative, looks turned or of another view by what it lacks.
    odd = blank | cut | negative
    twins, is_cut = find_twins(decoded, hashes, blank)
    return [
        *blank_findings(decoded, spread),
        *exposure_findings(decoded, levels, blank),
        *negative_findings(decoded, negative),
        *cut_findings(decoded, cut),
        *copy_findings(decoded, split_of_images(reading.splits), twins, is_cut=is_cut),
        *turned_findings(decoded, maps, odd),
        *view_findings(decoded, maps, odd),
    ]


def _not_looked_at(dataset: DataSet) -> Finding:
    return Finding(
        "images-not-checked",
        NOTICE,
        len({record.path for record in dataset.records}),
        "Images not looked at",
        "With --labels-only no image is opened: none is known to be there, whole or unique.",
        "Check again without --labels-only where the images are.",
    )


def _sampled(looked_at: int, everything: int) -> Finding:
    return Finding(
        "images-not-checked",
        NOTICE,
        everything - looked_at,
        "Images not looked at",
        f"With --sample only {looked_at:,} of {everything:,} images were looked at; copies of the "
        f"others were not found.",
        "Check again without --sample.",
    )


def _no_room(disk: Disk) -> tuple[Finding, ...]:
    """Return whether the disk of the cache is too small for the largest one."""
    size, needed = list(disk.cache_bytes.items())[-1]
    if needed <= disk.free_bytes:
        return ()
    return (
        Finding(
            "cache-too-large",
            NOTICE,
            1,
            "No room for the cache",
            f"The cache at {size} pixels needs {needed / 1e9:.1f} GB; {disk.cache_folder} has "
            f"{disk.free_bytes / 1e9:.1f} GB free.",
            "Make room, set FEDCXR_HOME to a larger disk, or train at a smaller size.",
        ),
    )
