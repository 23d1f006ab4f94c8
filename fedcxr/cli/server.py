"""`fedcxr server`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fedcxr.collector import quick_imports
from fedcxr.errors import StoppedError
from fedcxr.home import expanded

if TYPE_CHECKING:  # flwr: too heavy for `fedcxr --help`
    from fedcxr.deploy.serve import Event

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
    keep: Annotated[
        bool, typer.Option("--keep", help="Start it again when it dies, and go on with what ran.")
    ] = False,
) -> None:
    """Run the server until Ctrl-C: it lets in the kit's sites, and runs that `fedcxr run` starts.

    Flower's SuperLink with TLS and the nodes' keys checked; there is no way without them.
    """
    with quick_imports():
        from fedcxr.deploy.serve import serve

    try:
        serve(kit, _show, keep=keep)
    except KeyboardInterrupt as err:
        print("Stopped.", flush=True)
        raise typer.Exit(StoppedError.exit_code) from err


@server.command()
def data(
    kit: Annotated[
        Path, typer.Option(help="The server's start-up kit.", metavar="KIT", parser=expanded)
    ],
    source: Annotated[
        Path,
        typer.Option(
            "--data",
            help="The server's own CheXpert or NIH, for validation and test.",
            metavar="DIR",
            parser=expanded,
        ),
    ],
    most: Annotated[
        list[str],
        typer.Option(
            help="Most training images of every site, or NAME=N of one; may be repeated.",
            metavar="N",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to make.", metavar="DIR", parser=expanded)],
    views: Annotated[
        Literal["frontal", "all"], typer.Option(help="Which images are taken.")
    ] = "frontal",
) -> None:
    """Make the server's data folder for hospitals whose tables nobody has seen.

    Its own validation and test patients, and the most training images that each site may weigh.
    """
    from fedcxr.data.read import read_dataset
    from fedcxr.data.tokens import load_key
    from fedcxr.deploy.kit_check import server_kit
    from partitions.unseen import most_images, write_server_folder

    checked, _ = server_kit(kit)
    allowed = most_images(most, checked.sites)
    plan = write_server_folder(
        read_dataset(source, views=views), allowed, key=load_key(), views=views, out=out
    )
    for site in plan.sites:
        print(f"{site.site_id}: at most {site.train_images:,} training images")
    print(f"The server's data: {out}. Use it: fedcxr run --kit {kit} --data {out}")


def _show(event: "Event") -> None:
    from fedcxr.deploy.keep import RunChange
    from fedcxr.deploy.kit_check import sites_in_words
    from fedcxr.deploy.serve import Restarting, SiteChange

    if isinstance(event, SiteChange):
        print(f"{event.site}: {_WORDS[event.what]}", flush=True)
        return
    if isinstance(event, RunChange):
        print(f"{event.run}: {'goes on' if event.goes_on else 'ended:'} {event.why}", flush=True)
        return
    if isinstance(event, Restarting):
        print(f"The server died and is started again ({event.number}): {event.why}", flush=True)
        return
    print(f"Server at {event.address}, {sites_in_words(event.kit.sites)}", flush=True)
    print(f"Certificate valid until {event.kit.ends:%Y-%m-%d}. Log: {event.log}", flush=True)
    print("Ctrl-C ends it.", flush=True)
