"""`fedcxr server`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.collector import quick_imports
from fedcxr.errors import StoppedError
from fedcxr.home import expanded

if TYPE_CHECKING:  # flwr: too heavy for `fedcxr --help`
    from fedcxr.deploy.serve import ServerUp, SiteChange

server = typer.Typer(no_args_is_help=True, help="The server of a deployment.")

_WORDS = {
    "added": "added to the kit; it may come now",
    "revoked": "revoked; it is put out",
    "barred": "its key was revoked before: give it a new one, or start the server again",
    "connected": "connected",
    "gone": "gone",
}


@server.callback()
def about() -> None:
    """The server of a deployment."""


@server.command()
def start(
    kit: Annotated[
        Path, typer.Option(help="The server's start-up kit.", metavar="KIT", parser=expanded)
    ],
) -> None:
    """Run the server until Ctrl-C: it lets in the kit's sites, and runs that `fedcxr run` starts.

    Flower's SuperLink with TLS and the nodes' keys checked; there is no way without them.
    """
    with quick_imports():
        from fedcxr.deploy.serve import serve

    try:
        serve(kit, _show)
    except KeyboardInterrupt as err:
        print("Stopped.", flush=True)
        raise typer.Exit(StoppedError.exit_code) from err


def _show(event: "ServerUp | SiteChange") -> None:
    from fedcxr.deploy.kit_check import sites_in_words
    from fedcxr.deploy.serve import SiteChange

    if isinstance(event, SiteChange):
        print(f"{event.site}: {_WORDS[event.what]}", flush=True)
        return
    print(f"Server at {event.address}, {sites_in_words(event.kit.sites)}", flush=True)
    print(f"Certificate valid until {event.kit.ends:%Y-%m-%d}. Log: {event.log}", flush=True)
    print("Ctrl-C ends it.", flush=True)
