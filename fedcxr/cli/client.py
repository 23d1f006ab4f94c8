"""`fedcxr client`."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fedcxr.cli import options as o
from fedcxr.cli.site_line import SiteLine
from fedcxr.collector import quick_imports
from fedcxr.errors import StoppedError
from fedcxr.home import expanded

if TYPE_CHECKING:  # flwr: too heavy for `fedcxr --help`
    from fedcxr.data.quality.findings import Finding
    from fedcxr.deploy.join import Admitted, Joining, Waiting
    from fedcxr.deploy.site_data import SiteData
    from fedcxr.deploy.site_status import Connected

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
            help="The site's own data: site.csv and its images, or CheXpert, or NIH.",
            metavar="DIR",
            parser=expanded,
        ),
    ],
    gpu: Annotated[
        int | None, typer.Option(min=0, help="Number of the GPU to train on.", metavar="N")
    ] = None,
    wait: Annotated[
        float,
        typer.Option(min=0.0, help="Seconds to wait for a server that is not there yet."),
    ] = 0.0,
    image_size: Annotated[
        int | None,
        typer.Option(min=16, help="Decode to this side in pixels first; default as last time."),
    ] = None,
    views: Annotated[
        Literal["frontal", "all"], typer.Option(help="Of CheXpert or NIH, which images.")
    ] = "frontal",
    accept: o.AcceptedProblems = None,
) -> None:
    """Take part in the runs of a deployment until Ctrl-C, with the site's own data and code.

    The data are checked first as `check-data` does. Flower's SuperNode with TLS and the site's key.
    Images and tables stay here.
    """
    with quick_imports():
        from fedcxr.deploy.join import join
        from fedcxr.deploy.site_data import prepare_site

    line = SiteLine()

    def prepare(site: str) -> "SiteData":
        with line.progress() as on_progress:
            return prepare_site(
                site,
                data,
                views=views,
                image_size=image_size,
                accept=accept or (),
                on_progress=on_progress,
                on_notices=partial(_warn, line, data),
            )

    try:
        with _ended(line):
            join(kit, prepare, partial(_show, line), gpu=gpu, wait_s=wait)
    except KeyboardInterrupt as err:
        print("Stopped.", flush=True)
        raise typer.Exit(StoppedError.exit_code) from err


@contextmanager
def _ended(line: SiteLine) -> Iterator[None]:
    try:
        yield
    finally:
        line.clear()


def _warn(line: SiteLine, data: Path, notices: "tuple[Finding, ...]") -> None:
    for one in notices:
        line.print(f"Worth knowing: {one.title}: {one.count:,}")
    if notices:
        line.print(f"`fedcxr check-data {data}` says what each means.")


def _show(line: SiteLine, event: "Joining | Admitted | Waiting | Connected") -> None:
    from fedcxr.deploy.join import Admitted, Joining
    from fedcxr.deploy.site_status import Connected

    if isinstance(event, Connected):
        line.status(event)
    elif isinstance(event, Joining):
        data = event.data
        images, patients = len(data.table.image_id), len(set(data.table.patient_id))
        line.print(f"{images:,} images of {patients:,} patients. Log: {event.log}")
        if data.left_out:
            line.print(f"Left out: {data.left_out:,} images of an official val or test set.")
        if data.image_size is None:
            line.print("They are decoded at the first order; --image-size N does it before.")
    elif isinstance(event, Admitted):
        line.print(f"{event.site} joins {event.server}. Ctrl-C ends it.")
    else:
        line.print(f"Waiting up to {event.most_s:g} s: {event.why}")
