"""The goals of `benchmarks/data.py`, and its figures against them as a table."""

import statistics
from typing import Any

from benchmarks.data_files import KINDS
from fedcxr.cores import cores
from fedcxr.runs.versions import machine, versions

READ_S = 4.0
PARTITION_S = 10.0
PREPARE_RATIO = 0.9
GATHER_S = 2e-3
PEAK_BYTES = 1.5e9


def judge(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row a goal: what, goal, measured, and whether it is met; None = there is no goal."""
    return [
        *_read_rows(figures["read"]),
        *_partition_rows(figures["partition"]),
        *(row for kind in KINDS for row in _prepare_rows(kind, figures["prepare"][kind])),
        *_gather_rows(figures["gather"]),
        *_memory_rows(figures),
    ]


def table(rows: list[dict[str, Any]], figures: dict[str, Any], *, judged: bool) -> str:
    """Return the rows as a Markdown table, with the machine above and what they hold below."""
    found, host = versions(), machine()
    names = ("python", "numpy", "torch")
    lines = [
        f"{host['processor']}, {host['cores']} cores, {host['system']}; "
        + ", ".join(f"{name} {found[name]}" for name in names)
        + ("." if judged else ". The short form: a tenth of everything, not judged."),
        "",
        "| what | goal | measured | met |",
        "|---|---|---|---|",
    ]
    words = {True: "yes", False: "**no**"} if judged else {}
    lines += [
        f"| {row['what']} | {row['goal']} | {row['measured']} | {words.get(row['met'], '')} |"
        for row in rows
    ]
    return "\n".join([*lines, "", _notes(figures)])


def _notes(figures: dict[str, Any]) -> str:
    """Return what the figures hold and what they do not."""
    partition, mapped = figures["partition"], figures["gather"]["mapped_bytes"] / 1e9
    images = " and ".join(
        f"{found['images']:,} files, {KINDS[kind].what} ({found['bytes_per_image'] / 1e3:.0f} kB)"
        for kind, found in figures["prepare"].items()
    )
    return (
        f"Partitions: {partition['images']:,} frontal images, {partition['clients']} sites, one "
        f"reading each, from records to files that are written, read back and proven disjoint. "
        f"`prepare`: to 320 px, {images}, in the page cache; its time holds looking up, reading, "
        f"decoding, writing and reading back. Memory: the largest resident set of each part, for "
        f"`prepare` the summed proportional set of all its processes; without the {mapped:.2f} GB "
        f"of the cache's own pages that gathering touched, which the kernel drops when it needs "
        f"them."
    )


def _row(what: str, goal: str, measured: str, met: bool | None) -> dict[str, Any]:
    return {"what": what, "goal": goal, "measured": measured, "met": met}


def _spread(values: list[float], form: str) -> str:
    """Return the median, and the least and most in brackets.

    >>> _spread([2.0, 1.0, 4.0], ".1f")
    '2.0 (1.0 to 4.0)'
    """
    middle = statistics.median(values)
    return f"{middle:{form}} ({min(values):{form}} to {max(values):{form}})"


def _read_rows(read: dict[str, Any]) -> list[dict[str, Any]]:
    met = statistics.median(read["seconds"]) < READ_S
    measured = f"{_spread(read['seconds'], '.2f')} s"
    return [_row(f"tables of {read['rows']:,} rows to records", "< 4 s", measured, met)]


def _partition_rows(partition: dict[str, Any]) -> list[dict[str, Any]]:
    what = f"{partition['patients']:,} patients to {partition['clients']} sites"
    rows = [
        _row(f"{what}, `{scheme}`", "< 10 s", f"{seconds:.1f} s", seconds < PARTITION_S)
        for scheme, seconds in partition["seconds"].items()
    ]
    rows += [
        _row(f"{what}, `{scheme}`", "< 10 s", f"refused: {error}", False)
        for scheme, error in partition["errors"].items()
    ]
    return rows


def _prepare_rows(kind: str, prepare: dict[str, Any]) -> list[dict[str, Any]]:
    repeats = prepare["repeats"]
    ratios = [r["prepare"] / (cores() * r["one_core"]) for r in repeats]
    ceiling = [r["all_cores"] / (cores() * r["one_core"]) for r in repeats]
    one = statistics.median(r["one_core"] for r in repeats)
    made = statistics.median(r["prepare"] for r in repeats)
    measured = f"{_spread(ratios, '.3f')}: {made:.0f} of {cores()} × {one:.0f} images/s"
    what = f"`prepare` to (cores × one-core decode rate), {KINDS[kind].what}"
    reference = "the same for a plain decoder on every core, nothing written"
    return [
        _row(what, "≥ 0.90", measured, statistics.median(ratios) >= PREPARE_RATIO),
        _row(reference, "", _spread(ceiling, ".3f"), None),
    ]


def _gather_rows(gather: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    names = {"gather": "`gather`", "dataset": "`RadiographDataset`, uint8"}
    for key, name in (*names.items(), ("dataset_float32", "`RadiographDataset`, float32")):
        times = gather[key]
        middle, late = statistics.median(times), statistics.quantiles(times, n=20)[-1]
        measured = f"{1e3 * middle:.2f} ms; 95 % under {1e3 * late:.2f} ms"
        has_goal = key in names
        goal, met = ("< 2 ms", middle < GATHER_S) if has_goal else ("", None)
        rows.append(_row(f"random batch of 32 at 320 px, {name}", goal, measured, met))
    return rows


def _memory_rows(figures: dict[str, Any]) -> list[dict[str, Any]]:
    peaks = {part: float(figures[part]["peak_bytes"]) for part in ("read", "partition")}
    peaks["prepare"] = max(float(found["peak_bytes"]) for found in figures["prepare"].values())
    # the kernel takes these pages back when it needs them; how many were touched says nothing
    peaks["gather"] = float(figures["gather"]["peak_bytes"] - figures["gather"]["mapped_bytes"])
    measured = ", ".join(f"{part} {peak / 1e9:.2f}" for part, peak in peaks.items())
    most = max(peaks.values())
    return [_row("peak memory", "< 1.5 GB", f"{most / 1e9:.2f} GB ({measured})", most < PEAK_BYTES)]
