"""`fedcxr compare`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedcxr.cli import options as o
from fedcxr.cli.flags import COMPARE_FLAGS, config_from_flags, takes_flags
from fedcxr.cli.outcome import print_sample
from fedcxr.cli.trainings_display import TrainingsDisplay
from fedcxr.collector import quick_imports
from fedcxr.engines.fork_server import fork_server
from fedcxr.errors import ConfigError, StoppedError
from fedcxr.filenames import shell_command
from fedcxr.home import expanded

if TYPE_CHECKING:
    from fedcxr.config.experiment import ExperimentConfig
    from fedcxr.experiments.compare.trainings import TrainingsProgress
    from fedcxr.results.score import Score

_TRAININGS = "fedcxr.experiments.compare.trainings"

ExtraArms = Annotated[
    list[str] | None,
    typer.Option(
        "--arm", help="NAME=FILE or NAME=KEY=VALUE,…: one more arm, over the federation's."
    ),
]


def compare(
    preset: o.Preset = "quickstart",
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    arm: ExtraArms = None,
    quiet: o.Quiet = False,
    **flags: Any,  # noqa: ANN401  # each flag's own type is its key's
) -> None:
    """Compare federated with centralized and local training on the same held-out patients.

    Ctrl-C keeps what was reached; go on with `fedcxr resume FOLDER`.
    """
    run(config_from_flags(flags, preset=preset, file=config, settings=settings or []), arm, quiet)


def run(config: "ExperimentConfig", arms: list[str] | None, quiet: bool) -> None:
    """Run a comparison with progress, and print what it found.

    Args:
        config: of it.
        arms: of the user's own, as `--arm` has them.
        quiet: without progress.
    """
    fork_server(_TRAININGS, "clients.app")  # imports for the trainings while this process does
    with quick_imports():
        from fedcxr.experiments.compare.comparing import compare as run_comparison

    with showing_progress(quiet) as (on_start, on_progress):
        folder = run_comparison(
            config, extra_arms=_extra_arms(arms or []), on_start=on_start, on_progress=on_progress
        )
    print_comparison(folder)


def print_comparison(folder: Path) -> None:
    """Print each arm's macro AUROC, the differences, what the verdict is about, and the page."""
    from fedcxr.report.added_words import added_notices, vae_notices
    from fedcxr.report.answer_words import sentence as answer
    from fedcxr.report.fairness_words import fairness_notices
    from fedcxr.report.protocol_words import endpoint_sentences, protocol_sentences
    from fedcxr.results.comparison import read_comparison
    from fedcxr.runs.long_predictions import FILE as PREDICTIONS

    found = read_comparison(folder)
    if found.statistics.question == "superiority":
        print(answer(found))
    for arm in found.arms:
        print(f"{arm.title:28} macro AUROC {_with_interval(arm.macro_auroc)}")
    for place, difference in enumerate(found.differences):
        size = _with_interval(difference.macro_auroc, signed=True)
        print(f"{difference.arm} minus {difference.against}: {size}: {difference.verdict.word}")
        reason, power = difference.verdict.reason, difference.power or ""
        if reason not in power:
            print(f"  {reason}")
        if difference.worse_labels:
            print(f"  Worse by their own intervals: {', '.join(difference.worse_labels)}")
        if power and place == 0:  # of the others the page tells
            print(f"  {power}")
    for elsewhere in found.external:
        for difference in elsewhere.differences:
            size = _with_interval(difference.macro_auroc, signed=True)
            print(
                f"On {elsewhere.data.name}, {difference.arm} minus {difference.against}: {size}: "
                f"{difference.verdict.word}"
            )
            print(f"  {difference.verdict.reason}")
    for sentence in (*endpoint_sentences(found), *protocol_sentences(found)):
        print(sentence)
    for notice in (*added_notices(found), *vae_notices(found), *fairness_notices(found)):
        print(f"Warning: {notice}")
    if not (folder / PREDICTIONS).is_file():
        print(f"{PREDICTIONS} is not written: it takes `pip install 'fedcxr[parquet]'`.")
    print(f"Report: {folder / 'report.html'}")


@contextmanager
def showing_progress(
    quiet: bool,
) -> "Iterator[tuple[Callable[[Path], None], Callable[[TrainingsProgress], None]]]":
    """Yield what a comparison is to call with its folder, and with how far it is."""
    folders: list[Path] = []
    display = TrainingsDisplay(is_bar=sys.stderr.isatty())

    def on_start(folder: Path) -> None:
        folders.append(folder)
        print_sample(folder / "partition" / "plan.json")

    try:
        yield on_start, (lambda progress: None) if quiet else display.show
    except KeyboardInterrupt as err:
        display.close()
        where = "Nothing is kept."
        if folders:
            command = shell_command(["fedcxr", "resume", folders[0]])
            where = f"What was reached is kept; go on with: {command}"
        print(f"\nInterrupted. {where}", file=sys.stderr, flush=True)
        raise typer.Exit(StoppedError.exit_code) from err
    finally:
        display.close()


def _extra_arms(arms: list[str]) -> dict[str, Path | list[str]]:
    found: dict[str, Path | list[str]] = {}
    for text in arms:
        name, sign, over = text.partition("=")
        if not sign or not name or not over:
            raise ConfigError(
                f"--arm {text}: expected NAME=FILE or NAME=KEY=VALUE, as in prox=prox.yaml or "
                "prox=algorithm.name=fedprox,algorithm.mu=0.1."
            )
        if name in found:
            raise ConfigError(f"--arm {text}: there is an arm {name} already; choose another name.")
        is_file = "=" not in over or expanded(over).is_file()
        found[name] = expanded(over) if is_file else over.split(",")
    return found


def _with_interval(found: "Score", *, signed: bool = False) -> str:
    if found.value is None:
        return "not defined"
    form = "+.3f" if signed else ".3f"
    ci_text = f" (95 % CI {found.ci[0]:{form}} to {found.ci[1]:{form}})" if found.ci else ""
    return f"{found.value:{form}}{ci_text}"


takes_flags(compare, COMPARE_FLAGS)
