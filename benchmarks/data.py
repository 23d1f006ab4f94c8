"""The data layer on tables of CheXpert's size and on generated images: speed and memory.

    python -m benchmarks.data            # under 4 minutes on two cores; exit 1 if a goal is missed
    python -m benchmarks.data --short    # under 40 s: a tenth of everything, judges nothing

Every part runs in a process of its own (`benchmarks/data_parts.py`), one after another, so keep
the machine free. `prepare` is timed as a ratio: its images a second over cores × the images a
second that one process decodes on one core, with nothing else running, measured before it in the
same repetition. Its time holds everything that `build_cache` does: looking the files up, reading,
decoding, writing to disk, and reading back what it wrote. All files are in the system's page cache.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.data_files import KINDS
from benchmarks.data_report import judge, notes
from benchmarks.processes import family, pss_bytes
from benchmarks.result import Result, run_as_command
from fedcxr.cores import cores

FULL = {"size": 1.0, "jpeg": 12_000, "png": 800, "clients": 100, "repeats": 3, "batches": 500}
SHORT = {"size": 0.1, "jpeg": 1_200, "png": 80, "clients": 10, "repeats": 2, "batches": 100}
ONE_CORE_SHARE = 8
"""A plain decoder gets every eighth image."""


def data(short: bool) -> Result:
    """Run all parts and hold them against their goals."""
    form = SHORT if short else FULL
    with tempfile.TemporaryDirectory(prefix="fedcxr-benchmark-") as folder:
        figures = measure(Path(folder), form)
    return Result(
        name="data",
        title="The data layer at CheXpert's size",
        command="python -m benchmarks.data",
        short=short,
        rows=judge(figures, judged=not short),
        notes=notes(figures),
        figures={"form": form, **figures, "gather": fewer(figures["gather"])},
    )


def fewer(gather: dict[str, Any]) -> dict[str, Any]:
    """Return each list of a batch's seconds as its twentieths; the file would be all batches."""
    return {
        key: statistics.quantiles(value, n=20) if isinstance(value, list) else value
        for key, value in gather.items()
    }


def measure(folder: Path, form: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of all parts."""
    run("tables", folder, "--size", str(form["size"]))
    repeats, batches = str(form["repeats"]), str(form["batches"])
    figures: dict[str, Any] = {"read": run("read", folder, "--repeats", repeats)}
    figures["partition"] = run("partition", folder, "--clients", str(form["clients"]))
    figures["prepare"] = {kind: prepared(folder, kind, form) for kind in KINDS}
    figures["gather"] = run("gather", folder, "--repeats", batches)
    return figures


def prepared(folder: Path, kind: str, form: dict[str, Any]) -> dict[str, Any]:
    """Return what building a cache of one kind of image takes, and the rates beside it."""
    figures = run("images", folder, "--kind", kind, "--images", str(form[kind]))
    # the first build warms the page cache and is watched, which takes time; it is not timed
    figures |= {"peak_bytes": watched(folder, kind), "repeats": []}
    for number in range(form["repeats"]):
        one, all_at_once = rate(folder, kind, number, 1), rate(folder, kind, number, cores())
        built = run("prepare", folder, "--kind", kind)
        made = built["images"] / built["seconds"]
        found = {"one_core": one, "all_cores": all_at_once, "prepare": made}
        figures["repeats"].append(found)
    return figures


def run(part: str, folder: Path, *more: str) -> dict[str, Any]:
    """Return the figures of one part."""
    process = start(part, folder, *more)
    told, _ = process.communicate()
    return figures_of(process, told)


def start(part: str, folder: Path, *more: str) -> "subprocess.Popen[str]":
    """Start a part with a home folder of its own."""
    command = [sys.executable, "-m", "benchmarks.data_parts", part, "--folder", str(folder), *more]
    environment = {**os.environ, "FEDCXR_HOME": str(folder / "home")}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)


def figures_of(process: "subprocess.Popen[str]", told: str) -> dict[str, Any]:
    """Return what a part has told; its traceback is on standard error if it failed."""
    if process.returncode:
        raise RuntimeError(f"a part failed with exit status {process.returncode}: see above")
    return dict(json.loads(told.splitlines()[-1]))


def rate(folder: Path, kind: str, number: int, processes: int) -> float:
    """Return the images a second that plain decoding makes in so many processes at once."""
    shares = [str((number + k) % ONE_CORE_SHARE) for k in range(processes)]
    options = ("--kind", kind, "--share")
    loops = [start("decode", folder, *options, share, str(ONE_CORE_SHARE)) for share in shares]
    for loop in loops:
        if loop.stdout is None or loop.stdout.readline().strip() != "ready":
            raise RuntimeError("a plain decoder did not start")
    for loop in loops:
        if loop.stdin is not None:
            loop.stdin.write("go\n")
            loop.stdin.flush()
    told = [figures_of(loop, loop.communicate()[0]) for loop in loops]
    took = max(t["ended"] for t in told) - min(t["begun"] for t in told)
    return float(sum(t["images"] for t in told) / took)


def watched(folder: Path, kind: str) -> int:
    """Return the most memory that a build and its workers hold together: their summed PSS."""
    process, peak = start("prepare", folder, "--kind", kind), 0
    while process.poll() is None:
        peak = max(peak, sum(pss_bytes(pid) for pid in family(process.pid)))
        time.sleep(0.05)
    figures = figures_of(process, process.communicate()[0])
    # no /proc on macOS
    return peak or int(figures["peak_bytes"] + cores() * figures["largest_child_bytes"])


if __name__ == "__main__":
    run_as_command(data, __doc__)
