"""`fedcxr attack inversion`: the images that a site's updates give away."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.bar import progress_bar
from fedcxr.collector import quick_imports
from fedcxr.errors import ConfigError
from fedcxr.home import expanded

if TYPE_CHECKING:  # torch: too heavy for `fedcxr --help`
    from fedcxr.experiments.inversion.attacked_site import AttackedSite

WITHOUT_RUN = {
    "data.synthetic.patients": 400,
    "partition.clients": 2,
}
"""Of the run that would be made, where none is given."""
SIZE_PX, MODEL = 64, "densenet_small"


RunOrNone = Annotated[
    Path | None,
    typer.Argument(
        help="The run folder; none = synthetic data and an untrained network.",
        metavar="RUN",
        parser=expanded,
    ),
]
Site = Annotated[str | None, typer.Option(help="Default the first.")]
Round = Annotated[
    int, typer.Option("--round", min=0, help="Whose model the site is sent; 0 = the initial one.")
]
Images = Annotated[int, typer.Option(help="Of different patients, to attack.")]
Protections = Annotated[
    str, typer.Option(help="Comma-separated: none, local, frozen, group, dp, sum.")
]
Method = Annotated[str, typer.Option(help="auto, cosine, layers or tokens.")]
Steps = Annotated[int, typer.Option(help="Of a search.")]
Restarts = Annotated[int, typer.Option(help="Searches; the best counts.")]
Statistics = Annotated[
    float, typer.Option(help="Weight of batch-norm statistics that are sent; 0 = without.")
]
PerUpdate = Annotated[int, typer.Option(help="Images that a site trains on.")]
BatchSize = Annotated[
    int | None, typer.Option(help="Images of a site's step; default all of the update's.")
]
LearningRate = Annotated[float, typer.Option(help="Between a site's steps.")]
Cohort = Annotated[int, typer.Option(help="Sites in a sum.")]
Clip = Annotated[float, typer.Option(help="C of dp: an image's longest gradient.")]
Noise = Annotated[float, typer.Option(help="σ of dp: the noise over C.")]
Crafted = Annotated[
    bool, typer.Option("--crafted", help="The server sends a head of random numbers.")
]
SizePx = Annotated[int | None, typer.Option(help="Without a run: default 64.")]
Model = Annotated[str | None, typer.Option(help="Without a run: default densenet_small.")]
Seed = Annotated[int | None, typer.Option(help="Without a run: default 0.")]


def inversion(
    run: RunOrNone = None,
    site: Site = None,
    round_num: Round = 0,
    images: Images = 8,
    protection: Protections = "none,frozen,dp,sum",
    method: Method = "auto",
    steps: Steps = 300,
    restarts: Restarts = 1,
    statistics: Statistics = 0.01,
    per_update: PerUpdate = 1,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = 1e-3,
    cohort: Cohort = 8,
    clip: Clip = 1.0,
    noise: Noise = 1.0,
    crafted: Crafted = False,
    size_px: SizePx = None,
    model: Model = None,
    seed: Seed = None,
) -> None:
    """Guess a site's images anew from its updates, through each protection, and say how near.

    Writes RUN/attacks/inversion/, which holds images of patients; without a run a folder in runs/.
    """
    with quick_imports():
        from fedcxr.experiments.inversion.attack_inversion import attack_inversion
        from fedcxr.experiments.inversion.design import InversionDesign

    design = InversionDesign(
        images=images,
        protections=tuple(name.strip() for name in protection.split(",") if name.strip()),
        method=method,
        steps=steps,
        restarts=restarts,
        statistics=statistics,
        per_update=per_update,
        batch_size=batch_size,
        learning_rate=learning_rate,
        cohort=cohort,
        clip=clip,
        noise=noise,
        crafted=crafted,
    )
    design.check()
    with progress_bar("Opening the site") as show:
        attacked, folder = _opened(run, site, round_num, size_px=size_px, model=model, seed=seed)
        page = attack_inversion(attacked, design, folder, show or (lambda what, done, total: None))
    print_inversion(page.parent)


def print_inversion(folder: Path) -> None:
    """Print what was found, and where the page is."""
    from fedcxr.report import inversion_words as words
    from fedcxr.results.inversion import read_inversion

    result = read_inversion(folder)
    print(words.sentence(result))
    for text in (words.verdict(result), *words.notices(result)):
        print(text)
    print()
    for found in result.inversions:
        print(words.line(found))
    for mix in result.label_mix:
        print(words.mix_line(mix))
    print(f"Report: {folder / 'report.html'}")


def _opened(
    run: Path | None,
    site: str | None,
    round_num: int,
    *,
    size_px: int | None,
    model: str | None,
    seed: int | None,
) -> tuple["AttackedSite", Path]:
    """Return the site to attack, and the folder for what is found."""
    from fedcxr.config.load import load_config
    from fedcxr.experiments.inversion.attack_inversion import FOLDER
    from fedcxr.experiments.inversion.attacked_site import AttackedSite
    from fedcxr.runs.folder import new_folder

    if run is not None:
        _refuse(size_px=size_px, model=model, seed=seed)
        return AttackedSite.of_run(run, site, round_num), run / FOLDER
    if round_num:
        raise ConfigError(f"--round {round_num}: without a run there is only the first, 0.")
    side = SIZE_PX if size_px is None else size_px
    given = {
        "model.image_size": side,
        "data.synthetic.size_px": max(side, 48),
        "model.name": model or MODEL,
        "seed": seed or 0,
    }
    config = load_config(overrides={**WITHOUT_RUN, **given})
    attacked = AttackedSite.of_config(config, site)
    return attacked, new_folder(Path(config.runs_dir), "inversion") / FOLDER


def _refuse(**given: object) -> None:
    """Raise ConfigError for what a run has of its own."""
    wrong = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if wrong:
        raise ConfigError(f"{', '.join(wrong)}: a run has its own. Leave it out, or RUN.")
