"""The options that several verbs share and that are no key of the configuration."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli.flags import option_of
from fedcxr.home import expanded

Run = Annotated[Path, typer.Argument(help="The run folder.", metavar="RUN", parser=expanded)]
RunOrComparison = Annotated[
    Path, typer.Argument(help="A run's or a comparison's folder.", metavar="RUN", parser=expanded)
]
Preset = Annotated[
    str, typer.Option(help="quickstart, chexpert, chexpert-best, nih14 or lung_lesion.")
]
ConfigFile = Annotated[
    Path | None, typer.Option(help="A YAML file over the preset.", metavar="FILE", parser=expanded)
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Any key: train.learning_rate=3e-4.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the result only.")]
FollowLinks = Annotated[bool | None, option_of("follow_links")]
"""For verbs that make no configuration."""
AcceptedProblems = Annotated[
    list[str] | None,
    typer.Option(
        "--accept",
        help="Go on beside this kind of problem, as check-data names it.",
        metavar="KIND",
    ),
]
