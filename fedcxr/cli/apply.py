"""`fedcxr evaluate` and `fedcxr predict`: using the global model of a finished run."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli import options as o
from fedcxr.collector import collector_paused


def evaluate(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    data: Annotated[Path, typer.Option(help="A data set's folder.")],
    split: Annotated[
        str, typer.Option(help="test: its official test images where it has them; all: every one.")
    ] = "test",
    follow_links: o.FollowLinks = None,
) -> None:
    """Score a finished run's global model on other data: the same tables."""
    with collector_paused():
        from fedcxr.cli.outcome import print_scores
        from fedcxr.experiments.apply import evaluate_run

    print_scores(evaluate_run(run, data, split=split, follow_links=bool(follow_links)))


def predict(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    out: Annotated[Path, typer.Option(help="Folder for predictions.csv and the overlays.")] = Path(
        "predictions"
    ),
    label: Annotated[
        str | None, typer.Option(help="Draw Grad-CAM for this label; default the most probable.")
    ] = None,
) -> None:
    """Write each image's probability per label (CSV) and a Grad-CAM overlay (PNG)."""
    with collector_paused():
        from fedcxr.experiments.apply import predict_images

    print(predict_images(run, images, out, label=label))
