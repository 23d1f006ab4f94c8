"""The same work from command to result: fedcxr, stock Flower, NVIDIA FLARE, pfl-research.

Every arm trains densenet121 from the same weights on the same JPEG files, as the same partition
gives them to the sites, with the same steps, in a fresh process with an empty home folder. The wall
time is that of the whole command: fedcxr's decoding, probing and report count.

    python -m benchmarks.end_to_end            # an hour; sets the peers up first, from PyPI
    python -m benchmarks.end_to_end --short    # 2 minutes: fedcxr and Flower, judges nothing
"""

import math
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.result import Result, Row, Table, run_as_command, spread
from benchmarks.vs.arms import ARMS, FLOWER, Outcome, run_arm
from benchmarks.vs.workload import Work, write_workload

QUICK_S = 300.0


@dataclass(frozen=True, slots=True)
class Size:
    """One amount of work, who does it, and what is asked of fedcxr."""

    work: Work
    arms: Sequence[str]
    goals: dict[str, float]
    """Arm → how many times as long the faster of Flower's arms is to take."""
    repeats: int
    once_more: bool = False
    """Whether to repeat it where no arm took longer than QUICK_S."""

    @property
    def name(self) -> str:
        """Return the size in words."""
        work = self.work
        each = f"{work.clients} clients × {work.images_per_client} images"
        return f"{each} of {work.image_size} px, {work.rounds} rounds"


FULL = (
    Size(Work(clients=5, images_per_client=128), ARMS, {"fedcxr-fp32": 1.8, "fedcxr-auto": 3.0}, 3),
    Size(
        Work(clients=100, images_per_client=32),
        ("fedcxr-fp32", "fedcxr-auto", "flower"),
        {"fedcxr-auto": 4.0},
        repeats=1,
        once_more=True,
    ),
)
SHORT = (
    Size(
        Work(clients=5, images_per_client=32, rounds=2),
        ("fedcxr-auto", "flower"),
        {"fedcxr-auto": 3.0},
        repeats=1,
    ),
)


@dataclass(slots=True)
class Found:
    """What one arm did at one size."""

    runs: list[Outcome] = field(default_factory=list)
    error: str = ""
    """Why it has no more runs."""


def measure(short: bool) -> Result:
    """Run all arms at all sizes, one after another."""
    sizes = SHORT if short else FULL
    founds = [(size, measure_size(size)) for size in sizes]
    return Result(
        name="end_to_end",
        title="From command to result, against other frameworks",
        command="python -m benchmarks.end_to_end",
        short=short,
        rows=[row for size, found in founds for row in judge(size, found, judged=not short)],
        tables=[table(size, found) for size, found in founds],
        notes=NOTES,
        figures={size.name: as_tree(found) for size, found in founds},
    )


def measure_size(size: Size) -> dict[str, Found]:
    """Run the arms in turn, as often as the size says; an arm that fails is not tried again."""
    found = {arm: Found() for arm in size.arms}
    with tempfile.TemporaryDirectory(prefix="fedcxr-work-") as folder:
        work = write_workload(Path(folder) / "work", size.work)
        repeat = 0
        while repeat < size.repeats or (repeat == 1 and size.once_more and is_quick(found)):
            for arm in size.arms:
                once(arm, work, found[arm])
            repeat += 1
    return found


def is_quick(found: dict[str, Found]) -> bool:
    """Return whether no arm took long."""
    return all(run.wall_s < QUICK_S for f in found.values() for run in f.runs)


def once(arm: str, work: Path, found: Found) -> None:
    """Run an arm once and note what it did, or why it could not."""
    if found.error:
        return
    try:
        found.runs.append(run_arm(arm, work))
    except RuntimeError as err:
        found.error = str(err)


def judge(size: Size, found: dict[str, Found], *, judged: bool) -> list[Row]:
    """Return fedcxr's goals against Flower, each ratio of two runs of the same turn."""
    flower = faster([found[arm] for arm in size.arms if arm in FLOWER])
    rows = []
    for arm, goal in size.goals.items():
        pairs = zip(flower.runs, found[arm].runs, strict=False)
        ratios = [theirs.wall_s / ours.wall_s for theirs, ours in pairs]
        rows.append(
            Row(
                what=f"{arm} against stock Flower, {size.name}: wall time",
                goal=f"≥ {goal:g} times as fast",
                found=spread(ratios) if ratios else found[arm].error or flower.error,
                met=bool(ratios) and statistics.median(ratios) >= goal if judged else None,
            )
        )
    return rows


def faster(arms: Sequence[Found]) -> Found:
    """Return the arm that took least, by the median of its runs."""

    def seconds(found: Found) -> float:
        runs = found.runs
        return statistics.median(run.wall_s for run in runs) if runs else math.inf

    return min(arms, key=seconds)


def table(size: Size, found: dict[str, Found]) -> Table:
    """Return what every arm did."""
    header = ("arm", "wall, s", "images/s", "images/s after round 1", "test macro AUROC")
    return Table(size.name, header, [row(arm, f) for arm, f in found.items()])


def row(arm: str, found: Found) -> list[str]:
    """Return an arm's line; one that failed says why."""
    if not found.runs:
        return [arm, f"did not run: {found.error}", "", "", ""]
    runs = found.runs
    cells = [
        spread([r.wall_s for r in runs], 1),
        spread([r.images_per_second for r in runs], 1),
        spread([r.steady for r in runs], 1),
        spread([r.test_macro_auroc for r in runs], 3),
    ]
    return [arm if not found.error else f"{arm} (then failed: {found.error})", *cells]


def as_tree(found: dict[str, Found]) -> dict[str, Any]:
    """Return every number, for the JSON file."""
    return {
        arm: {"error": f.error, "runs": [_finite(asdict(r)) for r in f.runs]}
        for arm, f in found.items()
    }


def _finite(tree: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in tree.items()}


NOTES = (
    "Peers are written as their own documentation begins: float32, the default memory layout, JPEG "
    "files decoded in a DataLoader. What they do in detail: `benchmarks/vs/<peer>/README.md`.",
    "The AUROC is that of one function (scikit-learn's, `benchmarks/vs/plain_torch.py`) over the "
    "same test images. fedcxr ends with the round that was best on the validation images, as a "
    "user of it gets it; the peers end with the last. Few steps from random weights: the AUROC "
    "shows that all arms train, not how well they could.",
    "fedcxr's wall time also holds checkpoints, 100 patient resamples and the report.",
)


if __name__ == "__main__":
    run_as_command(measure, __doc__)
