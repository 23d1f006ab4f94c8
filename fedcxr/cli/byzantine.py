"""`fedcxr byzantine`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fedcxr.cli import options as o
from fedcxr.cli.compare import showing_progress
from fedcxr.cli.flags import RUN_FLAGS, config_from_flags, takes_flags
from fedcxr.collector import quick_imports
from fedcxr.engines.fork_server import fork_server

STUDY = {
    "model.image_size": 32,
    "partition.clients": 10,
    "train.local_epochs": 1,
    "train.batch_size": 16,
    "server.rounds": 8,
    "compare.seeds": 1,
}
"""What a study has where file and flags say nothing else: minutes on two cores."""
SYNTHETIC = {
    "data.synthetic.patients": 800,
    "data.synthetic.size_px": 48,
    # what a small network learns of few images, so that there is something to lose
    "data.labels": ["Cardiomegaly", "Edema", "Pleural Effusion"],
}
"""What it has besides where no data are given."""
_TRAININGS = "fedcxr.experiments.compare.trainings"


def byzantine(
    preset: o.Preset = "quickstart",
    config: o.ConfigFile = None,
    settings: o.Settings = None,
    attacks: Annotated[
        str, typer.Option(help="Comma-separated, each beside none.", rich_help_panel="Study")
    ] = "sign-flip,scaling,alie,label-flip",
    aggregators: Annotated[
        str,
        typer.Option(
            help="Comma-separated; with +bound also with the bound on an update's length.",
            rich_help_panel="Study",
        ),
    ] = "mean,mean+bound,median,trimmed-mean,krum,multi-krum",
    attackers: Annotated[
        float, typer.Option(help="Share of the sites that is hostile.", rich_help_panel="Study")
    ] = 0.2,
    alie_z: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Standard deviations that ALIE moves; default by its paper's formula.",
            rich_help_panel="Study",
        ),
    ] = None,
    quiet: o.Quiet = False,
    **flags: Any,  # noqa: ANN401  # each flag's own type is its key's
) -> None:
    """Try ways of aggregation against hostile sites, in a simulation.

    Trains with each aggregator, without an attack and under each, and says what AUROC is lost.
    Ctrl-C keeps what was reached; go on with `fedcxr resume FOLDER`.
    """
    own = STUDY if flags["data"] else {**STUDY, **SYNTHETIC}
    resolved = config_from_flags(
        flags, preset=preset, file=config, settings=settings or [], verb=own
    )
    fork_server(_TRAININGS, "clients.app")  # imports for the trainings while this process does
    with quick_imports():
        from fedcxr.experiments.byzantine.byzantine_study import study_hostile_sites
        from fedcxr.experiments.byzantine.design import Design

    design = Design(
        defences=tuple(_listed(aggregators)),
        attacks=tuple(_listed(attacks)),
        share=attackers,
        deviations=alie_z,
    )
    with showing_progress(quiet) as (on_start, on_progress):
        folder = study_hostile_sites(resolved, design, on_start=on_start, on_progress=on_progress)
    print_byzantine(folder)


def print_byzantine(folder: Path) -> None:
    """Print the AUROC of each aggregator under each attack, what follows, and the page."""
    from fedcxr.report import byzantine_words as words
    from fedcxr.report.wording import fixed
    from fedcxr.results.byzantine import read_byzantine

    study = read_byzantine(folder)
    width = max(map(len, study.defences)) + 2
    print(" " * width + "".join(f"{attack.title:>18}" for attack in study.attacks))
    for defence in study.defences:
        cells = (study.cell(defence, attack.name) for attack in study.attacks)
        texts = [
            words.drop_text(None)
            if cell.auroc.value is None
            else f"{fixed(cell.auroc.value)} ({words.drop_text(cell.drop)})"
            for cell in cells
        ]
        print(f"{defence:{width}}" + "".join(f"{text:>18}" for text in texts))
    print(words.sentence(study))
    for more in (words.verdict(study), *words.notices(study)):
        if more is not None:
            print(more)
    print(f"Report: {folder / 'report.html'}")


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


takes_flags(byzantine, [*RUN_FLAGS, "seeds", "at_once"])
