"""`fedcxr simulate`."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli.flags import KEYS, config_from_flags

_DATA = "Data"
_PARTITION = "Partition"
_TRAINING = "Training"
_ENGINE = "Engine"


def _option(text: str, panel: str) -> typer.models.OptionInfo:
    found: typer.models.OptionInfo = typer.Option(help=text, rich_help_panel=panel)
    return found


def simulate(
    preset: Annotated[str, typer.Option(help="quickstart, chexpert or nih14.")] = "quickstart",
    config: Annotated[Path | None, typer.Option(help="A YAML file over the preset.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any key: train.learning_rate=3e-4.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Part of the run folder's name.")] = None,
    seed: Annotated[int | None, typer.Option(help="Root of all random streams.")] = None,
    runs_dir: Annotated[str | None, typer.Option(help="Where run folders go.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the result only.")] = False,
    data: Annotated[
        str | None, _option("CheXpert or NIH ChestX-ray14 folder; none = synthetic.", _DATA)
    ] = None,
    views: Annotated[str | None, _option("frontal or all.", _DATA)] = None,
    labels: Annotated[str | None, _option("Comma-separated; default all 14.", _DATA)] = None,
    score_by: Annotated[str | None, _option("image or study.", _DATA)] = None,
    uncertain: Annotated[str | None, _option("-1 becomes: ignore, zeros, ones.", _DATA)] = None,
    partition: Annotated[str | None, _option("Use this partition folder.", _PARTITION)] = None,
    clients: Annotated[int | None, _option("Number of sites.", _PARTITION)] = None,
    scheme: Annotated[str | None, _option("iid or dirichlet.", _PARTITION)] = None,
    alpha: Annotated[float | None, _option("Dirichlet: small = uneven.", _PARTITION)] = None,
    rounds: Annotated[int | None, _option("Communication rounds.", _TRAINING)] = None,
    fraction: Annotated[float | None, _option("Share of sites a round.", _TRAINING)] = None,
    local_epochs: Annotated[int | None, _option("Epochs a round.", _TRAINING)] = None,
    batch_size: Annotated[int | None, _option("Images a step.", _TRAINING)] = None,
    learning_rate: Annotated[float | None, _option("Of Adam.", _TRAINING)] = None,
    model: Annotated[
        str | None,
        _option(
            "densenet_small, densenet121, resnet50, alexnet, efficientnet_b0, vit_b_16.", _TRAINING
        ),
    ] = None,
    image_size: Annotated[int | None, _option("Pixels a side.", _TRAINING)] = None,
    weights: Annotated[str | None, _option("none, imagenet or a file.", _TRAINING)] = None,
    normalization: Annotated[str | None, _option("preset, image, pooled.", _TRAINING)] = None,
    batch_norm: Annotated[str | None, _option("average, local, frozen.", _TRAINING)] = None,
    engine: Annotated[str | None, _option("local or ray.", _ENGINE)] = None,
    workers: Annotated[int | None, _option("Clients at once.", _ENGINE)] = None,
    threads_per_client: Annotated[int | None, _option("Default 1.", _ENGINE)] = None,
    device: Annotated[str | None, _option("auto, cpu, cuda, cuda:N.", _ENGINE)] = None,
    precision: Annotated[str | None, _option("auto, fp32, bf16.", _ENGINE)] = None,
    ray_address: Annotated[str | None, _option("A running Ray cluster.", _ENGINE)] = None,
) -> None:
    """Train a federation of simulated hospitals and write its report.

    Without `--data` a synthetic data set is made. Ctrl-C keeps what was reached; go on with
    `fedcxr resume RUN`.
    """
    given = {flag: value for flag, value in locals().items() if flag in KEYS}
    resolved = config_from_flags(given, preset=preset, file=config, settings=settings or [])

    from fedcxr.cli.outcome import print_outcome, progress_for
    from fedcxr.experiments.simulate import simulate as run_simulation

    with progress_for(quiet) as follow:
        run = run_simulation(resolved, on_start=follow)
    print_outcome(run.path, run.summary)
