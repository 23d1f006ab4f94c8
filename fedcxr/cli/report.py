"""`fedcxr report`."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.collector import collector_paused


def report(run: Annotated[Path, typer.Argument(help="The run folder.")]) -> None:
    """Write a run's page again, from the folder alone."""
    with collector_paused():
        from fedcxr.report.page import write_report
        from fedcxr.runs.folder import RunFolder

    print(write_report(RunFolder.open(run).path))
