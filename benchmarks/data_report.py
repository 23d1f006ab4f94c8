"""The goals of `benchmarks/data.py`, and its figures against them."""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.data_files import KINDS
from benchmarks.result import Row, spread
from fedcxr.cores import cores

READ_S = 4.0
PARTITION_S = 10.0
PREPARE_RATIO = 0.9
GATHER_S = 2e-3
PEAK_BYTES = 1.5e9


def judge(figures: dict[str, Any], *, judged: bool) -> list[Row]:
    """Return the rows; without their verdicts unless `judged`."""
    rows = [
        *_read_rows(figures["read"]),
        *_partition_rows(figures["partition"]),
        *(row for kind in KINDS for row in _prepare_rows(kind, figures["prepare"][kind])),
        *_gather_rows(figures["gather"]),
        *_memory_rows(figures),
    ]
    return rows if judged else [replace(row, met=None) for row in rows]


def notes(figures: dict[str, Any]) -> Sequence[str]:
    """Return what the figures hold and what they do not."""
    partition, mapped = figures["partition"], figures["gather"]["mapped_bytes"] / 1e9
    images = " and ".join(
        f"{found['images']:,} files, {KINDS[kind].what} ({found['bytes_per_image'] / 1e3:.0f} kB)"
        for kind, found in figures["prepare"].items()
    )
    return (
        f"Partitions: {partition['images']:,} frontal images, {partition['clients']} sites, one "
        f"reading each, from records to files that are written, read back and proven disjoint.",
        f"`prepare`: to 320 px, {images}, in the page cache; its time holds looking up, starting "
        f"processes, reading, decoding, writing and reading back. " + SMALL_FILES,
        f"Memory: the largest resident set of each part, for `prepare` the summed proportional set "
        f"of all its processes; without the {mapped:.2f} GB of the cache's own pages that "
        f"gathering touched, which the kernel drops when it needs them.",
    )


SMALL_FILES = (
    "A small JPEG file takes 0.7 ms to decode, so the work around it shows: writing 0.1 MB to the "
    "page cache and the disk (about 0.06 ms), two checksums and the reading back (0.04 ms), "
    "starting two processes (0.03 ms an image here, nothing for a whole CheXpert), orders and "
    "journal (0.02 ms), and the wait for the disk at the end. Leaving the check out would gain "
    "4 %. A file that takes 10 ms or more, as NIH's PNG files and full-size CheXpert do, hides it."
)


def _read_rows(read: dict[str, Any]) -> list[Row]:
    met = statistics.median(read["seconds"]) < READ_S
    measured = f"{spread(read['seconds'])} s"
    return [Row(f"tables of {read['rows']:,} rows to records", "< 4 s", measured, met)]


def _partition_rows(partition: dict[str, Any]) -> list[Row]:
    what = f"{partition['patients']:,} patients to {partition['clients']} sites"
    rows = [
        Row(f"{what}, `{scheme}`", "< 10 s", f"{seconds:.1f} s", seconds < PARTITION_S)
        for scheme, seconds in partition["seconds"].items()
    ]
    rows += [
        Row(f"{what}, `{scheme}`", "< 10 s", f"refused: {error}", False)
        for scheme, error in partition["errors"].items()
    ]
    return rows


def _prepare_rows(kind: str, prepare: dict[str, Any]) -> list[Row]:
    repeats = prepare["repeats"]
    ratios = [r["prepare"] / (cores() * r["one_core"]) for r in repeats]
    ceiling = [r["all_cores"] / (cores() * r["one_core"]) for r in repeats]
    one = statistics.median(r["one_core"] for r in repeats)
    made = statistics.median(r["prepare"] for r in repeats)
    measured = f"{spread(ratios, 3)}: {made:.0f} of {cores()} × {one:.0f} images/s"
    what = f"`prepare` to (cores × one-core decode rate), {KINDS[kind].what}"
    reference = "the same for a plain decoder on every core, nothing written"
    return [
        Row(what, "≥ 0.90", measured, statistics.median(ratios) >= PREPARE_RATIO),
        Row(reference, "", spread(ceiling, 3), None),
    ]


def _gather_rows(gather: dict[str, Any]) -> list[Row]:
    rows = []
    names = {"gather": "`gather`", "dataset": "`RadiographDataset`, uint8"}
    for key, name in (*names.items(), ("dataset_float32", "`RadiographDataset`, float32")):
        times = gather[key]
        middle, late = statistics.median(times), statistics.quantiles(times, n=20)[-1]
        measured = f"{1e3 * middle:.2f} ms; 95 % under {1e3 * late:.2f} ms"
        has_goal = key in names
        goal, met = ("< 2 ms", middle < GATHER_S) if has_goal else ("", None)
        rows.append(Row(f"random batch of 32 at 320 px, {name}", goal, measured, met))
    return rows


def _memory_rows(figures: dict[str, Any]) -> list[Row]:
    peaks = {part: float(figures[part]["peak_bytes"]) for part in ("read", "partition")}
    peaks["prepare"] = max(float(found["peak_bytes"]) for found in figures["prepare"].values())
    # the kernel takes these pages back when it needs them; how many were touched says nothing
    peaks["gather"] = float(figures["gather"]["peak_bytes"] - figures["gather"]["mapped_bytes"])
    measured = ", ".join(f"{part} {peak / 1e9:.2f}" for part, peak in peaks.items())
    most = max(peaks.values())
    return [Row("peak memory", "< 1.5 GB", f"{most / 1e9:.2f} GB ({measured})", most < PEAK_BYTES)]
