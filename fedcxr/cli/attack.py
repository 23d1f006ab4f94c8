"""`fedcxr attack`: what a finished run gives away."""

import typer

from fedcxr.cli.attack_inversion import inversion

attack = typer.Typer(
    no_args_is_help=True, help="Attack a finished run, to know what it gives away."
)


@attack.callback()
def about() -> None:
    """Attack a finished run, to know what it gives away."""


attack.command()(inversion)
