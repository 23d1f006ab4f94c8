"""`fedcxr check-data`."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli import options as o
from fedcxr.cli.bar import progress_bar
from fedcxr.errors import ConfigError, DataError
from fedcxr.home import expanded

if TYPE_CHECKING:
    from fedcxr.data.quality.findings import DataReport

_PRINTED = Path("-")
"""The file name that stands for stdout."""


_JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json",
        help="Write the report here; - prints it instead.",
        metavar="FILE",
        parser=expanded,
    ),
]
_HtmlFile = Annotated[
    Path | None,
    typer.Option(
        "--html", help="Write the report here as a page.", metavar="FILE", parser=expanded
    ),
]


def check_data(
    folder: Annotated[
        Path, typer.Argument(help="The data set's folder.", metavar="DIR", parser=expanded)
    ],
    labels_only: Annotated[
        bool, typer.Option("--labels-only", help="Look at the tables and at no image.")
    ] = False,
    sample: Annotated[
        int | None, typer.Option(help="Look at this many images, drawn at random; default all.")
    ] = None,
    splits: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file of one split, CSV or image names; give it once for each.",
            metavar="FILE",
            parser=expanded,
        ),
    ] = None,
    follow_links: o.FollowLinks = None,
    json_file: _JsonFile = None,
    html_file: _HtmlFile = None,
    workers: Annotated[
        int | None, typer.Option(help="Threads or processes that decode; default one a core.")
    ] = None,
) -> None:
    """Tell what is wrong with a data set before anything trains on it.

    Missing, truncated, duplicated, rotated and mislabelled images; labels and patients in numbers;
    patients shared between splits; how fast the disk is. Exits with 3 unless the data are clean.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers {workers}: give at least 1.")
    report = checked(
        folder,
        splits or (),
        follow_links=bool(follow_links),
        labels_only=labels_only,
        sample=sample,
        workers=workers,
    )
    _write(report, json_file, html_file)
    if not report.is_clean:
        raise typer.Exit(DataError.exit_code)


def checked(
    folder: Path,
    splits: Sequence[Path],
    *,
    follow_links: bool,
    labels_only: bool,
    sample: int | None,
    workers: int | None,
) -> "DataReport":
    """Return the report of a data set, or of a hospital's own folder."""
    # numpy and Pillow: too heavy for `fedcxr --help`.
    from fedcxr.data.quality.check import check_reading
    from fedcxr.data.quality.read import read_for_check
    from fedcxr.data.readers.site_folder import SITE_CSV
    from partitions.hospital_folder import hospital_reading

    start = time.perf_counter()
    with progress_bar("Reading the tables") as show:
        if (folder / SITE_CSV).is_file():
            if splits or follow_links:
                raise ConfigError(
                    f"{folder}: a hospital's own folder has no --splits and no links."
                )
            reading = hospital_reading(folder)
        else:
            reading = read_for_check(folder, splits, follow_links=follow_links)
        return check_reading(
            reading,
            labels_only=labels_only,
            sample=sample,
            workers=workers,
            progress=show and (lambda what, done, total: show(f"{what} images", done, total)),
            start=start,
        )


def _write(report: "DataReport", json_file: Path | None, html_file: Path | None) -> None:
    """Print the report, as JSON if that goes to the terminal, and write the files asked for."""
    from fedcxr.atomic import write_text_atomically
    from fedcxr.cli.data_text import print_report

    text = json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n"
    if json_file == _PRINTED:
        print(text, end="")
    else:
        print_report(report)
        if json_file is not None:
            write_text_atomically(json_file, text)
    if html_file is not None:
        from fedcxr.report.data_page import write_data_page

        written = write_data_page(report, html_file)
        print(f"Page: {written}", file=sys.stderr if json_file == _PRINTED else sys.stdout)
