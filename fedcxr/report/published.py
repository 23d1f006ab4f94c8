"""Published figures beside ours, and why they are not like with like.

A figure is here only where its source is known to the table. Few of the papers were scored on the
images that a run of ours holds out, and none was trained like it, so that every comparison on a
page is a rough one, and the page says for each source what differs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fedcxr.data.origin import OfficialPart, TestSet
from fedcxr.data.records import OfficialKind
from fedcxr.report.origin_words import split_words
from fedcxr.report.wording import as_number, counted


@dataclass(frozen=True, slots=True)
class Source:
    """One published table of AUROCs."""

    key: str
    title: str
    citation: str
    layout: str
    """Of the data set, as our readers name it."""
    data: str
    split: str
    official_set: OfficialKind | None
    """What our readers call the set it was scored on; None where it was a split of its own."""
    official_patients: int | None
    """In that set."""
    notes: tuple[str, ...]
    image_size_px: int | None
    """None where it was not checked."""
    by_study: bool
    values: Mapping[str, float]
    """AUROC by label, labels as `fedcxr/data/labels.py` spells them."""


CHEXPERT = Source(
    key="chexpert_2019",
    title="CheXpert paper",
    citation=(
        "Irvin et al. 2019, CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels and "
        "Expert Comparison, AAAI (arXiv 1901.07031), AUROC on the validation set by policy"
    ),
    layout="chexpert",
    data="CheXpert",
    split="the official validation set: 200 studies labelled by radiologists",
    official_set="chexpert-valid",
    official_patients=200,
    notes=(
        "For each label it is the best of five policies for uncertain labels, chosen on the very "
        "set it is scored on, which favours it.",
        "An ensemble of 30 checkpoints of DenseNet-121, not a single model.",
    ),
    image_size_px=320,
    by_study=True,
    values={
        "Atelectasis": 0.858,
        "Cardiomegaly": 0.854,
        "Consolidation": 0.939,
        "Edema": 0.941,
        "Pleural Effusion": 0.936,
    },
)

WANG = Source(
    key="wang_2017",
    title="Wang et al. 2017",
    citation=(
        "Wang et al. 2017, ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on "
        "Weakly-Supervised Classification and Localization of Common Thorax Diseases, CVPR "
        "(arXiv 1705.02315), for 14 labels as the CheXNet paper's table lists them"
    ),
    layout="nih14",
    data="NIH ChestX-ray14",
    split="a random split of 70, 10 and 20 % of the data, other than NIH's published test list",
    official_set=None,
    official_patients=None,
    notes=("ResNet-50.",),
    image_size_px=None,
    by_study=False,
    values={
        "Atelectasis": 0.716,
        "Cardiomegaly": 0.807,
        "Effusion": 0.784,
        "Infiltration": 0.609,
        "Mass": 0.706,
        "Nodule": 0.671,
        "Pneumonia": 0.633,
        "Pneumothorax": 0.806,
        "Consolidation": 0.708,
        "Edema": 0.835,
        "Emphysema": 0.815,
        "Fibrosis": 0.769,
        "Pleural_Thickening": 0.708,
        "Hernia": 0.767,
    },
)

CHEXNET = Source(
    key="chexnet_2017",
    title="CheXNet",
    citation=(
        "Rajpurkar et al. 2017, CheXNet: Radiologist-Level Pneumonia Detection on Chest X-Rays "
        "with Deep Learning, arXiv 1711.05225 v3"
    ),
    layout="nih14",
    data="NIH ChestX-ray14",
    split=(
        "a random split of 70, 10 and 20 % of the data without patients in common, other than "
        "NIH's published test list"
    ),
    official_set=None,
    official_patients=None,
    notes=("DenseNet-121.",),
    image_size_px=224,
    by_study=False,
    values={
        "Atelectasis": 0.8094,
        "Cardiomegaly": 0.9248,
        "Effusion": 0.8638,
        "Infiltration": 0.7345,
        "Mass": 0.8676,
        "Nodule": 0.7802,
        "Pneumonia": 0.7680,
        "Pneumothorax": 0.8887,
        "Consolidation": 0.7901,
        "Edema": 0.8878,
        "Emphysema": 0.9371,
        "Fibrosis": 0.8047,
        "Pleural_Thickening": 0.8062,
        "Hernia": 0.9164,
    },
)

SOURCES = (CHEXPERT, WANG, CHEXNET)
"""Every source that we know."""


@dataclass(frozen=True, slots=True)
class Own:
    """What is known of our side."""

    layout: str
    labels: tuple[str, ...]
    is_synthetic: bool
    test_set: TestSet | None
    """None where it is not known."""
    test_images: object
    test_patients: object
    image_size: object
    """Of the model's input, in pixels; None where it is not known."""
    score_by: str
    model: str
    """A sentence, or empty."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A published source and what differs."""

    source: Source
    unlike: tuple[str, ...]
    on_same_images: bool
    """Both were scored on one official set."""


def beside(own: Own) -> list[Beside]:
    """Return the sources on the same layout that share a label with ours, and what differs."""
    return [
        Beside(source, tuple(_unlike(own, source)), _on_same_images(own, source))
        for source in SOURCES
        if source.layout == own.layout and set(own.labels) & set(source.values)
    ]


def _on_same_images(own: Own, source: Source) -> bool:
    """Return whether ours is the set that theirs was scored on, whole and nothing else."""
    if own.is_synthetic or own.test_set is None or len(own.test_set.parts) > 1:
        return False
    (part,) = own.test_set.parts
    return (
        isinstance(part, OfficialPart)
        and part.official.kind == source.official_set
        and part.patients == source.official_patients
    )


def _unlike(own: Own, source: Source) -> list[str]:
    found = []
    if own.is_synthetic:
        found.append(
            f"Other data: ours are synthetic, computed and not taken of people; theirs are "
            f"{source.data}. The two columns have nothing in common but the labels' names."
        )
    images = counted(own.test_images, "image", "images")
    patients = counted(own.test_patients, "patient", "patients")
    ours = f"{split_words(own.test_set) or 'not told'}, {images} of {patients}"
    if not _on_same_images(own, source):
        found.append(f"Other split: theirs is {source.split}; ours: {ours}.")
    size = as_number(own.image_size)
    if size is not None and source.image_size_px is not None and size != source.image_size_px:
        found.append(f"Other image size: {source.image_size_px} px there, {size:g} px here.")
    if source.by_study != (own.score_by == "study"):
        theirs, ours = ("study", "image") if source.by_study else ("image", "study")
        found.append(f"Scored by {theirs} there, by {ours} here.")
    return [*found, *source.notes, *([own.model] if own.model else [])]
