"""200 rounds of a tiny federation: does memory stay flat, and is nothing left behind?

`fedcxr simulate` runs as a child process with two workers. After each round the memory of the
server and of each worker is read; its slope over the rounds after a warm-up is fitted by least
squares. It is their proportional set size without the files they map: how much of those is theirs
changes when another program starts. Open files and mappings are counted. Afterwards nothing may be
left: no process with this run's home folder in its environment, nothing new in shared memory.

    python -m benchmarks.soak            # about a minute
    python -m benchmarks.soak --short    # the same with 100 rounds
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import Popen

import numpy as np

from benchmarks.federations import simulate_command
from benchmarks.processes import (
    family,
    finish,
    marked,
    memory,
    own_bytes,
    shared_memory,
    started,
)
from benchmarks.result import Result, Row, Table, run_as_command

ROUNDS, SHORT_ROUNDS = 200, 100
WARM_UP = 40
"""Rounds before memory is looked at: torch, Flower and the allocator first fill their stores."""
GOAL_MB = 0.1
LONGEST_S = 600.0
FEDERATION = {"partition.clients": 3, "engine.workers": 2}


@dataclass(frozen=True)
class Point:
    """One process after one round."""

    round_num: int
    own_bytes: int
    pss_bytes: int
    open_files: int
    mappings: int


Series = dict[str, list[Point]]
"""The points of each process, a round each."""


def soak(short: bool) -> Result:
    """Run the federation and return what its processes held and left."""
    rounds = SHORT_ROUNDS if short else ROUNDS
    with tempfile.TemporaryDirectory(prefix="fedcxr-soak-") as place:
        folder = Path(place)
        shared_before, begun = shared_memory(), time.monotonic()
        command = simulate_command(folder / "runs", {**FEDERATION, "server.rounds": rounds})
        with started(command, folder / "home", folder / "log.txt") as process:
            series = follow(process, folder / "runs")
            finish(process, folder / "log.txt", LONGEST_S)
            took_s, left = time.monotonic() - begun, marked(folder / "home")
        left_shared = sorted(shared_memory() - shared_before)
        files = files_table(next((folder / "runs").iterdir()), rounds)
    slopes = {name: slope_mb(points) for name, points in series.items()}
    return Result(
        name="soak",
        title="A soak: memory over many rounds, and what is left behind",
        command="python -m benchmarks.soak",
        short=short,
        rows=[*slope_rows(slopes, rounds), *left_rows(left, left_shared)],
        tables=[memory_table(series), files],
        notes=[
            f"{rounds} rounds of densenet_small at 32 px, 3 sites, 2 workers, in "
            f"{took_s:.0f} s from command to report. Memory is read after each round: the "
            f"proportional set size without mapped files, whose share changes with whatever else "
            f"runs; the slope is fitted over the rounds after the {WARM_UP}th."
        ],
        figures={
            "rounds": rounds,
            "seconds": took_s,
            "slopes_mb_per_round": slopes,
            "memory": {name: [asdict(p) for p in points[::10]] for name, points in series.items()},
            "left_processes": left,
            "left_shared_memory": left_shared,
        },
    )


def follow(process: "Popen[str]", runs: Path) -> Series:
    """Return the memory of the server and of each worker after each round, until the end."""
    series: Series = {}
    seen = 0
    end = time.monotonic() + LONGEST_S
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
        done = rounds_done(runs)
        if done > seen:
            seen = done
            for name, pid in members(process.pid).items():
                series.setdefault(name, []).append(point(pid, done))
    return series


def point(pid: int, round_num: int) -> Point:
    """Return what a process holds now; zeros if it has ended."""
    place = Path(f"/proc/{pid}")
    try:
        files, mappings = (
            len(list((place / "fd").iterdir())),
            len((place / "maps").open().readlines()),
        )
    except OSError:
        files = mappings = 0
    sizes = memory(pid)
    return Point(round_num, own_bytes(sizes), sizes["Pss"], files, mappings)


def rounds_done(runs: Path) -> int:
    """Return the last round that the only run below `runs` has logged."""
    for log in runs.glob("*/rounds.jsonl"):
        return log.read_bytes().count(b"\n") - 1  # the first line is of round 0
    return 0


def members(server: int) -> dict[str, int]:
    """Return the process ids of the server, what forks its workers, and those, by name."""
    found = {"server": server}
    for pid in family(server)[1:]:  # parents before children
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if b"fedcxr.engines.fork_server" in words:
            first = "fork server" not in found
            found["fork server" if first else f"worker {len(found) - 1} ({pid})"] = pid
    return found


def slope_mb(points: Sequence[Point], warm_up: int = WARM_UP) -> tuple[float, float] | None:
    """Return MB a round after the warm-up with its standard error; None for under 3 rounds.

    >>> slope_mb([Point(41 + i, size, 0, 0, 0) for i, size in enumerate((0, 3_000_000, 3_000_000))])
    (1.5, 0.8660254037844386)
    """
    kept = [p for p in points if p.round_num > warm_up]
    if len(kept) < 3:
        return None
    x = np.array([p.round_num for p in kept], dtype=np.float64)
    y = np.array([p.own_bytes for p in kept], dtype=np.float64) / 1e6
    x, y = x - x.mean(), y - y.mean()
    slope = float(x @ y / (x @ x))
    rest = y - slope * x
    return slope, float(np.sqrt(rest @ rest / (len(x) - 2) / (x @ x)))


def slope_rows(slopes: dict[str, tuple[float, float] | None], rounds: int) -> list[Row]:
    """Return a row a process."""
    rows = []
    for name, slope in slopes.items():
        what = f"memory's slope over {rounds} rounds, {name.partition(' (')[0]}"
        found = f"{slope[0]:.3f} ± {slope[1]:.3f} MB a round" if slope else "too few rounds"
        met = slope is not None and slope[0] < GOAL_MB
        rows.append(Row(what, f"< {GOAL_MB} MB a round", found, met))
    return rows


def left_rows(processes: Sequence[int], shared: Sequence[str]) -> list[Row]:
    """Return what was left behind as rows."""
    return [
        Row("processes left behind", "none", str(len(processes) or "none"), not processes),
        Row("shared memory left behind", "none", ", ".join(shared) or "none", not shared),
    ]


def memory_table(series: Series) -> Table:
    """Return what each process holds after some rounds."""
    last = max(points[-1].round_num for points in series.values())
    marks = sorted({*(n for n in (1, 10, WARM_UP, 100, 150, 200) if n < last), last})
    rows = []
    for name, points in series.items():
        near = [min(points, key=lambda p: abs(p.round_num - mark)) for mark in marks]
        process = name.partition(" (")[0]
        rows.append(
            [f"{process}, memory without mapped files, MB", *(mb(p.own_bytes) for p in near)]
        )
        rows.append([f"{process}, with its share of them, MB", *(mb(p.pss_bytes) for p in near)])
        counts = (f"{p.open_files} and {p.mappings}" for p in near)
        rows.append([f"{process}, open files and mappings", *counts])
    return Table("", ["after round", *map(str, marks)], rows)


def mb(size: int) -> str:
    """Return bytes as MB."""
    return f"{size / 1e6:.1f}"


def files_table(run: Path, rounds: int) -> Table:
    """Return what the run folder holds at the end."""
    sizes = {p.relative_to(run): p.stat().st_size for p in run.rglob("*") if p.is_file()}
    checkpoints = [size for path, size in sizes.items() if path.parts[0] == "checkpoints"]
    logs = {name: sizes[Path(name)] for name in ("rounds.jsonl", "events.jsonl")}
    rows = [
        ["whole run folder", f"{len(sizes)} files, {sum(sizes.values()) / 1e6:.2f} MB"],
        ["checkpoints", f"{len(checkpoints)} files, {sum(checkpoints) / 1e6:.2f} MB"],
        *([name, f"{size / rounds:.0f} bytes a round"] for name, size in logs.items()),
    ]
    return Table("", ["files at the end", "size"], rows)


if __name__ == "__main__":
    run_as_command(soak, __doc__)
