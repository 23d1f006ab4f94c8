"""What a round costs without training: echo clients and 28 MB parameters, against stock Flower.

Clients send back what they get. fedcxr's go through the real door, and the server checks every
reply; Flower's go through Ray and its FedAvg, as in `benchmarks/vs/flower`. Each run has a process
of its own. Memory is the server process's own proportional set size, at its highest.

    python -m benchmarks.overhead            # 15 minutes
    python -m benchmarks.overhead --short    # 90 s: fewer rounds, Flower with 10 clients only
"""

import itertools
import json
import re
import statistics
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import Peaks, family, finish, pss_bytes, started
from benchmarks.result import Result, Row, Table, run_as_command, spread
from benchmarks.vs.peers import peer_command

MEMORY = Path("/proc/meminfo")
LONGEST_S = 900.0
SAMPLE_EVERY_S = 0.25
FAMILY_EVERY = 8
"""Samples of the server to one of all processes: each takes 15 ms of a core a process, and Ray has
a dozen, so that more would show in the seconds."""
FLOWER_BYTES_PER_CLIENT = 68_000_000
"""Of the server's memory: 6.8 GB at 100 clients."""

GOAL_RATIO = 10.0
GOAL_ROUND_S = 10.0
GOAL_GB = {100: 1.0, 1000: 1.2}
GOAL_GROWTH_GB = 0.1
"""Of the server's memory from 100 to 1,000 clients, under algorithms that keep state."""


@dataclass(frozen=True, slots=True)
class Case:
    """One framework with so many clients, over so many timed rounds."""

    framework: str
    clients: int
    rounds: int
    algorithm: str = "fedavg"

    @property
    def name(self) -> str:
        """Who it is, for a table."""
        return self.framework + ("" if self.algorithm == "fedavg" else f" ({self.algorithm})")


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a case took."""

    round_s: float
    """Median over its timed rounds."""
    server_bytes: int
    """Peak PSS of the server process."""
    family_bytes: int
    """Peak PSS of the server and all processes that it started, together."""


FULL = (
    *(Case("fedcxr", 10, 10), Case("flower", 10, 5)),
    *(Case("fedcxr", 100, 5), Case("flower", 100, 3)),
    *(Case("fedcxr", 1000, 2), Case("flower", 1000, 1)),
    *(Case("fedcxr", n, 1, name) for name in ("fedadam", "scaffold") for n in (100, 1000)),
)
SHORT = (
    *(Case("fedcxr", 10, 5), Case("flower", 10, 2)),
    *(Case("fedcxr", 100, 2), Case("fedcxr", 1000, 1)),
)
REPEATS = 3

Found = dict[Case, list[Run]]


def measure(short: bool) -> Result:
    """Run every case in turn, in the long form three times."""
    cases = SHORT if short else FULL
    found: Found = {case: [] for case in cases}
    left_out = {case: why for case in cases if (why := why_not(case))}
    for _ in range(1 if short else REPEATS):
        for case in cases:
            if case not in left_out:
                found[case].append(run(case))
    return Result(
        name="overhead",
        title="A round without training",
        command="python -m benchmarks.overhead",
        short=short,
        rows=judge(found, judged=not short),
        tables=[table(found, left_out)],
        notes=NOTES,
        figures=as_tree(found, left_out),
    )


def why_not(case: Case) -> str:
    """Return why a case cannot run on this machine, or nothing."""
    if case.framework != "flower":
        return ""
    needed, there = case.clients * FLOWER_BYTES_PER_CLIENT, available_bytes()
    if needed < there:
        return ""
    return f"not run: it would hold about {needed / 1e9:.0f} GB, and {there / 1e9:.0f} GB are free"


def available_bytes() -> int:
    """Return the memory that could still be used; 0 if the system does not tell."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", MEMORY.read_text(), re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def run(case: Case) -> Run:
    """Run a case in a process of its own.

    Raises:
        RuntimeError: it failed, or did not end in time.
    """
    peaks, stop = Peaks(), threading.Event()
    with tempfile.TemporaryDirectory(prefix="fedcxr-overhead-") as name:
        folder = Path(name)
        file, log = folder / "found.json", folder / "log.txt"
        with started(command(case, file), folder / "home", log) as process:
            watcher = threading.Thread(target=watch, args=(process.pid, peaks, stop))
            watcher.start()
            try:
                finish(process, log, LONGEST_S)
            finally:
                stop.set()
                watcher.join()
        round_s = json.loads(file.read_text())["round_s"][-case.rounds :]
    return Run(statistics.median(round_s), peaks.own, peaks.family)


def watch(pid: int, peaks: Peaks, stop: threading.Event) -> None:
    """Follow the memory of a process, and now and then of all that it started."""
    for number in itertools.count(1):
        if stop.wait(SAMPLE_EVERY_S):
            return
        peaks.own = max(peaks.own, pss_bytes(pid))
        if number % FAMILY_EVERY == 0:
            peaks.family = max(peaks.family, sum(map(pss_bytes, family(pid))))


def command(case: Case, file: Path) -> list[str]:
    """Return the command of a case; Flower's first round, in which Ray starts, is one more."""
    clients, out = str(case.clients), ("--json", str(file))
    if case.framework == "flower":
        return peer_command("flower", "--echo", clients, "--rounds", str(case.rounds + 1), *out)
    server = [sys.executable, "-m", "benchmarks.echo_server"]
    more = ["--rounds", str(case.rounds), "--algorithm", case.algorithm]
    return [*server, "--clients", clients, *more, *out]


def judge(found: Found, *, judged: bool) -> list[Row]:
    """Return the goals."""
    rows = []
    fedavg = {case: done for case, done in found.items() if case.algorithm == "fedavg"}
    runs = {(case.framework, case.clients): done for case, done in fedavg.items() if done}
    for clients in (10, 100):
        if ("flower", clients) in runs:
            pairs = zip(runs["flower", clients], runs["fedcxr", clients], strict=True)
            ratios = [theirs.round_s / ours.round_s for theirs, ours in pairs]
            is_goal = clients == 100
            rows.append(
                Row(
                    f"stock Flower's round ÷ fedcxr's, {clients} clients × 28 MB",
                    f"≥ {GOAL_RATIO:g}" if is_goal else "",
                    spread(ratios, 1),
                    statistics.median(ratios) >= GOAL_RATIO if judged and is_goal else None,
                )
            )
    for clients, goal in GOAL_GB.items():
        held = [r.server_bytes / 1e9 for r in runs["fedcxr", clients]]
        what = f"peak memory of fedcxr's server process, {clients:,} clients × 28 MB"
        met = max(held) <= goal if judged else None
        rows.append(Row(what, f"≤ {goal:g} GB (PSS)", f"{spread(held)} GB", met))
    seconds = [r.round_s for r in runs["fedcxr", 1000]]
    met = statistics.median(seconds) <= GOAL_ROUND_S if judged else None
    what = "a round of 1,000 echo clients"
    rows.append(Row(what, f"≤ {GOAL_ROUND_S:g} s", f"{spread(seconds, 1)} s", met))
    for algorithm in sorted({case.algorithm for case in found} - {"fedavg"}):
        held = {
            case.clients: max(run.server_bytes for run in done) / 1e9
            for case, done in found.items()
            if case.algorithm == algorithm and done
        }
        grown = held[1000] - held[100]
        what = f"peak memory of the server under {algorithm}, 1,000 clients minus 100"
        goal = f"≤ {GOAL_GROWTH_GB:g} GB"
        met = grown <= GOAL_GROWTH_GB if judged else None
        rows.append(Row(what, goal, f"{grown:+.2f} GB ({held[1000]:.2f} GB)", met))
    return rows


def table(found: Found, left_out: dict[Case, str]) -> Table:
    """Return seconds and memory of every case."""
    header = ("framework", "clients", "s a round", "server, GB", "all processes, GB")
    rows = []
    for case, runs in found.items():
        start = [case.name, f"{case.clients:,}"]
        if case in left_out:
            rows.append([*start, left_out[case], "", ""])
            continue
        rows.append(
            [
                *start,
                spread([r.round_s for r in runs], 2),
                spread([r.server_bytes / 1e9 for r in runs]),
                spread([r.family_bytes / 1e9 for r in runs]),
            ]
        )
    return Table("", header, rows)


def as_tree(found: Found, left_out: dict[Case, str]) -> dict[str, Any]:
    """Return every number, for the JSON file."""
    return {
        f"{case.name}, {case.clients} clients": {
            "rounds": case.rounds,
            "not_run": left_out.get(case, ""),
            "runs": [asdict(run) for run in runs],
        }
        for case, runs in found.items()
    }


NOTES = (
    "Seconds are the median over a run's rounds after the workers have started, then over repeats "
    "(lowest to highest); the parameters are densenet121's, one array in fedcxr, 727 in Flower.",
    "All processes: the server with its workers, or with Ray's own; for information.",
)


if __name__ == "__main__":
    run_as_command(measure, __doc__)
