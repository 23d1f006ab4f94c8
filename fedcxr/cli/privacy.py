"""`fedcxr privacy`."""

from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.collector import quick_imports
from fedcxr.errors import ConfigError

if TYPE_CHECKING:
    from fedcxr.privacy.accounting import Account, Sampling

privacy = typer.Typer(no_args_is_help=True, help="What differential privacy costs, in numbers.")


@privacy.callback()
def about() -> None:
    """What differential privacy costs, in numbers."""


@privacy.command()
def account(
    patients: Annotated[int, typer.Option(help="Of the site; the unit of what is protected.")],
    batch: Annotated[int, typer.Option(help="Patients a step takes, on average.")],
    delta: Annotated[float, typer.Option(help="δ; below 1/patients.")],
    noise: Annotated[
        float | None, typer.Option(help="σ: the noise's deviation over the clipping bound.")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="The ε to find σ for, in place of --noise.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Of the whole training.")] = None,
    rounds: Annotated[int | None, typer.Option(help="In place of --epochs; with --steps.")] = None,
    steps: Annotated[int | None, typer.Option(help="Of a round.")] = None,
) -> None:
    """Say what ε a noise gives, or what noise an ε needs, by RDP and by PRV. Trains nothing."""
    if (noise is None) == (epsilon is None):
        raise ConfigError("Give one of --noise and --epsilon: the other is computed.")
    with quick_imports():
        from fedcxr.privacy import accounting

    total = _steps(patients, batch, epochs=epochs, rounds=rounds, steps=steps)
    sampling = accounting.Sampling(patients, batch, total, delta)
    if noise is not None:
        print_account(sampling, {"as given": accounting.account(sampling, noise)})
    if epsilon is not None:
        by_rdp, by_prv = accounting.noise_for(sampling, epsilon)
        print_account(
            sampling, {f"ε ≤ {epsilon:g} by RDP": by_rdp, f"ε ≤ {epsilon:g} by PRV": by_prv}
        )


def print_account(sampling: "Sampling", accounts: dict[str, "Account"]) -> None:
    """Print a line a noise, then what the numbers are of, for whom, and against whom."""
    print(
        f"{sampling.patients:,} patients, {sampling.batch:,} a step on average "
        f"(q = {sampling.rate:.3g}), {sampling.steps:,} steps, δ = {sampling.delta:g}"
    )
    print()
    print(f"{'noise σ':>9}{'ε by RDP':>11}{'ε by PRV':>11}")
    for name, each in accounts.items():
        prv = "–" if each.prv is None else f"{each.prv:#.3g}"
        print(f"{each.noise:>9.4g}{each.rdp:>#11.3g}{prv:>11}   {name}")
    print()
    print(
        "Of one patient, with all images: whether they are among these patients or not (added or "
        "removed). Against anyone who sees every noised step or the model made of them, the "
        "server as well, but not the site itself."
    )
    print(
        "It holds for a training that takes each patient by chance, independently of the others, "
        "clips what the patient as a whole contributes, and keeps the noise to itself. fedcxr does "
        "not train so yet: this is arithmetic, and no run of it has an ε."
    )
    if any(each.prv is None for each in accounts.values()):
        from fedcxr.privacy.accounting import MAX_EPSILON

        print(
            f"–: PRV is not computed for an ε above {MAX_EPSILON:g}, and where the accountant's "
            "own check of its precision fails."
        )


def _steps(
    patients: int, batch: int, *, epochs: int | None, rounds: int | None, steps: int | None
) -> int:
    """Return the steps of the whole training; `ConfigError` if they are given twice or not."""
    from fedcxr.privacy.accounting import steps_of_epochs

    if epochs is not None and rounds is None and steps is None:
        return steps_of_epochs(epochs, patients, batch)
    if epochs is None and rounds is not None and steps is not None:
        if rounds < 1 or steps < 1:
            raise ConfigError(f"--rounds {rounds} --steps {steps}: expected at least 1 of each.")
        return rounds * steps
    raise ConfigError("Give --epochs, or --rounds with --steps: how long is trained.")
