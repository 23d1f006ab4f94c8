"""`fedcxr privacy-sweep`."""

import math
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from fedcxr.cli import options as o
from fedcxr.cli.bar import progress_bar
from fedcxr.cli.compare import showing_progress
from fedcxr.cli.flags import FLAGS, RUN_FLAGS, config_from_flags, takes_flags
from fedcxr.collector import quick_imports
from fedcxr.engines.fork_server import fork_server
from fedcxr.errors import ConfigError

STUDY = {
    "model.image_size": 32,
    "partition.clients": 3,
    "train.local_epochs": 1,
    "train.batch_size": 32,
    "server.rounds": 5,
    "server.batch_norm": "group",
    "compare.seeds": 3,
    "compare.arms": ["federated"],
    "explain.images_per_outcome": 0,
    "explain.max_boxes": 0,
}
"""What a sweep has where file and flags say nothing else."""
SYNTHETIC = {
    "data.synthetic.patients": 800,
    "data.synthetic.size_px": 48,
    # what a small network learns of few images, so that there is something to lose
    "data.labels": ["Cardiomegaly", "Edema", "Pleural Effusion"],
}
"""What it has besides where no data are given."""
_PANEL = "Sweep"
Epsilons = Annotated[
    str,
    typer.Option(
        help="Comma-separated budgets, each an arm; inf is always there.", rich_help_panel=_PANEL
    ),
]
Levels = Annotated[
    str,
    typer.Option(
        help="Comma-separated: who is protected, each at each budget: patient, client, update.",
        rich_help_panel=_PANEL,
    ),
]
Places = Annotated[
    str,
    typer.Option(
        help="Comma-separated: federated, centralized (under patient alone).",
        rich_help_panel=_PANEL,
    ),
]
Inversion = Annotated[
    bool,
    typer.Option(
        "--inversion/--no-inversion",
        help="Invert a few updates of each protection: half a minute each.",
        rich_help_panel=_PANEL,
    ),
]
_TRAININGS = "fedcxr.experiments.compare.trainings"
_SWEPT = ("privacy.level", "privacy.epsilon", "privacy.noise")


def privacy_sweep(
    preset: o.Preset = "quickstart",
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    epsilon: Epsilons = "1,3,6,8,inf",
    level: Levels = "patient",
    arms: Places = "federated,centralized",
    inversion: Inversion = True,
    quiet: o.Quiet = False,
    **flags: Any,  # noqa: ANN401  # each flag's own type is its key's
) -> None:
    """Draw what privacy costs: AUROC with intervals against ε, on the same held-out patients.

    Ctrl-C keeps what was reached; go on with `fedcxr resume FOLDER`.
    """
    own = STUDY if flags["data"] else {**STUDY, **SYNTHETIC}
    resolved = config_from_flags(
        flags, preset=preset, file=config, settings=settings or [], verb=own
    )
    budgets = _budgets(epsilon)
    fork_server(_TRAININGS, "clients.app")  # imports for the trainings while this process does
    with quick_imports():
        from fedcxr.experiments.sweep.attacks import INVERSION
        from fedcxr.experiments.sweep.privacy_sweep import sweep_privacy

    with showing_progress(quiet) as (on_start, on_progress):
        folder = sweep_privacy(
            resolved,
            epsilons=budgets,
            levels=_listed(level),
            places=_listed(arms),
            inversion=INVERSION if inversion else None,
            on_start=on_start,
            on_progress=on_progress,
        )
    draw_curve(folder, quiet=quiet)
    print_sweep(folder)


def draw_curve(folder: Path, *, quiet: bool) -> Path:
    """Attack what was trained and write the curve, with a bar; return the page."""
    from fedcxr.experiments.sweep.attacks import silent
    from fedcxr.experiments.sweep.privacy_sweep import write_curve

    with nullcontext() if quiet else progress_bar("Attacking") as show:
        return write_curve(folder, show or silent)


def print_sweep(folder: Path) -> None:
    """Print AUROC and cost of every arm, what inverted updates give away, and the page."""
    from fedcxr.report.sweep_page import PAGE, cost_sentence, inversion_sentence
    from fedcxr.results.privacy_sweep import read_sweep

    sweep = read_sweep(folder)
    for point in sweep.points:
        print(cost_sentence(point))
    for sentence in filter(None, map(inversion_sentence, sweep.points)):
        print(sentence)
    print(f"Curve: {folder / PAGE}")
    print(f"Report: {folder / 'report.html'}")


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _budgets(text: str) -> list[float]:
    """Return the finite budgets; ∞ is the arm that every sweep has."""
    found = []
    for part in text.split(","):
        try:
            found.append(float(part))
        except ValueError as err:
            raise ConfigError(
                f"--epsilon {text}: {part.strip()!r} is no number. Give some like 1,3,8,inf."
            ) from err
    wrong = [each for each in found if not each > 0]
    if wrong:
        raise ConfigError(f"--epsilon {text}: {wrong[0]:g} is not above 0.")
    return [each for each in found if not math.isinf(each)]


takes_flags(
    privacy_sweep,
    [
        *(name for name in RUN_FLAGS if FLAGS[name].key not in _SWEPT),
        "seeds",
        "at_once",
    ],
)
