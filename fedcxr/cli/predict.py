"""`fedcxr predict`: a finished run's model on images."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli import options as o
from fedcxr.cli.bar import progress_bar
from fedcxr.collector import quick_imports
from fedcxr.errors import DataError
from fedcxr.home import expanded

if TYPE_CHECKING:
    from fedcxr.experiments.predict import Predicted

SHOWN = 10
"""Bad images that are named; all of them are in the table."""


def predict(
    run: o.Run,
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Image files, and folders for all in them.", metavar="IMAGE...", parser=expanded
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for predictions.csv and the overlays.", metavar="DIR", parser=expanded
        ),
    ] = Path("predictions"),
    label: Annotated[
        str | None, typer.Option(help="Draw Grad-CAM for this label; default the most probable.")
    ] = None,
) -> None:
    """Write each image's probability per label (CSV) and a Grad-CAM overlay (PNG).

    Images that cannot be read are named, with exit code 3; the others are written all the same.
    """
    with quick_imports():
        from fedcxr.experiments.predict import predict_images

    with progress_bar("Opening the model") as show:
        found = predict_images(
            run,
            images,
            out,
            label=label,
            progress=show and (lambda done, total: show("Predicting", done, total)),
        )
    print(found.table)
    if found.bad:
        _print_bad(found)
        raise typer.Exit(DataError.exit_code)


def _print_bad(found: "Predicted") -> None:
    lines = [f"  {one.path}: {one.reason}" for one in found.bad[:SHOWN]]
    if len(found.bad) > SHOWN:
        lines.append(f"  and {len(found.bad) - SHOWN} more; all in {found.table}, column error")
    head = f"fedcxr: {len(found.bad)} of {found.num_images} images cannot be read:"
    print("\n".join([head, *lines]), file=sys.stderr)
