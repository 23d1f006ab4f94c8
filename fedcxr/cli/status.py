"""`fedcxr status` and `fedcxr stop`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.collector import quick_imports
from fedcxr.home import expanded

if TYPE_CHECKING:  # flwr: too heavy for `fedcxr --help`
    from fedcxr.deploy.control import RunState

ServerKit = Annotated[
    Path, typer.Option("--kit", help="The server's start-up kit.", metavar="KIT", parser=expanded)
]


def status(kit: ServerKit) -> None:
    """Who is connected to the deployment's server on this machine, and what runs there."""
    with quick_imports():
        from fedcxr.deploy.follow import folder_of, is_finished_unheard
        from fedcxr.deploy.submit import status_of

    found = status_of(kit)
    for site, is_online in found.is_online.items():
        print(f"{site}: {'connected' if is_online else 'not connected'}")
    for run in found.runs:
        since = f" since {run.begun}" if run.begun and not run.state.is_over else ""
        folder = folder_of(run.run_id)
        where = f", {folder.path}" if folder else ""
        is_finished = run.state.is_good or is_finished_unheard(run.state, folder)
        words = "finished" if is_finished else _in_words(run.state)
        print(f"Run {run.run_id}: {words}{since}{where}")


def stop(kit: ServerKit) -> None:
    """Stop what runs at the deployment's server on this machine; the server stays."""
    with quick_imports():
        from fedcxr.deploy.submit import stop_runs

    number = stop_runs(kit)
    print(f"Stopped: {number} run{'' if number == 1 else 's'}.")


def _in_words(state: "RunState") -> str:
    if not state.is_over:
        return "under way" if state.has_begun else "waiting"
    return state.why
