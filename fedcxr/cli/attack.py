"""`fedcxr attack`: what a finished run gives away."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli import options as o
from fedcxr.cli.attack_inversion import inversion
from fedcxr.cli.bar import progress_bar
from fedcxr.collector import quick_imports

attack = typer.Typer(
    no_args_is_help=True, help="Attack a finished run, to know what it gives away."
)


@attack.callback()
def about() -> None:
    """Attack a finished run, to know what it gives away."""


attack.command()(inversion)


@attack.command()
def membership(
    run: o.Run,
    target: Annotated[
        str, typer.Option(help="model: the run's; vae: those that its sites trained.")
    ] = "model",
    attackers: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: outsider (default), server, client; of a VAE holder, recipient "
            "(default both)."
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: loss, lira-online, lira-offline, rmia; of a VAE "
            "reconstruction, elbo, calibrated, nearest, monte-carlo; default all that can be used."
        ),
    ] = None,
    shadows: Annotated[
        int, typer.Option(help="Models to train as the attacker's own: 0, 4 or 64, say.")
    ] = 0,
    site: Annotated[
        str | None, typer.Option(help="Whose patients; of a client, which one it is.")
    ] = None,
) -> None:
    """Ask of each patient whether the run was trained on them, and say how often that is right.

    Writes RUN/attacks/membership/, of a VAE RUN/attacks/membership-vae/. Shadow models are kept
    there: a stopped attack goes on.
    """
    with quick_imports():
        from fedcxr.experiments.membership.attack_membership import (
            MembershipDesign,
            attack_membership,
        )

    design = MembershipDesign(
        attackers=None if attackers is None else _listed(attackers),
        methods=None if methods is None else _listed(methods),
        shadows=shadows,
        site=site,
        target=target,
    )
    with progress_bar("Opening the run") as show:
        page = attack_membership(
            run,
            design,
            lambda done, total: show("Training shadow models", done, total) if show else None,
        )
    print_membership(page.parent)


def print_membership(folder: Path) -> None:
    """Print what was found, and where the page is."""
    from fedcxr.report import membership_words as words
    from fedcxr.results.membership import read_membership

    result = read_membership(folder)
    print(words.sentence(result))
    for more in (words.verdict(result), *words.notices(result)):
        print(more)
    print()
    for each in result.attacks:
        print(words.line(each))
    for text in words.identified_lines(result):
        print(text)
    print(f"Report: {folder / 'report.html'}")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
