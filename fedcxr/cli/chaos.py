"""`fedcxr chaos`."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.collector import quick_imports
from fedcxr.errors import ConfigError, RunError
from fedcxr.home import expanded

if TYPE_CHECKING:  # flwr: too heavy for `fedcxr --help`
    from fedcxr.experiments.chaos import Outcome

_ROW = "{:>5}  {:20}  {:28}  {:>10}  {:>7}  {:>5}  {:>7}  {}"


def chaos(
    trials: Annotated[int, typer.Option(min=1, help="Runs that are disturbed.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of what is done when.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Keep kits, runs and logs in this new folder.", metavar="DIR", parser=expanded
        ),
    ] = None,
) -> None:
    """Kill and freeze a deployment on this machine at random instants: exit code 6 if it matters.

    A server that is kept and three clients as real processes on loopback, with synthetic data. A
    trial takes about a minute on two cores.
    """
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out}: is there already. Name a new folder.")
    with quick_imports():
        from fedcxr.experiments.chaos import run_chaos

    folder = out or Path(tempfile.mkdtemp(prefix="fedcxr-chaos-"))
    head = ("trial", "what", "when", "next round", "missing", "same", "seconds", "")
    print(_ROW.format(*head).rstrip(), flush=True)
    try:
        outcomes = run_chaos(trials, seed, folder, _show)
    finally:
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
    good = sum(not outcome.faults for outcome in outcomes)
    print(f"{good} of {trials} trials passed.")
    if good < trials:
        raise RunError(
            "This deployment does not stand what it must (✗ above). --out keeps its logs."
        )


def _show(outcome: "Outcome") -> None:
    fault, soon = outcome.fault, outcome.next_round_s
    whose = fault.site if "client" in fault.kind or "node" in fault.kind else ""
    since = f"round {fault.round_num}" if fault.round_num else "start"
    row = (
        outcome.number,
        fault.kind,
        f"{since} + {fault.after_s:.1f} s {whose}".strip(),
        "–" if soon is None else f"{soon:.1f} s",
        outcome.missing,
        "yes" if outcome.is_equal else "no",
        f"{outcome.seconds:.0f}",
        "✗ " + "; ".join(outcome.faults) if outcome.faults else "✓",
    )
    print(_ROW.format(*row), flush=True)
