"""Images a second of densenet121 at 224 and 320 px in bf16 on one GPU, in `simulate` and outside.

`simulate` trains 4 sites with one and with two workers on the GPU, the plain loop runs in one and
in two processes, both with and without `torch.compile`; the better of each counts. Measured in
turn, plain – simulate, in the manner of `train_loop`. Without a GPU it says so and judges nothing.

    python -m benchmarks.gpu            # about half an hour
    python -m benchmarks.gpu --short    # 224 px, not compiled, once
"""

import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.loops import Bench, Plain, best_of
from benchmarks.result import Result, Row, Table, run_as_command, spread
from benchmarks.vs.workload import Work

DEVICE = "cuda:0"
GOAL_RATE, GOAL_RATIO = 3500.0, 0.95
GOAL_GPU = "H200"
"""Only such a GPU is held to the goal's images a second."""
WORK = Work(
    clients=4, images_per_client=1024, image_size=224, batch_size=128, local_epochs=4, rounds=3
)
SMALL = replace(WORK, images_per_client=256)
SIZES = (224, 320)
AT_ONCE = (1, 2)
"""Workers, or processes of the plain loop."""
REPEATS = 3


@dataclass(slots=True)
class Found:
    """The images a second of each side, by how many worked at once."""

    plain: dict[str, list[float]] = field(default_factory=dict)
    simulate: dict[str, list[float]] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Return the images a second inside `simulate`."""
        return statistics.median(self.simulate[best_of(self.simulate)])

    @property
    def ratios(self) -> list[float]:
        """Return the better of `simulate` over the better of the plain loop, repeat by repeat."""
        sides = (self.simulate[best_of(self.simulate)], self.plain[best_of(self.plain)])
        return [inside / plain for inside, plain in zip(*sides, strict=True)]


def measure(short: bool) -> Result:
    """Measure all sizes, or say that there is no GPU."""
    if not torch.cuda.is_available():
        rows = [Row("densenet121, 224 px, bf16, in `simulate`", "≥ 3,500 images/s", "no GPU here")]
        return _result(short, rows, [], {})
    with tempfile.TemporaryDirectory(prefix="fedcxr-gpu-") as folder:
        work = SMALL if short else WORK
        cases = [(size, compiled) for size in SIZES for compiled in (False, True)]
        founds = {
            (size, compiled): measure_case(
                Bench(Path(folder), replace(work, image_size=size)),
                compiled,
                1 if short else REPEATS,
            )
            for size, compiled in (cases[:1] if short else cases)
        }
    named = {f"{size} px{', compiled' * compiled}": f for (size, compiled), f in founds.items()}
    sizes = sorted({size for size, _ in founds})
    rows = [row for size in sizes for row in judge(size, founds, judged=not short)]
    figures = {name: {"plain": f.plain, "simulate": f.simulate} for name, f in named.items()}
    return _result(short, rows, [table(named)], figures)


def measure_case(bench: Bench, compiled: bool, repeats: int) -> Found:
    """Measure both sides in turn."""
    flags = ["--precision", "bf16", "--device", DEVICE, *(["--compile"] if compiled else [])]
    manifest = bench.simulate(1, *flags, "--workers", "1").manifest
    found = Found()
    for _ in range(repeats):
        for number in AT_ONCE:
            setup = Plain(number, device=DEVICE, compiled=compiled)
            num_images = bench.work.train_images * bench.work.local_epochs
            rate = bench.plain(setup, manifest, num_images)
            found.plain.setdefault(setup.name, []).append(rate)
            inside = bench.simulate(bench.work.rounds, *flags, "--workers", str(number))
            name = "1 worker" if number == 1 else f"{number} workers"
            found.simulate.setdefault(name, []).append(inside.rate)
    return found


def judge(size: int, founds: Mapping[tuple[int, bool], Found], *, judged: bool) -> list[Row]:
    """Return a size against the goals, compiled or not as is faster."""
    found = max((f for (px, _), f in founds.items() if px == size), key=lambda f: f.rate)
    rates = found.simulate[best_of(found.simulate)]
    asked = size == SIZES[0]
    on_goal_gpu = GOAL_GPU in torch.cuda.get_device_name(DEVICE)
    fast = found.rate >= GOAL_RATE if judged and asked and on_goal_gpu else None
    near = statistics.median(found.ratios) >= GOAL_RATIO if judged and asked else None
    what = f"densenet121, {size} px, bf16, in `simulate`"
    return [
        Row(what, f"≥ {GOAL_RATE:,.0f} images/s" if asked else "", spread(rates, 0), fast),
        Row(
            f"{what} ÷ plain loop",
            f"≥ {GOAL_RATIO}" if asked else "",
            spread(found.ratios, 3),
            near,
        ),
    ]


def table(named: Mapping[str, Found]) -> Table:
    """Return the images a second of every side."""
    rows = [
        [name, side, at_once, spread(rates, 0)]
        for name, found in named.items()
        for side, by_number in (("plain", found.plain), ("simulate", found.simulate))
        for at_once, rates in by_number.items()
    ]
    return Table(torch.cuda.get_device_name(DEVICE), ["case", "side", "at once", "images/s"], rows)


def _result(short: bool, rows: list[Row], tables: list[Table], figures: dict[str, Any]) -> Result:
    return Result(
        name="gpu",
        title="densenet121 on a GPU",
        command="python -m benchmarks.gpu",
        short=short,
        rows=rows,
        tables=tables,
        notes=NOTES if tables else [],
        figures=figures,
    )


NOTES = [
    "Batches of 128, four epochs a round; the first round is not counted, and so neither is "
    "compiling. cuDNN is held to repeatable algorithms inside `simulate` and free to choose in "
    "the plain loop.",
]


if __name__ == "__main__":
    run_as_command(measure, __doc__)
