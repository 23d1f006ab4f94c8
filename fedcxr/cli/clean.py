"""`fedcxr clean`: what in the home folder no run needs any more."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.errors import StorageError
from fedcxr.home import home_folder

if TYPE_CHECKING:
    from fedcxr.leftovers import Leftover


def clean(
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; without this it is only shown.")
    ] = False,
    older_than: Annotated[
        float,
        typer.Option(min=0.0, metavar="DAYS", help="Age of a cache that no run is known to use."),
    ] = 30.0,
) -> None:
    """Show what in the home folder no run needs any more; remove it with --yes.

    Caches, partitions of an earlier version, logs and site states of runs that are gone. Never
    the patient key, nor what fedcxr does not know.
    """
    # numpy and Pillow: too heavy for `fedcxr --help`.
    from fedcxr.leftovers import find_leftovers, linked_shelves
    from fedcxr.report.wording import size

    print(f"Home folder: {home_folder()}")
    for shelf in linked_shelves():
        print(f"Not looked into, since it is a link: {shelf}")
    found = find_leftovers(older_than)
    for one in found:
        print(f"{size(one.bytes):>9}  {_place(one.path)}: {_why(one)}")
    if not found:
        print("Nothing to remove.")
    elif yes:
        _remove(found)
    else:
        print(
            f"{size(sum(one.bytes for one in found)):>9}  in all; nothing is removed yet: add --yes"
        )


def _remove(found: "list[Leftover]") -> None:
    from fedcxr.leftovers import remove
    from fedcxr.report.wording import size

    freed, failed = 0, False
    for one in found:
        try:
            if remove(one):
                freed += one.bytes
            else:
                print(f"Left alone, since a process has begun to use it: {_place(one.path)}")
        except OSError as err:
            failed = True
            print(f"fedcxr: {one.path}: cannot be removed ({err.strerror}).", file=sys.stderr)
    print(f"{size(freed):>9}  in all, removed")
    if failed:
        raise typer.Exit(StorageError.exit_code)


def _place(path: Path) -> Path:
    """Return the path as in the home folder; that of a run folder whole."""
    home = home_folder()
    return path.relative_to(home) if path.is_relative_to(home) else path


def _why(one: "Leftover") -> str:
    from fedcxr.leftovers import Reason

    words = {
        Reason.RUNS_GONE: "every run that used it is gone",
        Reason.NO_RUN: f"no run is known to use it, and it is {one.days:.0f} days old",
        Reason.OTHER_VERSION: "made by another version of fedcxr, and this one cannot use it",
        Reason.UNFINISHED: f"unfinished, and nobody has worked on it for {one.days:.0f} days",
        Reason.ASIDE: "left by a removal that was interrupted",
        Reason.RUN_FINISHED: "only for going on with the run, which is finished",
    }
    return words[one.reason]
