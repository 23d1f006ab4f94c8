"""What a site costs its server: real SuperNodes at a real SuperLink, as many as a machine carries.

fedcxr's own deployment from kits over TLS on one machine, with clients that answer at once
(`echo_site.py`) through a relay that counts bytes. For each number of sites: what the SuperLink
uses while all wait, then a run of a small and one of a large model. The costs are fitted by a
formula (`cost_formula.py`), which is then checked at a number of sites that it was not fitted to.

    python -m benchmarks.supernodes            # a quarter of an hour on two idle cores
    python -m benchmarks.supernodes --short    # 3 sites, few rounds: no formula
"""

import json
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.cost_formula import (
    IDLE,
    Cost,
    check_row,
    check_rows,
    constants_rows,
    fit_costs,
    fit_points,
)
from benchmarks.deployment import SETTINGS, folder_of_data
from benchmarks.loopback_federation import Loopback, loopback_federation, new_kits
from benchmarks.processes import anonymous_bytes, cpu_seconds, finish, started
from benchmarks.relay import Passed, relay
from benchmarks.result import Result, Table, run_as_command
from benchmarks.soak import rounds_done
from fedcxr.config.kit import KIT_YAML
from fedcxr.deploy.provision import Deployment, site_names

FITTED, CHECKED = (2, 3, 4), 8
SHORT = (3,)
MODELS = ("densenet_small", "densenet121")
ROUNDS = 4
"""The first one, in which processes start, is left out."""
QUIET_S = 65.0
"""After so long without an order a SuperNode asks every 3 s, as seldom as it ever does."""
IDLE_S = 20.0
LONGEST_S = 900.0
SERVERS = ("SuperLink", "ServerApp")


@dataclass(frozen=True)
class Idle:
    """What connected sites cost while nothing runs, a site and minute."""

    sites: int
    cpu_s: float
    """Of the SuperLink."""
    bytes_up: float
    bytes_down: float
    load: float
    """Of the machine, at the end."""


@dataclass
class Seen:
    """A run while it goes on: by round, the counters at its end."""

    cpu_s: dict[str, list[float]]
    up: list[int]
    down: list[int]
    peak: dict[str, int]
    """Most anonymous memory so far, bytes."""


def measure(short: bool) -> Result:
    """Measure each number of sites, fit the formula, check it."""
    idle: list[Idle] = []
    costs: list[Cost] = []
    for number in SHORT if short else (*FITTED, CHECKED):
        waiting, running = measure_size(number, short=short)
        idle.append(waiting)
        costs += running
    return result_of(idle, costs, short=short)


def measure_size(number: int, *, short: bool) -> tuple[Idle, list[Cost]]:
    """Return what a number of sites costs while they wait, and in a round of each model."""
    names = site_names(str(number))
    with folder_of_data(names) as data, connected(data, names) as (deployed, passed):
        idle = idle_cost(deployed, passed, number, short=short)
        print(idle, flush=True)
        costs = []
        for model in MODELS:
            costs.append(run_cost(deployed, passed, data, number, model))
            print(costs[-1], flush=True)
        return idle, costs


def result_of(idle: Sequence[Idle], costs: Sequence[Cost], *, short: bool) -> Result:
    """Return the tables, and the formula where it is not the short form."""
    tables = [idle_table(idle), cost_table(costs)]
    figures: dict[str, object] = {
        "idle": [asdict(one) for one in idle],
        "costs": [asdict(one) for one in costs],
    }
    if not short:
        fits = fit_costs([one for one in costs if one.sites != CHECKED])
        *waits, there = idle
        minute = fit_points([(one.sites, 0.0, one.cpu_s * one.sites) for one in waits])
        shown = constants_rows({**fits, IDLE: minute})
        tables.append(Table("", ("quantity", "fitted", "rest, median"), shown))
        header = (
            "quantity",
            "sites",
            "MB a vector",
            "predicted",
            "measured",
            "measured ÷ predicted",
        )
        checked = [one for one in costs if one.sites == CHECKED]
        last = check_row(IDLE, minute, there.sites, 0.0, there.cpu_s * there.sites)
        tables.append(Table("", header, [*check_rows(fits, checked), last]))
        figures["formula"] = {name: asdict(fit) for name, fit in {**fits, IDLE: minute}.items()}
    return Result(
        name="supernodes",
        title="What a site costs its server",
        command="python -m benchmarks.supernodes",
        short=short,
        tables=tables,
        notes=[
            "All processes share the machine's cores: seconds a round are those of a server whose "
            "sites compete with it. Processor time and memory are the server's own.",
            f"Fitted by least squares of relative errors; {CHECKED} sites were not in the fit.",
            "Load is the machine's mean number of running processes over the last minute.",
        ],
        figures=figures,
    )


@contextmanager
def connected(data: Path, names: Sequence[str]) -> Iterator[tuple[Loopback, Passed]]:
    """Yield a deployment of echo clients that reach their server through a relay."""
    folder = data / "deployment"
    made = new_kits(folder, names)
    with relay(int(made.address.rpartition(":")[2])) as passed:
        lead_through(made, names, passed.port)
        clients = {name: ("benchmarks.echo_site",) for name in names}
        with loopback_federation(folder, clients, made) as deployed:
            yield deployed, passed


def lead_through(made: Deployment, names: Sequence[str], port: int) -> None:
    """Have sites connect to another port of this machine."""
    for name in names:
        file = made.folder / name / KIT_YAML
        file.write_text(file.read_text().replace(made.address, f"127.0.0.1:{port}"))


def idle_cost(deployed: Loopback, passed: Passed, number: int, *, short: bool) -> Idle:
    """Return what the sites cost while nothing runs."""
    time.sleep(0.0 if short else QUIET_S)
    link = deployed.members()["SuperLink"]
    before = (cpu_seconds(link), passed.up, passed.down)
    begun = time.monotonic()
    time.sleep(IDLE_S / (4 if short else 1))
    minutes = (time.monotonic() - begun) / 60 * number
    after = (cpu_seconds(link), passed.up, passed.down)
    cpu_s, up, down = ((b - a) / minutes for a, b in zip(before, after, strict=True))
    return Idle(number, cpu_s, up, down, os.getloadavg()[0])


def run_cost(deployed: Loopback, passed: Passed, data: Path, number: int, model: str) -> Cost:
    """Return what a round of a run costs, the median of its rounds after the first."""
    runs, said = data / f"runs-{model}", data / f"{model}.log"
    settings = {**SETTINGS, "model.name": model, "server.rounds": ROUNDS}
    command = deployed.run_command(data / "server", runs, settings)
    with started(command, deployed.home, said, runs) as run:
        seen = Seen({name: [] for name in SERVERS}, [], [], dict.fromkeys(SERVERS, 0))
        while run.poll() is None:
            time.sleep(0.2)
            look(deployed, passed, rounds_done(runs), seen)
        finish(run, said, LONGEST_S)
    (log,) = runs.glob("*/rounds.jsonl")
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert all(len(line["sites"]) == number for line in lines[1:]), lines[-1]
    return Cost(
        sites=number,
        vector_mb=lines[-1]["bytes_down"] / number / 1e6,
        round_s=statistics.median(line["seconds_train"] for line in lines[2:]),
        superlink_cpu_s=per_round(seen.cpu_s["SuperLink"]),
        serverapp_cpu_s=per_round(seen.cpu_s["ServerApp"]),
        superlink_mb=seen.peak["SuperLink"] / 1e6,
        serverapp_mb=seen.peak["ServerApp"] / 1e6,
        up_mb=per_round(seen.up) / 1e6,
        down_mb=per_round(seen.down) / 1e6,
        load=os.getloadavg()[0],
    )


def look(deployed: Loopback, passed: Passed, done: int, seen: Seen) -> None:
    """Note memory, and the counters where a round has ended since."""
    members = deployed.members()
    pids = {name: members.get(name, 0) for name in SERVERS}
    for name, pid in pids.items():
        seen.peak[name] = max(seen.peak[name], anonymous_bytes(pid))
    while len(seen.up) < done:  # two rounds between two looks count as one that cost nothing
        seen.up.append(passed.up)
        seen.down.append(passed.down)
        for name, pid in pids.items():
            seen.cpu_s[name].append(cpu_seconds(pid))


def per_round(counts: Sequence[float]) -> float:
    """Return the mean growth of a counter from the first round's end to the last one's.

    >>> per_round([5.0, 7.0, 11.0])
    3.0
    """
    return (counts[-1] - counts[0]) / (len(counts) - 1)


def idle_table(idle: Sequence[Idle]) -> Table:
    """Return what waiting sites cost."""
    rows = [
        [
            str(one.sites),
            f"{one.cpu_s:.3f}",
            f"{one.bytes_up / 1e3:.1f}",
            f"{one.bytes_down / 1e3:.1f}",
            f"{one.load:.1f}",
        ]
        for one in idle
    ]
    header = ("idle sites", "SuperLink's CPU s a site and minute", "kB up", "kB down", "load")
    return Table("", header, rows)


def cost_table(costs: Sequence[Cost]) -> Table:
    """Return what the rounds cost."""
    digits: Mapping[str, int] = {"sites": 0, "superlink_mb": 0, "serverapp_mb": 0, "load": 1}
    header = (
        *("sites", "MB a vector", "s a round", "SuperLink CPU s a round", "ServerApp CPU s"),
        *("SuperLink peak MB", "ServerApp peak MB", "MB up a round", "MB down", "load"),
    )
    rows = [
        [f"{value:.{digits.get(name, 2)}f}" for name, value in asdict(one).items()] for one in costs
    ]
    return Table("", header, rows)


if __name__ == "__main__":
    run_as_command(measure, __doc__)
