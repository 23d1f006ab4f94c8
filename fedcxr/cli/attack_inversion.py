"""`fedcxr attack inversion`: the images that a site's updates give away."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli.bar import progress_bar
from fedcxr.collector import quick_imports
from fedcxr.errors import ConfigError
from fedcxr.home import expanded

WITHOUT_RUN = {
    "data.synthetic.patients": 400,
    "partition.clients": 2,
}
"""Of the run that would be made, where none is given."""
SIZE_PX, MODEL = 64, "densenet_small"


def inversion(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="The run folder; none = synthetic data and an untrained network.",
            metavar="RUN",
            parser=expanded,
        ),
    ] = None,
    site: Annotated[str | None, typer.Option(help="Default the first.")] = None,
    round_num: Annotated[
        int,
        typer.Option("--round", min=0, help="Whose model the site is sent; 0 = the initial one."),
    ] = 0,
    images: Annotated[int, typer.Option(help="Of different patients, to attack.")] = 8,
    protection: Annotated[
        str, typer.Option(help="Comma-separated: none, frozen, group, dp, sum.")
    ] = "none,frozen,dp,sum",
    method: Annotated[str, typer.Option(help="auto, cosine, layers or tokens.")] = "auto",
    steps: Annotated[int, typer.Option(help="Of a search.")] = 300,
    restarts: Annotated[int, typer.Option(help="Searches; the best counts.")] = 1,
    statistics: Annotated[
        float, typer.Option(help="Weight of batch-norm statistics that are sent; 0 = without.")
    ] = 0.01,
    per_update: Annotated[int, typer.Option(help="Images that a site trains on.")] = 1,
    batch_size: Annotated[
        int | None, typer.Option(help="Images of a site's step; default all of the update's.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Between a site's steps.")] = 1e-3,
    cohort: Annotated[int, typer.Option(help="Sites in a sum.")] = 8,
    clip: Annotated[float, typer.Option(help="C of dp: an image's longest gradient.")] = 1.0,
    noise: Annotated[float, typer.Option(help="σ of dp: the noise over C.")] = 1.0,
    crafted: Annotated[
        bool, typer.Option("--crafted", help="The server sends a head of random numbers.")
    ] = False,
    size_px: Annotated[int | None, typer.Option(help="Without a run: default 64.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Without a run: default densenet_small.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Without a run: default 0.")] = None,
) -> None:
    """Guess a site's images anew from its updates, through each protection, and say how near.

    Writes RUN/attacks/inversion/, which holds images of patients; without a run a folder in runs/.
    """
    with quick_imports():
        from fedcxr.config.load import load_config
        from fedcxr.experiments.inversion.attack_inversion import FOLDER, attack_inversion
        from fedcxr.experiments.inversion.attacked_site import AttackedSite
        from fedcxr.experiments.inversion.design import InversionDesign
        from fedcxr.runs.folder import new_folder

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
        if run is not None:
            _refuse(size_px=size_px, model=model, seed=seed)
            attacked, folder = AttackedSite.of_run(run, site, round_num), run / FOLDER
        else:
            if round_num:
                raise ConfigError(f"--round {round_num}: without a run there is only the first, 0.")
            config = load_config(
                overrides={
                    **WITHOUT_RUN,
                    "model.image_size": size_px or SIZE_PX,
                    "data.synthetic.size_px": max(size_px or SIZE_PX, 48),
                    "model.name": model or MODEL,
                    "seed": seed or 0,
                }
            )
            attacked = AttackedSite.of_config(config, site)
            folder = new_folder(Path(config.runs_dir), "inversion") / FOLDER
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


def _refuse(**given: object) -> None:
    """Raise ConfigError for what a run has of its own."""
    wrong = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if wrong:
        raise ConfigError(f"{', '.join(wrong)}: a run has its own. Leave it out, or RUN.")
