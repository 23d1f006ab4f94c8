"""`fedcxr selftest stats`: simulate studies of known truth and count what the intervals do.

Each cell of the grid is a kind of study; in each, the true difference of two arms is exactly minus
the margin. Studies are shared out among processes; which process does which changes nothing.
A finished cell is kept in a part file beside the result, so a run that was stopped goes on there.
"""

import contextlib
import json
import os
import platform
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from fedcxr.atomic import write_text_atomically
from fedcxr.errors import ArtefactError
from fedcxr.experiments.selftest_grid import GRID
from fedcxr.metrics.count_outcomes import (
    FAMILIES,
    INTERVALS,
    Family,
    count_outcomes,
    families_of,
)
from fedcxr.metrics.regime import ONE_SIDED, Cell, Tally, read_cell
from fedcxr.metrics.simulated_study import Design
from fedcxr.version import __version__

FORMAT = 3
_CHUNK = 50
"""Studies that a process takes at a time: about half a second."""
CONFIRMED_BY = 3
"""Further studies of a cell that is rejected, in multiples of its first ones."""
Counted = tuple[NDArray[np.int64], NDArray[np.float64]]
Mapper = Callable[[Callable[[range], Counted], Iterable[range]], Iterable[Counted]]
Show = Callable[[Cell, int, dict[str, Any] | None], None]
"""Told the cell, how many more of its studies are done, and its result once it has one."""


def run_selftest(
    studies: int,
    out: Path,
    *,
    workers: int,
    design: Design | None = None,
    grid: tuple[Cell, ...] = GRID,
    show: Show = lambda cell, more, result: None,
) -> dict[str, Any]:
    """Write the result of all cells to `out` as JSON and return it.

    Args:
        studies: of each cell.
        out: the result; `out` with `.part` holds finished cells until all are.
        workers: processes; 1 = this one.
        design: what all cells share.
        grid: the cells.
        show: told of the progress.
    """
    design = design or Design()
    head = {
        "format": FORMAT,
        "studies": studies,
        **asdict(design),
        "fedcxr": __version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }
    part = out.with_name(f"{out.name}.part")
    done = _finished(part, head)
    with _mapper(workers) as run:
        for cell in grid:
            if cell.name in done:
                show(cell, studies * len(families_of(cell)), done[cell.name])
                continue
            done[cell.name] = _cell(cell, design, studies, run, show)
            write_text_atomically(part, json.dumps({"head": head, "cells": done}))
    cells = [done[cell.name] for cell in grid]
    seconds = round(sum(cell["seconds"] for cell in cells), 1)
    result = {**head, "workers": workers, "seconds": seconds, "cells": cells}
    write_text_atomically(out, json.dumps(result, indent=1) + "\n")
    part.unlink(missing_ok=True)
    return result


def read_result(out: Path) -> dict[str, Any]:
    """Return the result that `run_selftest` wrote.

    Raises:
        ArtefactError: there is none, or it is damaged.
    """
    try:
        result: dict[str, Any] = json.loads(out.read_text("utf-8"))
    except (OSError, ValueError) as err:
        raise ArtefactError(
            f"{out}: no result of the self-test can be read ({err}). "
            f"Write one with `fedcxr selftest stats --out {out}`."
        ) from err
    return result


def cell_in_words(stored: Mapping[str, Any]) -> str:
    """Return a line on what the intervals did in a stored cell."""
    cell = read_cell(stored)
    uneven = " (uneven)" if cell.uneven else ""
    found = ", ".join(
        f"{name} {100 * counts['coverage']:.1f} %{' rejected' * counts['rejected']}"
        for name, counts in stored["intervals"].items()
    )
    folds = f"{cell.folds} folds, each: " if cell.folds > 1 else ""
    return (
        f"{folds}{cell.positives} positive patients, {cell.cluster:g} images each{uneven}, "
        f"correlation {cell.correlation:g}, {cell.labels} label{'s' if cell.labels > 1 else ''}, "
        f"AUROC {cell.auroc:g}, {cell.seeds} trainings (SD {cell.training_sd:g}): coverage: {found}"
    )


def _cell(cell: Cell, design: Design, studies: int, run: Mapper, show: Show) -> dict[str, Any]:
    """Return the stored form of a cell, once its studies are done."""
    start = time.monotonic()
    found: dict[str, dict[str, Any]] = {}
    for family in families_of(cell):
        found |= _intervals(cell, design, family, studies, run, partial(show, cell))
    stored = {
        **asdict(cell),
        "seconds": round(time.monotonic() - start, 1),
        "intervals": {name: found[name] for name in INTERVALS if name in found},
    }
    show(cell, 0, stored)
    return stored


def _intervals(
    cell: Cell,
    design: Design,
    family: Family,
    studies: int,
    run: Mapper,
    show: Callable[[int, None], None],
) -> dict[str, dict[str, Any]]:
    """Return the stored form of the intervals of a family that a cell has.

    Where one is rejected, three times as many further studies of the family are done and all count:
    of hundreds of tests some fail by chance, and one such cell would take the interval from
    everybody.
    """
    names = FAMILIES[family]
    count = partial(count_outcomes, cell, design, family)
    counts, widths = _counted(count, range(studies), run, show)
    if any(_is_rejected(name, counts[place], design) for place, name in enumerate(names)):
        further = range(studies, (1 + CONFIRMED_BY) * studies)
        more, wider = _counted(count, further, run, lambda num, result: None)
        counts, widths = counts + more, widths + wider
    return {
        name: _stored(name, counts[place], widths[place], design.level)
        for place, name in enumerate(names)
        if counts[place].any()
    }


def _counted(
    count: Callable[[range], Counted],
    numbers: range,
    run: Mapper,
    show: Callable[[int, None], None],
) -> Counted:
    """Return counts and widths over these studies."""
    ranges = [numbers[n : n + _CHUNK] for n in range(0, len(numbers), _CHUNK)]
    counts, widths = np.zeros(0, np.int64), np.zeros(0)
    for some, (more, wider) in zip(ranges, run(count, ranges), strict=True):
        counts = counts + more if len(counts) else more
        widths = widths + wider if len(widths) else wider
        show(len(some), None)
    return counts, widths


def _is_rejected(name: str, counts: NDArray[np.int64], design: Design) -> bool:
    if not counts.any():
        return False
    tally = Tally(int(counts.sum()), *map(int, counts))
    return tally.rejected(design.level, one_sided=name in ONE_SIDED)


def _stored(name: str, counts: NDArray[np.int64], width: float, level: float) -> dict[str, Any]:
    """Return what an interval did: the counts, and what follows from them for a reader."""
    studies = int(counts.sum())
    tally = Tally(studies, *map(int, counts))
    coverage, coverage_ci = tally.coverage()
    type_1, type_1_ci = tally.type_1()
    return {
        **asdict(tally),
        "coverage": coverage,
        "coverage_ci": [round(bound, 5) for bound in coverage_ci],
        "type_1": type_1,
        "type_1_ci": [round(bound, 5) for bound in type_1_ci],
        "rejected": tally.rejected(level, one_sided=name in ONE_SIDED),
        "mean_width": round(width / max(1, studies - tally.undefined), 5),
    }


def _finished(part: Path, head: dict[str, Any]) -> dict[str, Any]:
    """Return the cells of an earlier run that was to do the same; none if there was no such."""
    try:
        stored = json.loads(part.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return dict(stored["cells"]) if stored["head"] == head else {}


@contextlib.contextmanager
def _mapper(workers: int) -> Iterator[Mapper]:
    """Yield what maps studies over so many processes; they end with the context."""
    if workers == 1:
        yield map
        return
    with _one_thread():
        pool = ProcessPoolExecutor(
            workers,
            mp_context=get_context("spawn"),
            initializer=signal.signal,  # Ctrl-C is for this process, which then ends them
            initargs=(signal.SIGINT, signal.SIG_IGN),
        )
        try:
            yield pool.map
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Have processes that start now compute with one thread each: there is one for each core."""
    name = "OPENBLAS_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before
