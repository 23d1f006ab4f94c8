"""`fedcxr run`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fedcxr.cli import options as o
from fedcxr.cli.flags import FLAGS, config_from_flags, takes_flags
from fedcxr.collector import quick_imports
from fedcxr.home import expanded

_NOT_HERE = ("data", "partition", "engine", "compare")
"""Sections whose flags are of simulations: sites bring their own data and machines."""
_DATA_HERE = ("labels", "score_by", "uncertain")
_ENGINE_HERE = ("device", "precision")

RUN_FLAGS = tuple(
    name
    for name, flagged in FLAGS.items()
    if flagged.section not in _NOT_HERE or name in (*_DATA_HERE, *_ENGINE_HERE)
)


def run(
    kit: Annotated[
        Path, typer.Option(help="The server's start-up kit.", metavar="KIT", parser=expanded)
    ],
    data: Annotated[
        Path,
        typer.Option(
            help="The server's data: plan.json and global/.", metavar="DIR", parser=expanded
        ),
    ],
    preset: o.Preset = "quickstart",
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    overlap: Annotated[
        Path | None,
        typer.Option(
            help="What the sites found of patients they share: check-overlap compare --out.",
            metavar="FILE",
            parser=expanded,
        ),
    ] = None,
    quiet: o.Quiet = False,
    **flags: Any,  # noqa: ANN401  # each flag's own type is its key's
) -> None:
    """Train over the real sites of a deployment whose server runs on this machine.

    All sites of the plan must be connected. Ctrl-C stops the run.
    """
    resolved = config_from_flags(flags, preset=preset, file=config, settings=settings or [])
    with quick_imports():
        from fedcxr.cli.outcome import print_outcome, progress_for
        from fedcxr.deploy.submit import run_deployed

    with progress_for(quiet, from_begin=True) as follow:
        finished = run_deployed(
            kit, data, resolved, preset=preset, on_start=follow, overlap=overlap
        )
    print_outcome(finished.path)


takes_flags(run, RUN_FLAGS)
