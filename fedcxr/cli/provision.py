"""`fedcxr provision`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.errors import ConfigError
from fedcxr.filenames import shell_command
from fedcxr.home import expanded

if TYPE_CHECKING:  # cryptography: too heavy for `fedcxr --help`
    from fedcxr.deploy.provision import Deployment


def provision(
    out: Annotated[
        Path, typer.Option(help="The deployment's folder.", metavar="DIR", parser=expanded)
    ],
    sites: Annotated[
        str | None,
        typer.Option(
            help="How many (site-00, site-01 …), or names with commas; as in the partition.",
            metavar="N|NAMES",
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(help="Where the sites reach the server.", metavar="HOST:PORT"),
    ] = None,
    add_site: Annotated[
        str | None, typer.Option(help="Make the kit of one more site.", metavar="NAME")
    ] = None,
    revoke: Annotated[
        str | None, typer.Option(help="Let a site take part no longer.", metavar="SITE")
    ] = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="Give the server a new key and certificate.")
    ] = False,
) -> None:
    """Make the start-up kits of a deployment, or change who belongs to it.

    A new one takes `--sites` and `--server`: an authority, the server's certificate from it, and a
    key pair for each site. Nothing that is there is written over.
    """
    is_change = bool(add_site or revoke or renew)
    if is_change and (sites or server):
        raise ConfigError(
            "--sites and --server are of a new deployment; --add-site, --revoke and --renew change "
            "one that is there. Give the one or the other."
        )
    if not is_change and not (sites and server):
        raise ConfigError(
            "A new deployment takes --sites and --server, as in: fedcxr provision --sites 5 "
            "--server fl.example.org:9092 --out deploy"
        )
    if sites and server:
        _make(out, sites, server)
    else:
        _change(out, add_site, revoke, renew=renew)


def _make(out: Path, sites: str, server: str) -> None:
    from fedcxr.deploy.kit_files import AUTHORITY
    from fedcxr.deploy.provision import new_deployment, site_names

    names = site_names(sites)
    deployment = new_deployment(out, server, names)
    print(f"Server's kit: {deployment.server}")
    for name in names[:10]:
        print(f"Kit of {name}: {out / name}")
    if len(names) > 10:
        print(f"and {len(names) - 10} more")
    print(f"{out / AUTHORITY} signs certificates: keep it apart from the server's machine.")
    print("Hand each kit to its owner alone, by a way that nobody else reads.")
    print(f"Check one: {shell_command(['fedcxr', 'kit', 'check', deployment.server])}")


def _change(out: Path, add: str | None, revoke: str | None, *, renew: bool) -> None:
    from fedcxr.deploy.provision import add_site, open_deployment, renew_server, revoke_site

    deployment = open_deployment(out)
    if revoke:
        print(f"Revoked: {revoke}; its public key is kept as {revoke_site(deployment, revoke)}")
    if add:
        print(f"Kit of {add}: {add_site(deployment, add)}")
    if renew:
        ends = renew_server(deployment).certificate.not_valid_after_utc
        print(f"The server's certificate is valid until {ends:%Y-%m-%d}.")
    _say_what_to_do(deployment, renew=renew)


def _say_what_to_do(deployment: "Deployment", *, renew: bool) -> None:
    if renew:
        print("Start the server again with it. The sites need nothing new.")
    else:
        print(f"A server that runs with {deployment.server} takes it up by itself.")
    print("If the server has a copy of its kit on another machine, copy the kit there again.")
