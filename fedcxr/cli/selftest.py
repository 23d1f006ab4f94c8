"""`fedcxr selftest`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedcxr.home import expanded

if TYPE_CHECKING:  # numpy and rich: too heavy for `fedcxr --help`
    from rich.progress import Progress, TaskID

    from fedcxr.metrics.regime import Cell

selftest = typer.Typer(
    no_args_is_help=True, help="Check by simulation that fedcxr's own methods hold."
)


@selftest.callback()
def about() -> None:
    """Check by simulation that fedcxr's own methods hold."""


@selftest.command()
def stats(
    studies: Annotated[int, typer.Option(min=1, help="Simulated studies of each cell.")] = 3_000,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default one for each core.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="The result, JSON.", metavar="FILE", parser=expanded)
    ] = Path("self_test.json"),
    page: Annotated[
        Path | None,
        typer.Option(
            help="Write the tables into this Markdown file, too.", metavar="FILE", parser=expanded
        ),
    ] = None,
    write_only: Annotated[
        bool, typer.Option("--write-only", help="Write the tables of the result as it is.")
    ] = False,
) -> None:
    """Count how often intervals and verdicts are right, in studies whose truth is known.

    A run that was stopped goes on where it was, if it is started with the same options.
    """
    from fedcxr.cores import cores
    from fedcxr.experiments.selftest import read_result, run_selftest
    from fedcxr.experiments.selftest_grid import GRID
    from fedcxr.experiments.selftest_page import write_page

    if write_only:
        result = read_result(out)
    else:
        with _Shown(studies, GRID) as shown:
            result = run_selftest(studies, out, workers=workers or cores(), show=shown.take)
        print(out)
    if page is not None:
        write_page(page, result)
        print(page)


class _Shown:
    """A bar with the time left on a terminal; a line for each finished cell anywhere."""

    def __init__(self, studies: int, grid: "tuple[Cell, ...]") -> None:
        from fedcxr.metrics.count_outcomes import families_of

        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._work = studies * sum(_work(cell) * len(families_of(cell)) for cell in grid)

    def __enter__(self) -> "_Shown":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("Simulating"),
                BarColumn(),
                TextColumn("{task.percentage:.0f} %"),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("", total=self._work)
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def take(self, cell: "Cell", more: int, result: dict[str, Any] | None) -> None:
        """Move the bar; keep a line for a cell that has a result."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, more * _work(cell))
        if result is None:
            return
        from fedcxr.experiments.selftest import cell_in_words

        print(cell_in_words(result), file=sys.stderr, flush=True)


def _work(cell: "Cell") -> int:
    """Return what a study of the cell costs beside others, about."""
    return (600 + cell.positives + cell.negatives) * cell.labels * cell.seeds
