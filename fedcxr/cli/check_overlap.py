"""`fedcxr check-overlap`."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.errors import ConfigError, DataError
from fedcxr.home import expanded

check_overlap = typer.Typer(
    no_args_is_help=True, help="Do hospitals share patients? Found without showing who they are."
)

_Key = Annotated[
    Path,
    typer.Option(help="The key that the sites share.", metavar="FILE", parser=expanded),
]


@check_overlap.callback()
def about() -> None:
    """Do hospitals share patients? Found without showing who they are."""


@check_overlap.command()
def key(
    out: Annotated[Path, typer.Option(help="The file to make.", metavar="FILE", parser=expanded)],
) -> None:
    """Make the key, once, at one hospital: for the other hospitals, and not for the server."""
    from fedcxr.data.tokens import Tokens, load_key

    if out.exists():
        raise ConfigError(f"{out}: is there already. Name a new file.")
    print(f"Key {Tokens(load_key(out)).fingerprint}: {out}")
    print("Give it to the other hospitals by a way that neither the server nor others read.")


@check_overlap.command()
def digest(
    key: _Key,
    data: Annotated[
        Path,
        typer.Option(
            help="site.csv and images, CheXpert or NIH; or the server's folder.",
            metavar="DIR",
            parser=expanded,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="The file to write, named after the site: site-00.tokens.",
            metavar="FILE",
            parser=expanded,
        ),
    ],
) -> None:
    """Write a site's patients as tokens, which may be shown to the server and the other sites."""
    from fedcxr.data.tokens import load_key
    from partitions.compared_patients import is_server_folder, patients_in
    from partitions.overlap import SUFFIX, token_set, write_token_set
    from partitions.plan_folder import GLOBAL, SITE_ID

    name = out.name.removesuffix(SUFFIX)
    if not out.name.endswith(SUFFIX) or not SITE_ID.fullmatch(name):
        raise ConfigError(f"--out {out}: name it after the site in the plan, as site-00{SUFFIX}.")
    if is_server_folder(data) != (name == GLOBAL):
        raise ConfigError(
            f"--out {out}: the server's validation and test patients are {GLOBAL}{SUFFIX}, and "
            "no site has that name."
        )
    secret = load_key(key, make=False)
    found = token_set(name, patients_in(data, secret), secret)
    write_token_set(found, out)
    print(f"{len(found.tokens):,} patients under key {found.key}: {out}")


@check_overlap.command()
def compare(
    files: Annotated[
        list[Path],
        typer.Argument(help="One file of tokens a site.", metavar="FILE...", parser=expanded),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the result here, for `fedcxr run --overlap`.",
            metavar="FILE",
            parser=expanded,
        ),
    ] = None,
) -> None:
    """Tell which sites share how many patients; exits with 3 if any do."""
    from partitions.overlap import compare as compare_sets
    from partitions.overlap import read_token_set, write_comparison

    found = compare_sets([read_token_set(file) for file in files])
    for name, count in found.sets.items():
        print(f"{name}: {count:,} patients")
    for one in found.shared:
        print(f"{one.first} and {one.second} share {one.patients:,}")
    if not found.shared:
        print(f"No two share a patient ({found.pairs_checked:,} pairs compared).")
    if out is not None:
        write_comparison(found, out)
        print(f"Result: {out}")
    if found.shared:
        raise typer.Exit(DataError.exit_code)
