"""`fedcxr resume`."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli import options as o
from fedcxr.collector import quick_imports
from fedcxr.errors import ConfigError
from fedcxr.home import expanded

Kit = Annotated[
    Path | None,
    typer.Option(
        help="Of real sites: the server's kit, where it is not the one it ran with.",
        metavar="KIT",
        parser=expanded,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        help="Of real sites: the server's data, where they are not where they were.",
        metavar="DIR",
        parser=expanded,
    ),
]


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
    kit: Kit = None,
    data: Data = None,
    quiet: o.Quiet = False,
) -> None:
    """Go on with what stopped, from its last finished round, to the same bits.

    A run over real sites goes on at the server of its kit, which runs on this machine.
    """
    with quick_imports():
        from fedcxr.cli.byzantine import print_byzantine
        from fedcxr.cli.compare import print_comparison, showing_progress
        from fedcxr.cli.outcome import print_outcome, progress_for
        from fedcxr.cli.privacy_sweep import draw_curve, print_sweep
        from fedcxr.experiments.byzantine.byzantine_study import resume_byzantine
        from fedcxr.experiments.compare.comparing import resume_comparison
        from fedcxr.experiments.simulate import resume as resume_run
        from fedcxr.results.privacy_sweep import is_sweep
        from fedcxr.results.reading import is_byzantine, is_comparison
        from fedcxr.runs.folder import RunFolder

    folder = run.absolute()
    changed = [*(settings or ()), *["data.accept_changed_data=true"] * accept_changed_data]
    is_one_run = not is_comparison(folder) and not is_byzantine(folder)
    if is_one_run and RunFolder.open(folder).read_json("manifest.json")["engine"] == "superlink":
        _resume_deployed(folder, kit, data, changed, quiet=quiet)
        return
    if kit is not None or data is not None:
        raise ConfigError(f"--kit, --data: are for runs over real sites, and {folder} is none.")
    if is_comparison(folder):
        with showing_progress(quiet) as (on_start, on_progress):
            on_start(folder)
            resume_comparison(folder, on_progress, settings=changed)
        if is_sweep(folder):
            draw_curve(folder, quiet=quiet)
            print_sweep(folder)
        else:
            print_comparison(folder)
        return
    if is_byzantine(folder):
        with showing_progress(quiet) as (on_start, on_progress):
            on_start(folder)
            print_byzantine(resume_byzantine(folder, on_progress, settings=changed))
        return
    with progress_for(quiet) as follow:
        finished = resume_run(folder, on_start=follow, settings=changed)
    print_outcome(finished.path)


def _resume_deployed(
    folder: Path, kit: Path | None, data: Path | None, settings: list[str], *, quiet: bool
) -> None:
    with quick_imports():
        from fedcxr.cli.outcome import print_outcome, progress_for
        from fedcxr.deploy.submit import resume_deployed

    with progress_for(quiet) as follow:
        run = resume_deployed(folder, follow, kit=kit, data=data, settings=settings)
    print_outcome(run.path)
