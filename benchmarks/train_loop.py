"""Training inside `simulate` against the best plain PyTorch loop, side by side.

The plain loop is the better of one process with 2 threads and two processes with 1 thread each,
over the same cached images in batches of the same size, with the same dtype, layout, augmentation
and optimiser. `simulate` runs at its default number of workers; its figure is images over the
rounds' training time, which holds sending, waiting and aggregating, without the first round. Every
site has a whole number of batches. Measured in turn, plain – simulate – plain; each plain figure is
the mean of before and after, over as many images together as `simulate` trains on.

    python -m benchmarks.train_loop            # about half an hour
    python -m benchmarks.train_loop --short    # a minute: densenet121 at 64 px, judges nothing
"""

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.loops import Bench, Plain, Simulated, best_of
from benchmarks.result import Result, Row, Table, run_as_command, spread
from benchmarks.vs.workload import Work

GOAL = 0.95
SETUPS = (Plain(processes=1, threads=2), Plain(processes=2, threads=1))


@dataclass(frozen=True, slots=True)
class Case:
    """One network at one size."""

    work: Work
    rounds: int
    """The first is not counted."""
    repeats: int
    judged: bool

    @property
    def name(self) -> str:
        """Return the case in words."""
        work = self.work
        return f"{work.model}, {work.image_size} px, {work.clients} clients"


FULL = (
    Case(Work(clients=5, images_per_client=256, image_size=64), 4, 3, judged=True),
    Case(Work(clients=5, images_per_client=64, image_size=224), 3, 3, judged=True),
    Case(Work(clients=5, images_per_client=512, model="densenet_small"), 5, 3, judged=False),
)
SHORT = (Case(Work(clients=5, images_per_client=64, image_size=64), 3, 1, judged=False),)


@dataclass(slots=True)
class Found:
    """The images a second of each repeat."""

    plain: dict[str, list[float]] = field(default_factory=lambda: {s.name: [] for s in SETUPS})
    simulate: list[float] = field(default_factory=list)
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """Return `simulate` over the plain set-up that is better over all repeats."""
        best = self.plain[best_of(self.plain)]
        return [inside / plain for inside, plain in zip(self.simulate, best, strict=True)]


def measure(short: bool) -> Result:
    """Run all cases."""
    cases = SHORT if short else FULL
    founds = []
    for case in cases:
        with tempfile.TemporaryDirectory(prefix="fedcxr-loop-") as folder:
            founds.append(measure_case(Bench(Path(folder), case.work), case, before=not short))
    return Result(
        name="train_loop",
        title="Training inside `simulate` against a plain loop",
        command="python -m benchmarks.train_loop",
        short=short,
        rows=[row(case, found) for case, found in zip(cases, founds, strict=True)],
        tables=[table(cases, founds)],
        notes=NOTES,
        figures={case.name: figures(f) for case, f in zip(cases, founds, strict=True)},
    )


def measure_case(bench: Bench, case: Case, *, before: bool) -> Found:
    """Measure plain – simulate – plain in turn; without `before` there is no first plain loop."""
    found = Found()
    if before:  # what makes the cache and says which precision
        found.manifest = bench.simulate(1).manifest
    for _ in range(case.repeats):
        taken: dict[str, list[float]] = {setup.name: [] for setup in SETUPS}
        share = case.work.train_images * (case.rounds - 1) // (2 if before else 1)
        if before:
            _plain(bench, found.manifest, share, taken)
        inside: Simulated = bench.simulate(case.rounds)
        found.manifest = inside.manifest
        _plain(bench, found.manifest, share, taken)
        found.simulate.append(inside.rate)
        for name, rates in taken.items():
            # equal work before and after: the rate over both is the harmonic mean
            found.plain[name].append(statistics.harmonic_mean(rates))
    return found


def _plain(
    bench: Bench, manifest: dict[str, Any], num_images: int, taken: dict[str, list[float]]
) -> None:
    for setup in SETUPS:
        taken[setup.name].append(bench.plain(setup, manifest, num_images))


def row(case: Case, found: Found) -> Row:
    """Return a case against its goal."""
    ratio = statistics.median(found.ratios)
    goal = f"≥ {GOAL}" if case.work.model == "densenet121" else ""
    met = ratio >= GOAL if case.judged else None
    return Row(f"{case.name}: simulate ÷ plain loop", goal, spread(found.ratios, 3), met)


def table(cases: Sequence[Case], founds: Sequence[Found]) -> Table:
    """Return the images a second of every side."""
    rows = []
    for case, found in zip(cases, founds, strict=True):
        manifest = found.manifest
        layout = " + channels_last" if manifest["precision"]["channels_last"] else ""
        how = f"{manifest['precision']['dtype']}{layout}; workers: {manifest['workers']}"
        plain = [spread(found.plain[setup.name], 1) for setup in SETUPS]
        rows.append([case.name, how, *plain, spread(found.simulate, 1)])
    header = ["images/s", "how", *(f"plain: {s.name}" for s in SETUPS), "inside simulate"]
    return Table("", header, rows)


def figures(found: Found) -> dict[str, Any]:
    """Return all numbers of a case."""
    kept = ("workers", "threads_per_client", "precision")
    return {
        "plain_images_per_second": found.plain,
        "simulate_images_per_second": found.simulate,
        "ratios": found.ratios,
        **{key: found.manifest[key] for key in kept},
    }


NOTES = (
    "The plain loop is the better of one process with two threads and two with one thread each, "
    "over the same cached images with the same dtype, memory layout, batch size, augmentation and "
    "optimiser, its ReLUs in place as in a site's training.",
    "`simulate` runs at its default number of workers; its figure holds sending, waiting and "
    "aggregating. All batches are full on both sides, and all processes are warm when a time "
    "begins.",
)


if __name__ == "__main__":
    run_as_command(measure, __doc__)
