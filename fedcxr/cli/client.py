"""`fedcxr client`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.collector import quick_imports
from fedcxr.errors import StoppedError
from fedcxr.home import expanded

if TYPE_CHECKING:  # flwr: too heavy for `fedcxr --help`
    from fedcxr.deploy.join import Admitted, Joining, Waiting

client = typer.Typer(no_args_is_help=True, help="The client of a hospital in a deployment.")


@client.callback()
def about() -> None:
    """The client of a hospital in a deployment."""


@client.command()
def start(
    kit: Annotated[
        Path, typer.Option(help="The site's start-up kit.", metavar="KIT", parser=expanded)
    ],
    data: Annotated[
        Path,
        typer.Option(
            help="The site's own data: site.csv and its images.", metavar="DIR", parser=expanded
        ),
    ],
    gpu: Annotated[
        int | None, typer.Option(min=0, help="Number of the GPU to train on.", metavar="N")
    ] = None,
    wait: Annotated[
        float,
        typer.Option(min=0.0, help="Seconds to wait for a server that is not there yet."),
    ] = 0.0,
) -> None:
    """Take part in the runs of a deployment until Ctrl-C, with the site's own data and code.

    Flower's SuperNode with TLS and the site's key. Images and tables stay here.
    """
    with quick_imports():
        from fedcxr.deploy.join import join

    try:
        join(kit, data, _show, gpu=gpu, wait_s=wait)
    except KeyboardInterrupt as err:
        print("Stopped.", flush=True)
        raise typer.Exit(StoppedError.exit_code) from err


def _show(event: "Joining | Admitted | Waiting") -> None:
    from fedcxr.deploy.join import Admitted, Joining

    if isinstance(event, Joining):
        images, patients = len(event.table.image_id), len(set(event.table.patient_id))
        print(f"{images:,} images of {patients:,} patients. Log: {event.log}", flush=True)
    elif isinstance(event, Admitted):
        print(f"{event.site} joins {event.server}. Ctrl-C ends it.", flush=True)
    else:
        print(f"Waiting up to {event.most_s:g} s: {event.why}", flush=True)
