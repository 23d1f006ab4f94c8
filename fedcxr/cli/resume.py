"""`fedcxr resume`."""

from typing import Annotated

import typer

from fedcxr.cli import options as o
from fedcxr.collector import collector_paused


def resume(
    run: o.RunOrComparison,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the result only.")] = False,
) -> None:
    """Go on with what stopped, from its last finished round, to the same bits."""
    with collector_paused():
        from fedcxr.cli.compare import print_comparison, telling
        from fedcxr.cli.outcome import print_outcome, progress_for
        from fedcxr.experiments.compare import carry_on, is_comparison
        from fedcxr.experiments.simulate import resume as resume_run

    folder = run.absolute()
    if is_comparison(folder):
        with telling(quiet) as (on_start, tell):
            on_start(folder)
            print_comparison(carry_on(folder, tell))
        return
    with progress_for(quiet) as follow:
        finished = resume_run(folder, on_start=follow)
    print_outcome(finished.path, finished.summary)
