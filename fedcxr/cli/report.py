"""`fedcxr report`."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.collector import collector_paused


def report(run: Annotated[Path, typer.Argument(help="A run's or a comparison's folder.")]) -> None:
    """Write a page again from the folder alone; a comparison's figures are computed anew."""
    with collector_paused():
        from fedcxr.experiments.compare import is_comparison, report_again
        from fedcxr.report.page import write_report
        from fedcxr.runs.folder import RunFolder

    folder = RunFolder.open(run).path
    print(report_again(folder) if is_comparison(folder) else write_report(folder))
