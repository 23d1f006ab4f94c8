"""`fedcxr deploy`."""

from typing import TYPE_CHECKING

import typer

from fedcxr.collector import quick_imports
from fedcxr.errors import NetworkError

if TYPE_CHECKING:  # flwr: too heavy for `fedcxr --help`
    from fedcxr.deploy.refusal_trial import Trial

deploy = typer.Typer(no_args_is_help=True, help="Try a deployment on this machine.")


@deploy.callback()
def about() -> None:
    """Try a deployment on this machine."""


@deploy.command()
def selftest() -> None:
    """Start a server on loopback and try to get in without the right: exit code 5 if that works.

    Keys that are not registered, revoked or in use, wrong certificates, callers without TLS.
    """
    with quick_imports():
        from fedcxr.deploy.refusal_trial import run_trial

    if not run_trial(_show):
        raise NetworkError(
            "This machine's Flower does not keep out everybody that it should (✗ above). Install "
            "the version of flwr that pyproject.toml names, and deploy nothing until this passes."
        )


def _show(trial: "Trial") -> None:
    outcome = f"refused: {trial.said}" if trial.said else "let in"
    print(f"{'✓' if trial.is_right else '✗'} {trial.who}: {outcome}", flush=True)
