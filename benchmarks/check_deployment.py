"""A deployment's soak and its round's cost, so short that every change can be checked by them.

fedcxr's own deployment on this machine, as in `benchmarks/deployment_soak.py`, and beside it one
round of the plain Flower app of `benchmarks/deployment.py`, whose every message is a new process.
What is judged does not depend on how fast the machine is or what else it does: that a round costs
less than the plain app's, that the least memory of a process does not grow by half a message a
round, and that nothing is left behind. For figures take those two.

    python -m benchmarks.check_deployment    # make check-deploy: two minutes
"""

import json
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.deployment import SITES, flower_rounds, folder_of_data
from benchmarks.deployment_soak import by_kind, followed_run, memory_table
from benchmarks.processes import shared_memory
from benchmarks.result import Result, Row, run_as_command
from benchmarks.soak import Point, Series, left_rows

ROUNDS = 16
EARLY, LATE = (3, 8), (11, 16)
"""First and last rounds of two stretches, of whose least memory the growth is."""
MOST_GROWTH_MB = 14.0
"""A round; half of a message of 28 MB. A process that keeps one a round grows by twice as much."""


def check(short: bool) -> Result:
    """Run both deployments; there is one form only."""
    shared_before = shared_memory()
    with folder_of_data() as data, ThreadPoolExecutor(1) as beside:
        plain = beside.submit(flower_rounds, data / "flower", 1)  # both wait most of the time
        series, left = followed_run(data, data / "deployment", ROUNDS)
        ours, theirs = seconds_of_rounds(data / "deployment" / "runs"), plain.result()
        left_shared = sorted(shared_memory() - shared_before)
    kinds = by_kind(series)
    return Result(
        name="check_deployment",
        title="A deployment, checked",
        command="python -m benchmarks.check_deployment",
        short=True,
        rows=[
            ratio_row(ours, theirs),
            *growth_rows(kinds),
            *left_rows(left, left_shared),
        ],
        tables=[memory_table(kinds)],
        figures={"fedcxr_s": ours, "flower_s": theirs},
    )


def seconds_of_rounds(runs: Path) -> list[float]:
    """Return the seconds of a run's rounds after the first, in which data are opened.

    Raises:
        RuntimeError: a site was missing from a round.
    """
    (log,) = runs.glob("*/rounds.jsonl")
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    if any(len(line["sites"]) != len(SITES) for line in lines[1:]):
        raise RuntimeError(f"a site was missing: {lines}")
    return [line["seconds_train"] for line in lines[2:]]


def ratio_row(ours: list[float], theirs: list[float]) -> Row:
    """Return whether a round costs less than the plain app's.

    >>> ratio_row([2.0, 30.0, 3.0], [20.0]).found
    '0.15'
    """
    ratio = statistics.median(ours) / statistics.median(theirs)
    return Row("fedcxr's round ÷ a plain Flower app's", "< 1", f"{ratio:.2f}", ratio < 1)


def growth_rows(kinds: Series) -> list[Row]:
    """Return whether memory grows, a row for each kind of process that was there all along."""
    rows = []
    for kind, points in kinds.items():
        early, late = least(points, EARLY), least(points, LATE)
        if early is None or late is None:
            continue  # it came or went meanwhile
        growth = (late - early) / 1e6 / (LATE[0] - EARLY[0])
        rows.append(
            Row(
                f"growth of the least memory, {kind}",
                f"< {MOST_GROWTH_MB:g} MB a round",
                f"{growth:.1f} MB a round",
                growth < MOST_GROWTH_MB,
            )
        )
    return rows


def least(points: list[Point], rounds: tuple[int, int]) -> int | None:
    """Return the least memory of a process in a stretch of rounds; None where it was not there."""
    first, last = rounds
    sizes = [p.own_bytes for p in points if first <= p.round_num <= last and p.own_bytes]
    return min(sizes, default=None)


if __name__ == "__main__":
    run_as_command(check, __doc__)
