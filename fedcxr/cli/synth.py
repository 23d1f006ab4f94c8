"""`fedcxr synth`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fedcxr.home import expanded


def synth(
    out: Annotated[
        Path, typer.Option(help="A new or empty folder.", metavar="DIR", parser=expanded)
    ],
    patients: Annotated[int, typer.Option(help="A fifth of them are the test set.")] = 1600,
    size: Annotated[int, typer.Option(help="Side of the images, pixels.")] = 96,
    layout: Annotated[str, typer.Option(help="chexpert or nih14.")] = "chexpert",
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Write a synthetic data set of any size in an official layout.

    Every finding has a visible sign with a known box and mask. Drawings, not patients.
    """
    # numpy and Pillow: too heavy for `fedcxr --help`.
    from fedcxr.data.synthetic.write import write_synthetic

    last = -1

    def show(done: int, total: int) -> None:
        nonlocal last
        percent = 100 * done // total
        if percent > last:
            last = percent
            end = "\n" if done == total else ""
            sys.stderr.write(f"\r{done} of {total} images{end}")
            sys.stderr.flush()

    root = write_synthetic(
        out,
        patients=patients,
        size_px=size,
        layout=layout,
        seed=seed,
        progress=show if sys.stderr.isatty() else None,
    )
    print(root)
