"""`fedcxr evaluate`: a finished run's model on other data."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli import options as o
from fedcxr.collector import quick_imports
from fedcxr.home import expanded


def evaluate(
    run: o.Run,
    data: Annotated[
        Path, typer.Option(help="A data set's folder.", metavar="DIR", parser=expanded)
    ],
    split: Annotated[
        str, typer.Option(help="test: its official test images where it has them; all: every one.")
    ] = "test",
    other_patients: Annotated[
        bool,
        typer.Option(
            "--other-patients",
            help="The data are of patients that were not in the run; needed where that cannot be "
            "checked.",
        ),
    ] = False,
    follow_links: o.FollowLinks = None,
) -> None:
    """Score a finished run's global model on other data: the same tables."""
    with quick_imports():
        from fedcxr.cli.outcome import print_scores
        from fedcxr.experiments.apply import evaluate_run

    print_scores(
        evaluate_run(
            run,
            data,
            split=split,
            other_patients=other_patients,
            follow_links=bool(follow_links),
        )
    )
