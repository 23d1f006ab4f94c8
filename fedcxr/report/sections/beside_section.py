"""What to read beside a result: published scores on the same data, and why they are not like it.

Few of the papers were scored on the images that are held out here, and no model of theirs was
trained like ours; so their numbers stand in no column beside ours, and what differs is said.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fedcxr.data.labels import COMPETITION_LABELS, NIH14_LABELS
from fedcxr.data.origin import OfficialPart
from fedcxr.data.records import OfficialKind
from fedcxr.report.origin_words import split_words
from fedcxr.report.shown import Shown, View
from fedcxr.report.wording import counted
from fedcxr.results.comparison import Comparison


@dataclass(frozen=True, slots=True)
class Source:
    """A paper."""

    title: str
    citation: str
    layout: str
    """Of the data set, as our readers name it."""
    mean_auroc: float
    labels: tuple[str, ...]
    """That the mean is over."""
    split: str
    model: str
    official: tuple[OfficialKind, int] | None = None
    """The set that it was scored on, as our readers call it, and its patients; None for a split
    of its own."""
    image_size_px: int | None = None
    """None where it was not checked."""
    by_study: bool = False


_NIH_SPLIT = "a random split of 70, 10 and 20 % of NIH ChestX-ray14, other than its test list"

SOURCES = (
    Source(
        title="CheXpert paper",
        citation="Irvin et al. 2019, CheXpert: A Large Chest Radiograph Dataset with Uncertainty "
        "Labels and Expert Comparison, AAAI (arXiv 1901.07031)",
        layout="chexpert",
        mean_auroc=0.906,
        labels=COMPETITION_LABELS,
        split="the official validation set: 200 studies labelled by radiologists",
        model="An ensemble of 30 checkpoints of DenseNet-121; for each label the best of five "
        "policies for uncertain labels, chosen on the very set it is scored on.",
        official=("chexpert-valid", 200),
        image_size_px=320,
        by_study=True,
    ),
    Source(
        title="Wang et al. 2017",
        citation="Wang et al. 2017, ChestX-ray8: Hospital-scale Chest X-ray Database and "
        "Benchmarks on Weakly-Supervised Classification and Localization of Common Thorax "
        "Diseases, CVPR (arXiv 1705.02315), as the CheXNet paper's table lists it",
        layout="nih14",
        mean_auroc=0.738,
        labels=NIH14_LABELS,
        split=_NIH_SPLIT,
        model="ResNet-50.",
    ),
    Source(
        title="CheXNet",
        citation="Rajpurkar et al. 2017, CheXNet: Radiologist-Level Pneumonia Detection on Chest "
        "X-Rays with Deep Learning, arXiv 1711.05225 v3",
        layout="nih14",
        mean_auroc=0.841,
        labels=NIH14_LABELS,
        split=f"{_NIH_SPLIT}, without patients in common",
        model="DenseNet-121.",
        image_size_px=224,
    ),
)
"""Every source that we know."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A source, and what keeps it from being like with like."""

    source: Source
    unlike: tuple[str, ...]


def show(view: View) -> Shown | None:
    """Return the published sources, None where none is on such data."""
    found = read_beside(view.result)
    return Shown({"found": found}) if found else None


def read_beside(result: Comparison) -> list[Beside]:
    """Return the sources on the same layout that share a label with the result."""
    labels = set(result.data.labels)
    return [
        Beside(source, tuple(_unlike(result, source)))
        for source in SOURCES
        if source.layout == result.data.layout and labels & set(source.labels)
    ]


def is_same_set(result: Comparison, source: Source) -> bool:
    """Return whether ours is the set that theirs was scored on, whole and nothing else."""
    parts = result.data.test_set.parts
    if result.data.synthetic or len(parts) > 1 or not isinstance(parts[0], OfficialPart):
        return False
    return (parts[0].official.kind, parts[0].patients) == source.official


def _unlike(result: Comparison, source: Source) -> Iterator[str]:
    data = result.data
    if data.synthetic:
        yield "Other data: ours are synthetic, computed and not taken of people."
    if not is_same_set(result, source):
        size = f"{counted(data.test_images, 'image', 'images')} of "
        size += counted(data.test_patients, "patient", "patients")
        yield f"Other split: theirs is {source.split}; ours: {split_words(data.test_set)}, {size}."
    others = sorted(set(source.labels) ^ set(data.labels))
    if others:
        yield f"Other labels: {counted(len(others), 'label is', 'labels are')} in one mean alone."
    here = result.training.image_size
    if source.image_size_px is not None and here != source.image_size_px:
        yield f"Other image size: {source.image_size_px} px there, {here} px here."
    if source.by_study != (data.score_by == "study"):
        theirs, ours = ("study", "image") if source.by_study else ("image", "study")
        yield f"Scored by {theirs} there, by {ours} here."
    yield f"Theirs: {source.model} Ours: {result.training.model}."
