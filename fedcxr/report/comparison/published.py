"""Published figures beside ours, and why they are not like with like.

A figure is here only where its source is known to the table. None of the papers was scored on the
images that a run of ours holds out, so that every comparison on the page is a rough one, and the
page says for each source what differs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fedcxr.report.comparison.load import Comparison
from fedcxr.report.comparison.table import Cell, Column, Table
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
"""Every source that we set beside a run."""


def sources_for(comparison: Comparison) -> list[Source]:
    """Return the sources on the same layout that share a label with the comparison."""
    layout = comparison.part("data").get("layout")
    labels = set(comparison.labels)
    return [each for each in SOURCES if each.layout == layout and labels & set(each.values)]


def published(comparison: Comparison) -> Table:
    """Return ours beside theirs: the labels that a source has, one column an arm and a source."""
    sources = sources_for(comparison)
    labels = [label for label in comparison.labels if any(label in s.values for s in sources)]
    columns = (
        Column("label", "Label", "head"),
        *(Column(f"ours {arm.name}", arm.title, "estimate") for arm in comparison.arms),
        *(Column(each.key, each.title, "value") for each in sources),
    )
    found: list[tuple[Cell, ...]] = []
    for label in labels:
        ours = [arm.of_label(label) for arm in comparison.arms]
        theirs = [each.values.get(label) for each in sources]
        found.append((label, *ours, *theirs))
    return Table("published", columns, tuple(found))


def unlike(comparison: Comparison, source: Source) -> list[str]:
    """Return what keeps a comparison with this source from being like with like."""
    data = comparison.part("data")
    found = []
    if comparison.is_synthetic:
        found.append(
            f"Other data: ours are synthetic, computed and not taken of people; theirs are "
            f"{source.data}. The two columns have nothing in common but the labels' names."
        )
    images = counted(data.get("test_images"), "image", "images")
    patients = counted(data.get("test_patients"), "patient", "patients")
    found.append(
        f"Other split: theirs is {source.split}; ours: {data.get('split') or 'not told'}, "
        f"{images} of {patients}."
    )
    size = as_number(comparison.part("training").get("image_size"))
    if size is not None and source.image_size_px is not None and size != source.image_size_px:
        found.append(f"Other image size: {source.image_size_px} px there, {size:g} px here.")
    if source.by_study != (data.get("score_by") == "study"):
        theirs, ours = ("study", "image") if source.by_study else ("image", "study")
        found.append(f"Scored by {theirs} there, by {ours} here.")
    model = comparison.part("training").get("model")
    ours = f"Ours: {model}, each number the mean over the seeds' single models." if model else ""
    return [*found, *source.notes, *([ours] if ours else [])]
