"""150 rounds among real processes: does memory stay flat, and is nothing left behind?

fedcxr's own deployment on this machine, as in `benchmarks/deployment.py`: a server, three clients
from kits, TLS, densenet121's 28 MB to each site and back, no training. The memory of every process
is read several times a second, as in `benchmarks/soak.py`, and the least in each round counts. On a
busy machine one message or more, 28 MB each, is in passing at every reading of some rounds; so the
rounds after a warm-up are taken five by five, and the least of the five counts. What leaks is in
every reading, and each five rounds later there is more of it: a leak of 0.1 MB a round is seen as
0.1 MB a round. The slope is that of the kind of process: the mean of the three sites' SuperNodes,
each with its own least, and so on. Its error falls with the rounds' power of 1.5: of 50 rounds that
of the SuperLink, which has up to six such messages at once, is 0.5 MB a round.

    python -m benchmarks.deployment_soak            # twenty minutes
    python -m benchmarks.deployment_soak --short    # the same with 16 rounds
"""

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from subprocess import Popen

from benchmarks.deployment import SETTINGS, SITES, folder_of_data
from benchmarks.loopback_federation import Loopback, loopback_federation
from benchmarks.processes import finish, shared_memory, started
from benchmarks.result import Result, Table, run_as_command
from benchmarks.soak import (
    Point,
    Series,
    files_table,
    left_rows,
    mb,
    point,
    rounds_done,
    slope_mb,
    slope_rows,
)

ROUNDS, SHORT_ROUNDS = 150, 16
WARM_UP = 10
WINDOW = 5
"""Rounds of which the least counts; 2 in the short form, whose slopes are not judged."""
SHORT_WINDOW = 2
LONGEST_S = 3600.0
EVERY_S = 0.25
"""A reading of all processes takes some 0.1 s of a core."""
MARKS = (1, 5, WARM_UP, 25, 50, 75, 100, 125, 150)


def soak(short: bool) -> Result:
    """Run the federation and return what its processes held and left."""
    rounds = SHORT_ROUNDS if short else ROUNDS
    shared_before, begun, load = shared_memory(), time.monotonic(), os.getloadavg()[1]
    with folder_of_data() as data:
        series, left = followed_run(data, data / "deployment", rounds)
        took_s = time.monotonic() - begun
        left_shared = sorted(shared_memory() - shared_before)
        files = files_table(next((data / "deployment" / "runs").iterdir()), rounds)
    kinds = by_kind(series)
    window = SHORT_WINDOW if short else WINDOW
    floors = by_kind({name: floor(points, window) for name, points in series.items()})
    slopes = {name: slope_mb(points, WARM_UP) for name, points in floors.items()}
    slopes = {name: slope for name, slope in slopes.items() if len(kinds[name]) > rounds // 2}
    rows = slope_rows(slopes, rounds)
    if short:
        rows = [replace(row, met=None) for row in rows]
    loads = (load, os.getloadavg()[1])
    return Result(
        name="deployment_soak",
        title="A deployment's soak: memory of every process over many rounds",
        command="python -m benchmarks.deployment_soak",
        short=short,
        rows=[*rows, *left_rows(left, left_shared)],
        tables=[memory_table(kinds), files],
        notes=[
            f"{rounds} rounds of densenet121 among 1 server and {len(SITES)} clients on one "
            f"machine, in {took_s:.0f} s; the slope is fitted over the rounds after the "
            f"{WARM_UP}th, over the mean of the processes of one kind, and stands with its "
            f"standard error. Memory as in the soak of a simulation, the least in each round; for "
            f"the slope the least in {window} rounds of each process, since a message in passing "
            f"is 28 MB.",
            f"Load of the machine at the beginning and end (5 minutes): {loads[0]:.1f} and "
            f"{loads[1]:.1f}.",
        ],
        figures={
            "rounds": rounds,
            "seconds": took_s,
            "load": loads,
            "slopes_mb_per_round": slopes,
            "memory": {name: [asdict(p) for p in points] for name, points in kinds.items()},
            "left_processes": left,
            "left_shared_memory": left_shared,
        },
    )


def followed_run(data: Path, folder: Path, rounds: int) -> tuple[Series, list[int]]:
    """Run the deployment; return the memory of its processes, and those that it left behind.

    Args:
        data: what the sites and the server bring, as `folder_of_data` makes it.
        folder: takes kits, logs and `runs/`.
        rounds: of the run.
    """
    clients = {site: ("benchmarks.deployment_site", "--data", data / site) for site in SITES}
    with loopback_federation(folder, clients) as deployed:
        settings = {**SETTINGS, "server.rounds": rounds}
        command = deployed.run_command(data / "server", folder / "runs", settings)
        said = folder / "run.log"
        with started(command, deployed.home, said, folder / "run") as process:
            series = follow(process, deployed, folder / "runs")
            finish(process, said, LONGEST_S)
        return series, deployed.stop()


def follow(process: "Popen[str]", deployed: Loopback, runs: Path) -> Series:
    """Return the least that every process held in each round, until the run ends."""
    series: Series = {}
    least: dict[str, Point] = {}
    seen = 0
    end = time.monotonic() + LONGEST_S
    while process.poll() is None and time.monotonic() < end:
        time.sleep(EVERY_S)
        done = rounds_done(runs)
        if done > seen:
            seen = done
            for name, found in least.items():
                series.setdefault(name, []).append(replace(found, round_num=done))
            least = {}
        for name, pid in deployed.members().items():
            least[name] = smaller(point(pid, done), least.get(name))
    return series


def smaller(found: Point, before: Point | None) -> Point:
    """Return the point of less memory; one of a process that has ended does not count.

    >>> one, ended = Point(3, 10, 30, 4, 5), Point(3, 0, 0, 0, 0)
    >>> smaller(ended, one) == one, smaller(one, None) == one
    (True, True)
    """
    if before is None or before.own_bytes == 0:
        return found
    return min(before, found, key=lambda p: p.own_bytes) if found.own_bytes else before


def floor(points: Sequence[Point], window: int, warm_up: int = WARM_UP) -> list[Point]:
    """Return for each `window` rounds after the warm-up the least point, at the last of its rounds.

    Rounds at the end that fill no window are left out: the least of few is more.

    >>> points = [Point(11 + i, size, 0, 0, 0) for i, size in enumerate((5, 3, 9, 4, 1))]
    >>> [(p.round_num, p.own_bytes) for p in floor(points, 2)]
    [(12, 3), (14, 4)]
    """
    kept: dict[int, list[Point]] = {}
    for one in points:
        if one.round_num > warm_up:
            kept.setdefault((one.round_num - warm_up - 1) // window, []).append(one)
    least = []
    for number, members in kept.items():
        last = warm_up + (number + 1) * window
        found = min(members, key=lambda p: p.own_bytes)
        if members[-1].round_num == last:
            least.append(replace(found, round_num=last))
    return least


def by_kind(series: Series) -> Series:
    """Return for each kind of process the mean of those that there were after each round.

    >>> a, b = Point(3, 10, 30, 4, 5), Point(3, 20, 50, 4, 7)
    >>> by_kind({"client of site-00": [a], "client of site-01": [b]})["client"][0].own_bytes
    15
    """
    found: dict[str, dict[int, list[Point]]] = {}
    for name, points in series.items():
        kind = found.setdefault(name.partition(" of ")[0], {})
        for one in points:
            kind.setdefault(one.round_num, []).append(one)
    return {
        kind: [mean_point(points) for _, points in sorted(rounds.items())]
        for kind, rounds in found.items()
    }


def mean_point(points: Sequence[Point]) -> Point:
    """Return the mean of processes after the same round."""

    def mean(values: Sequence[int]) -> int:
        return round(sum(values) / len(values))

    return Point(
        points[0].round_num,
        mean([p.own_bytes for p in points]),
        mean([p.pss_bytes for p in points]),
        mean([p.open_files for p in points]),
        mean([p.mappings for p in points]),
    )


def memory_table(kinds: Series) -> Table:
    """Return what a process of each kind holds after some rounds, in MB."""
    last = max(points[-1].round_num for points in kinds.values())
    marks = [mark for mark in MARKS if mark <= last]
    rows = []
    for name, points in kinds.items():
        near = [min(points, key=lambda p: abs(p.round_num - mark)) for mark in marks]
        rows.append([name, *(mb(p.own_bytes) for p in near), mb(near[-1].pss_bytes)])
    header = ["memory without mapped files, MB", *(f"round {mark}" for mark in marks)]
    return Table("", [*header, "with its share of them"], rows)


if __name__ == "__main__":
    run_as_command(soak, __doc__)
