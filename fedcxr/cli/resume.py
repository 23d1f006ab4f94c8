"""`fedcxr resume`."""

from typing import Annotated

import typer

from fedcxr.cli import options as o
from fedcxr.collector import quick_imports


def resume(
    run: o.RunOrComparison,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="What is to be otherwise from now on: server.quorum=0.3. Not the weights."
        ),
    ] = None,
    accept_changed_data: Annotated[
        bool,
        typer.Option(
            "--accept-changed-data", help="Go on although labels or images are not as they were."
        ),
    ] = False,
    quiet: o.Quiet = False,
) -> None:
    """Go on with what stopped, from its last finished round, to the same bits."""
    with quick_imports():
        from fedcxr.cli.byzantine import print_byzantine
        from fedcxr.cli.compare import print_comparison, showing_progress
        from fedcxr.cli.outcome import print_outcome, progress_for
        from fedcxr.experiments.byzantine.byzantine_study import resume_byzantine
        from fedcxr.experiments.compare.comparing import resume_comparison
        from fedcxr.experiments.simulate import resume as resume_run
        from fedcxr.results.reading import is_byzantine, is_comparison

    folder = run.absolute()
    changed = [*(settings or ()), *["data.accept_changed_data=true"] * accept_changed_data]
    if is_comparison(folder):
        with showing_progress(quiet) as (on_start, on_progress):
            on_start(folder)
            print_comparison(resume_comparison(folder, on_progress, settings=changed))
        return
    if is_byzantine(folder):
        with showing_progress(quiet) as (on_start, on_progress):
            on_start(folder)
            print_byzantine(resume_byzantine(folder, on_progress, settings=changed))
        return
    with progress_for(quiet) as follow:
        finished = resume_run(folder, on_start=follow, settings=changed)
    print_outcome(finished.path)
