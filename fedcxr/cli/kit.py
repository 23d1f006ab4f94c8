"""`fedcxr kit`."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.home import expanded

kit = typer.Typer(no_args_is_help=True, help="Look at a start-up kit of a deployment.")


@kit.callback()
def about() -> None:
    """Look at a start-up kit of a deployment."""


@kit.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="KIT", parser=expanded)],
) -> None:
    """Is a kit whole, private, of one piece, and valid today? Exit code 5 if it is not."""
    from fedcxr.config.kit import ServerKitConfig
    from fedcxr.deploy.certificates import utc_now
    from fedcxr.deploy.kit_check import check_kit, sites_in_words

    found = check_kit(folder)
    if isinstance(found.config, ServerKitConfig):
        print(f"Server's kit for {found.config.address}, {sites_in_words(found.sites)}")
    else:
        print(f"Kit of {found.config.site} for the server {found.config.server}")
        print(f"Public key: {found.key}")
    print(f"Valid until {found.ends:%Y-%m-%d}")
    if found.expires_soon(utc_now()):
        print("That is soon: fedcxr provision --renew, where the deployment was made.")
