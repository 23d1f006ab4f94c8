"""`fedcxr audit`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.bar import progress_bar
from fedcxr.collector import quick_imports
from fedcxr.errors import ConfigError, RunError
from fedcxr.home import expanded

if TYPE_CHECKING:
    from fedcxr.experiments.audit_dp import Audited
    from fedcxr.privacy.accounting import Account, Sampling
    from fedcxr.privacy.trial import Trial

DEFAULT_EPSILON = 2.0

audit = typer.Typer(no_args_is_help=True, help="Try to contradict what is promised.")


@audit.callback()
def about() -> None:
    """Try to contradict what is promised."""


@audit.command()
def dp(
    canaries: Annotated[int, typer.Option(help="Patients made to be recognised.")] = 1_000,
    patients: Annotated[int, typer.Option(help="Of the site, canaries among them.")] = 2_000,
    batch: Annotated[int, typer.Option(help="Patients a step takes, on average.")] = 200,
    steps: Annotated[int, typer.Option(help="Of the whole training.")] = 100,
    epsilon: Annotated[
        float | None, typer.Option(help="The ε to find σ for; 2 if nothing is given.")
    ] = None,
    noise: Annotated[float | None, typer.Option(help="σ, in place of --epsilon.")] = None,
    delta: Annotated[
        float | None, typer.Option(help="δ; by default a tenth of 1/patients.")
    ] = None,
    guesses: Annotated[int, typer.Option(help="Of the canaries, the surest ones.")] = 200,
    broken: Annotated[
        str | None,
        typer.Option(
            help="Audit one broken on purpose: no-noise, quarter-noise, no-clipping, "
            "image-clipping, mean-clipping or server-seed."
        ),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--all", help="The right one 20 times, every broken one 10 times.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of canaries, draws and noise.")] = 0,
    out: Annotated[
        Path, typer.Option(help="The result, JSON.", metavar="FILE", parser=expanded)
    ] = Path("audit.json"),
) -> None:
    """Audit DP-SGD's own step with canaries, in one run: is its ε contradicted?

    Exit code 6 if it is, or if a mechanism broken on purpose is not found though it must be.
    """
    with quick_imports():
        from fedcxr.experiments import audit_dp as audits
        from fedcxr.privacy.accounting import Sampling
        from fedcxr.privacy.breaches import BROKEN
        from fedcxr.privacy.trial import Trial

    if whole and broken is not None:
        raise ConfigError("Give one of --all and --broken: --all audits every broken one.")
    if broken is not None and broken not in BROKEN:
        raise ConfigError(f"--broken {broken}: expected one of {', '.join(BROKEN)}.")
    delta = 0.1 / max(1, patients) if delta is None else delta
    sampling = Sampling(patients, batch, steps, delta)
    claim = _claim(sampling, epsilon=epsilon, noise=noise)
    trial = Trial(sampling, claim.noise, canaries, guesses)
    _print_head(trial, claim)
    numbers = audits.all_variants() if whole else {broken or audits.AS_IT_IS_NAME: 1}
    found: list[Audited] = []
    with progress_bar("Auditing") as show:
        for each in audits.audit_mechanisms(
            trial, numbers, seed, show=show or (lambda what, done, total: None)
        ):
            found.append(each)
            print(_row(each), flush=True)
    audits.write_audits(out, trial, seed, found)
    print(f"\n{out}")
    wrong = [each for each in found if not each.is_as_it_should_be]
    if wrong:
        raise RunError(" ".join(map(_complaint, wrong)))


def _claim(sampling: "Sampling", *, epsilon: float | None, noise: float | None) -> "Account":
    """Return the noise to audit, and what is claimed of it."""
    from fedcxr.privacy.accounting import account, noise_for

    if epsilon is not None and noise is not None:
        raise ConfigError("Give one of --noise and --epsilon: the other is computed.")
    if noise is not None:
        return account(sampling, noise)
    return noise_for(sampling, DEFAULT_EPSILON if epsilon is None else epsilon)[1]


def _print_head(trial: "Trial", claim: "Account") -> None:
    sampling = trial.sampling
    prv = "not computed" if claim.prv is None else f"{claim.prv:#.3g}"
    print(
        f"{trial.canaries:,} canaries among {sampling.patients:,} patients, {sampling.batch:,} a "
        f"step on average (q = {sampling.rate:.3g}), {sampling.steps:,} steps, σ = "
        f"{trial.noise:.4g}, δ = {sampling.delta:g}\n"
        f"Claimed ε: {claim.rdp:#.3g} by RDP, {prv} by PRV. ε̂: what the guesses prove at 95 %.\n"
    )
    print(f"{'mechanism':<46}{'ε̂':>8}{'right':>14}{'ε̂ > ε':>12}{'power':>9}")


def _row(each: "Audited") -> str:
    """Return a line: of several audits the largest ε̂ of the right one, the smallest of a broken."""
    pick = min if each.is_broken else max
    told = pick(each.audits, key=lambda audit: audit.lower_bound)
    title = f"{each.title} (broken)" if each.is_broken else each.title
    right = f"{told.right:,} of {told.made:,}"
    above = f"{each.contradicted} of {len(each.audits)}"
    return f"{title:<46}{told.lower_bound:>8.2f}{right:>14}{above:>12}{100 * each.power:>7.1f} %"


def _complaint(each: "Audited") -> str:
    if each.is_broken:
        return (
            f"{each.title}: found in {each.contradicted} of {len(each.audits)} audits, though the "
            f"power is {100 * each.power:.1f} %. The audit does not do what it promises; report it."
        )
    return (
        f"The mechanism's ε is contradicted in {each.contradicted} of {len(each.audits)} audits. "
        "Trust no ε of this version; report it with the file and the command."
    )
