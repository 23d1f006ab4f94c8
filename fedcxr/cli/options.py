"""The flags that several verbs share: each one's type, help and panel, stated once."""

from pathlib import Path
from typing import Annotated

import typer

from fedcxr.home import expanded


def _option(text: str, panel: str, *names: str) -> typer.models.OptionInfo:
    found: typer.models.OptionInfo = typer.Option(*names, help=text, rich_help_panel=panel)
    return found


Run = Annotated[Path, typer.Argument(help="The run folder.", metavar="RUN", parser=expanded)]
RunOrComparison = Annotated[
    Path, typer.Argument(help="A run's or a comparison's folder.", metavar="RUN", parser=expanded)
]

_DATA = "Data"
_PARTITION = "Partition"
_TRAINING = "Training"
_COMPARISON = "Comparison"
_ENGINE = "Engine"

Preset = Annotated[str, typer.Option(help="quickstart, chexpert, chexpert-best or nih14.")]
ConfigFile = Annotated[
    Path | None, typer.Option(help="A YAML file over the preset.", metavar="FILE", parser=expanded)
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Any key: train.learning_rate=3e-4.")
]
Name = Annotated[str | None, typer.Option(help="Part of the run folder's name.")]
Seed = Annotated[int | None, typer.Option(help="Root of all random streams.")]
RunsDir = Annotated[str | None, typer.Option(help="Where run folders go.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the result only.")]

Data = Annotated[
    list[str] | None,
    _option("CheXpert or NIH ChestX-ray14; twice = joined; none = synthetic.", _DATA),
]
Views = Annotated[str | None, _option("frontal or all.", _DATA)]
Labels = Annotated[str | None, _option("Comma-separated; default all 14.", _DATA)]
ScoreBy = Annotated[str | None, _option("image or study.", _DATA)]
Uncertain = Annotated[
    str | None,
    _option("-1 becomes: ignore, zeros, ones, smoothed, multi_class, self_trained.", _DATA),
]
LabelTable = Annotated[str | None, _option("train_cheXbert.csv in place of train.csv.", _DATA)]
FollowLinks = Annotated[
    bool | None,
    _option("Links may lead out of the folder.", _DATA, "--follow-links/--no-follow-links"),
]

AcceptChangedData = Annotated[
    bool | None,
    _option(
        "Take data that are not those the partition was made from.",
        _DATA,
        "--accept-changed-data",
    ),
]

Partition = Annotated[str | None, _option("Use this partition folder.", _PARTITION)]
Clients = Annotated[int | None, _option("Number of sites.", _PARTITION)]
Scheme = Annotated[
    str | None,
    _option(
        "iid, dirichlet, quantity, by-attribute, by-source, hospitals or sites-file.", _PARTITION
    ),
]
Alpha = Annotated[float | None, _option("Dirichlet: small = uneven labels.", _PARTITION)]
Exponent = Annotated[float | None, _option("Quantity: large = uneven sizes.", _PARTITION)]
Attribute = Annotated[
    str | None, _option("projection, view, sex, age_band or a column.", _PARTITION)
]
SitesFile = Annotated[str | None, _option("CSV with patient_id and site.", _PARTITION)]
MinImages = Annotated[int | None, _option("Training images of every site.", _PARTITION)]
MinPositives = Annotated[
    int | None, _option("Training positives of every label at every site.", _PARTITION)
]
Folds = Annotated[int | None, _option("Cross-validate by patient, in so many parts.", _PARTITION)]
Fold = Annotated[int | None, _option("The fold to test on, from 0.", _PARTITION)]

Rounds = Annotated[int | None, _option("Communication rounds.", _TRAINING)]
Fraction = Annotated[float | None, _option("Share of sites a round.", _TRAINING)]
LocalEpochs = Annotated[int | None, _option("Epochs a round.", _TRAINING)]
BatchSize = Annotated[int | None, _option("Images a step.", _TRAINING)]
LearningRate = Annotated[float | None, _option("Of the optimiser, in the first round.", _TRAINING)]
Model = Annotated[
    str | None,
    _option(
        "densenet_small, densenet121, resnet50, alexnet, efficientnet_b0, vit_b_16.", _TRAINING
    ),
]
ImageSize = Annotated[int | None, _option("Pixels a side.", _TRAINING)]
Weights = Annotated[str | None, _option("none, imagenet or a file.", _TRAINING)]
Normalization = Annotated[str | None, _option("preset, image, pooled.", _TRAINING)]
Codec = Annotated[str | None, _option("Of updates: none, fp16, int8, topk.", _TRAINING)]
Topk = Annotated[float | None, _option("Share of numbers that topk sends.", _TRAINING)]
BatchNorm = Annotated[str | None, _option("average, local, frozen.", _TRAINING)]

Seeds = Annotated[int | None, _option("Trainings of each arm.", _COMPARISON)]
Arms = Annotated[
    str | None, _option("federated, centralized, local, centralized-steps.", _COMPARISON)
]
Margin = Annotated[
    float | None, _option("Largest loss of macro AUROC that counts as none.", _COMPARISON)
]
LearningRates = Annotated[
    str | None, _option("Tried for each arm; the best on val is taken.", _COMPARISON)
]
AtOnce = Annotated[int | None, _option("Trainings side by side.", _COMPARISON)]

Engine = Annotated[str | None, _option("local or ray.", _ENGINE)]
Workers = Annotated[int | None, _option("Clients at once.", _ENGINE)]
ThreadsPerClient = Annotated[
    int | None, _option("Default 1; more if sites are fewer than cores.", _ENGINE)
]
Device = Annotated[str | None, _option("auto, cpu, cuda, cuda:N.", _ENGINE)]
Precision = Annotated[str | None, _option("auto, fp32, bf16.", _ENGINE)]
Compile_ = Annotated[
    bool | None,
    _option("torch.compile: minutes first, faster after.", _ENGINE, "--compile/--no-compile"),
]
ClientGpus = Annotated[str | None, _option("GPU of each worker: 0,0,1,1.", _ENGINE)]
RayAddress = Annotated[str | None, _option("A running Ray cluster.", _ENGINE)]
CpusPerClient = Annotated[float | None, _option("Cores that Ray reserves.", _ENGINE)]
GpusPerClient = Annotated[float | None, _option("Share of a GPU that Ray reserves.", _ENGINE)]
