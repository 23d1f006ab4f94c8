"""`fedcxr check-data`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli import options as o
from fedcxr.errors import ConfigError, DataError

if TYPE_CHECKING:
    from fedcxr.data.quality.findings import DataReport
    from fedcxr.data.quality.images import Progress


def check_data(
    folder: Annotated[Path, typer.Argument(help="The data set's folder.", metavar="DIR")],
    labels_only: Annotated[
        bool, typer.Option("--labels-only", help="Look at the tables and at no image.")
    ] = False,
    sample: Annotated[
        int | None, typer.Option(help="Look at this many images, drawn at random; default all.")
    ] = None,
    splits: Annotated[
        list[Path] | None,
        typer.Option(help="A file of one split, CSV or image names; give it once for each."),
    ] = None,
    follow_links: o.FollowLinks = None,
    json_file: Annotated[
        str | None, typer.Option("--json", help="Write the report here; - prints it instead.")
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", help="Write the report here as a page.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Threads or processes that decode; default one a core.")
    ] = None,
) -> None:
    """Tell what is wrong with a data set before anything trains on it.

    Missing, truncated, duplicated, rotated and mislabelled images; labels and patients in numbers;
    patients shared between splits; how fast the disk is. Exits with 3 unless the data are clean.
    """
    # numpy, Pillow, rich and matplotlib: too heavy for `fedcxr --help`.
    from fedcxr.data.quality.check import check_data as check

    if workers is not None and workers < 1:
        raise ConfigError(f"--workers {workers}: give at least 1.")
    with _progress() as progress:
        report = check(
            folder,
            labels_only=labels_only,
            sample=sample,
            splits=splits or (),
            follow_links=bool(follow_links),
            workers=workers,
            progress=progress,
        )
    _write(report, json_file, html_file)
    if not report.is_clean:
        raise typer.Exit(DataError.exit_code)


def _write(report: "DataReport", json_file: str | None, html_file: Path | None) -> None:
    """Print the report, as JSON if that goes to the terminal, and write the files asked for."""
    from fedcxr.atomic import write_text_atomically
    from fedcxr.cli.data_text import print_report

    text = json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n"
    if json_file == "-":
        print(text, end="")
    else:
        print_report(report)
    if json_file not in (None, "-"):
        write_text_atomically(Path(str(json_file)), text)
    if html_file is not None:
        from fedcxr.report.data_page import write_data_page

        written = write_data_page(report, html_file)
        print(f"Page: {written}", file=sys.stderr if json_file == "-" else sys.stdout)


@contextmanager
def _progress() -> "Iterator[Progress | None]":
    """Yield what shows the progress on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("Reading the tables", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=f"{what} images", completed=done, total=total or None)

        yield show
