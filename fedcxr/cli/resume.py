"""`fedcxr resume`."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.collector import collector_paused


def resume(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the result only.")] = False,
) -> None:
    """Go on with a run that stopped, from its last finished round, to the same bits."""
    with collector_paused():
        from fedcxr.cli.outcome import print_outcome, progress_for
        from fedcxr.experiments.simulate import resume as resume_run

    with progress_for(quiet) as follow:
        finished = resume_run(run.absolute(), on_start=follow)
    print_outcome(finished.path, finished.summary)
