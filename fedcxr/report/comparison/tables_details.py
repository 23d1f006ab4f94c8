"""The tables behind the result: operating points, calibration, subgroups, sites, data, costs."""

from collections.abc import Iterator

from fedcxr.report.comparison.read_comparison import Arm, Comparison, Tree, estimate, rows
from fedcxr.report.comparison.table import Cell, Column, Kind, Table
from fedcxr.report.wording import as_number

_RATES = (
    ("sensitivity", "Sensitivity (recall)"),
    ("specificity", "Specificity"),
    ("ppv", "PPV (precision)"),
    ("npv", "NPV"),
    ("ppv_at_prevalence", "PPV at the prevalence stated"),
    ("accuracy", "Accuracy"),
    ("f1", "F1"),
)
COUNTS = ("tp", "fn", "fp", "tn")
"""The cells of a confusion matrix: present, then absent; said present, then said absent."""

SPLITS = ("train", "val", "test")


def operating_points(comparison: Comparison) -> Table:
    """Return what each threshold, fixed on validation, gives on the test set."""
    columns = (
        Column("arm", "Arm"),
        Column("point", "Point"),
        Column("label", "Label", "head"),
        Column("threshold", "Threshold", "value"),
        *(Column(key, heading, "estimate") for key, heading in _RATES),
        Column("prevalence", "Prevalence stated", "share"),
        Column("precision", "", "hidden"),
        Column("recall", "", "hidden"),
        *(Column(key, "", "hidden") for key in COUNTS),
        Column("reason", "", "reason"),
    )
    found: list[tuple[Cell, ...]] = []
    for arm, point in _of_arms(comparison, "operating_points"):
        found.append(
            (
                arm.name,
                point.get("point"),
                point.get("label"),
                number(point, "threshold"),
                *(estimate(point.get(key)) for key, _ in _RATES),
                number(point, "prevalence"),
                number(point, "precision"),
                number(point, "recall"),
                *(number(point, key) for key in COUNTS),
                point.get("reason"),
            )
        )
    return Table("operating_points", columns, tuple(found))


def calibration(comparison: Comparison) -> Table:
    """Return how well each label's probabilities are meant, before and after the temperature."""
    measures: dict[str, tuple[str, Kind]] = {
        "brier": ("Brier", "estimate"),
        "ece": ("ECE", "estimate"),
        "slope": ("Slope", "estimate"),
        "intercept": ("Intercept at slope 1", "signed"),
    }
    columns = (
        Column("arm", "Arm"),
        Column("label", "Label", "head"),
        *(Column(key, *shown) for key, shown in measures.items()),
        *(
            Column(f"tempered_{k}", f"{text}, tempered", kind)
            for k, (text, kind) in measures.items()
        ),
        Column("temperature", "", "hidden"),
        Column("reason", "", "reason"),
    )
    found: list[tuple[Cell, ...]] = []
    for arm, label, told in _calibrated(comparison):
        tempered = told.get("tempered") or {}
        found.append(
            (
                arm.name,
                label,
                *(estimate(told.get(key)) for key in measures),
                *(estimate(tempered.get(key)) for key in measures),
                temperature(arm),
                told.get("reason"),
            )
        )
    return Table("calibration", columns, tuple(found))


def calibration_bins(comparison: Comparison) -> Table:
    """Return the points of the reliability diagrams."""
    columns = (
        Column("arm", "Arm"),
        Column("label", "Label", "head"),
        Column("bin", "Bin", "count"),
        Column("predicted", "Mean predicted", "value"),
        Column("observed", "Observed", "estimate"),
        Column("count", comparison.units[1].capitalize(), "count"),
    )
    found: list[tuple[Cell, ...]] = []
    for arm, label, told in _calibrated(comparison):
        for place, part in enumerate(rows(told.get("bins"))):
            observed = estimate({"value": part.get("observed"), "ci": part.get("ci")})
            predicted, held = number(part, "predicted"), number(part, "count")
            found.append((arm.name, label, place + 1, predicted, observed, held))
    return Table("calibration_bins", columns, tuple(found))


def subgroups(comparison: Comparison) -> Table:
    """Return each group's scores, and the rates at the one threshold fixed on validation."""
    units = comparison.units[1]
    columns = (
        Column("arm", "Arm"),
        Column("attribute", "Attribute"),
        Column("group", "Group", "head"),
        Column("label", "Label"),
        Column(units, units.capitalize(), "count"),
        Column("patients", "Patients", "count"),
        Column("positives", "Positive", "count"),
        Column("auroc", "AUROC", "estimate"),
        Column("tpr", "True positive rate", "estimate"),
        Column("fpr", "False positive rate", "estimate"),
        Column("reason", "", "reason"),
    )
    found: list[tuple[Cell, ...]] = []
    for arm in comparison.arms:
        for row in rows((arm.tree.get("subgroups") or {}).get("rows")):
            names = [row.get(key) for key in ("attribute", "group", "label")]
            counts = [number(row, key) for key in ("images", "patients", "positives")]
            scores = [estimate(row.get(key)) for key in ("auroc", "tpr", "fpr")]
            found.append((arm.name, *names, *counts, *scores, row.get("reason")))
    return Table("subgroups", columns, tuple(found))


def gaps(comparison: Comparison) -> Table:
    """Return the largest gaps between the groups of an attribute."""
    columns = (
        Column("arm", "Arm"),
        Column("attribute", "Attribute"),
        Column("label", "Label", "head"),
        Column("tpr_gap", "Gap in true positive rate", "estimate"),
        Column("fpr_gap", "Gap in false positive rate", "estimate"),
    )
    found: list[tuple[Cell, ...]] = []
    for arm in comparison.arms:
        for row in rows((arm.tree.get("subgroups") or {}).get("gaps")):
            both = [estimate(row.get(key)) for key in ("tpr_gap", "fpr_gap")]
            found.append((arm.name, row.get("attribute"), row.get("label"), *both))
    return Table("subgroup_gaps", columns, tuple(found))


def site_matrix(comparison: Comparison) -> Table:
    """Return each model's macro AUROC on each site's own held-out patients.

    They are its validation split, on which nothing was trained or chosen; images are counted.
    """
    matrix = comparison.part("site_matrix")
    models = [str(model) for model in matrix.get("models") or ()]
    columns = (
        Column("site_id", "Site", "head"),
        Column("images", "Images", "count"),
        Column("patients", "Patients", "count"),
        *(Column(f"macro_auroc {model}", model, "value") for model in models),
        *(Column(f"labels {model}", "", "hidden") for model in models),
    )
    found: list[tuple[Cell, ...]] = []
    for place, site in enumerate(rows(matrix.get("sites"))):
        scores = _padded(matrix.get("macro_auroc"), place, len(models))
        counted = _padded(matrix.get("labels"), place, len(models))
        sizes = (number(site, "images"), number(site, "patients"))
        found.append((str(site.get("site_id")), *sizes, *scores, *counted))
    return Table("site_matrix", columns, tuple(found))


def label_frequencies(comparison: Comparison) -> Table:
    """Return how often each label is positive among those that are known, by split."""
    columns = [Column("label", "Label", "head")]
    for split in SPLITS:
        columns.append(Column(f"{split}_positive", f"{split}, positive", "count"))
        columns.append(Column(f"{split}_known", f"{split}, known", "count"))
        columns.append(Column(f"{split}_share", f"{split}, share", "share"))
    told = comparison.part("label_frequencies")
    names = list(dict.fromkeys((*comparison.labels, *told)))
    found: list[tuple[Cell, ...]] = []
    for label in names if told else ():
        cells = [cell for split in SPLITS for cell in _frequency((told.get(label) or {}), split)]
        found.append((label, *cells))
    return Table("label_frequencies", tuple(columns), tuple(found))


def costs(comparison: Comparison) -> Table:
    """Return what each arm took over all its trainings; steps are those one after another."""
    columns = (
        Column("arm", "", "hidden"),
        Column("title", "Arm", "head"),
        Column("models", "Trained models", "count"),
        Column("seconds", "Time", "duration"),
        Column("images_seen", "Images seen", "count"),
        Column("steps", "Steps in a row", "count"),
        Column("bytes_down", "Sent to sites", "size"),
        Column("bytes_up", "Received from sites", "size"),
    )
    keys = ("models", "seconds", "images_seen", "steps", "bytes_down", "bytes_up")
    found = [
        (arm.name, arm.title, *(number(arm.tree, key) for key in keys)) for arm in comparison.arms
    ]
    return Table("costs", columns, tuple(found))


def temperature(arm: Arm) -> float | None:
    """Return the temperature that was fitted on validation, None if there is none."""
    return as_number((arm.tree.get("calibration") or {}).get("temperature"))


def number(tree: Tree, key: str) -> float | None:
    """Return a number, whether it has an interval or not, None if it is not there."""
    return estimate(tree.get(key)).value


def share(positive: float | None, known: float | None) -> float | None:
    """Return the share of positives, None if nothing is known.

    >>> share(1, 4), share(0, 0)
    (0.25, None)
    """
    return positive / known if positive is not None and known else None


def _of_arms(comparison: Comparison, key: str) -> Iterator[tuple[Arm, Tree]]:
    for arm in comparison.arms:
        for row in rows(arm.tree.get(key)):
            yield arm, row


def _calibrated(comparison: Comparison) -> Iterator[tuple[Arm, str, Tree]]:
    for arm in comparison.arms:
        by_label = (arm.tree.get("calibration") or {}).get("by_label") or {}
        for label, told in by_label.items():
            yield arm, label, told or {}


def _padded(matrix: object, place: int, length: int) -> list[float | None]:
    """Return a row of a matrix as long as it should be, None where nothing is."""
    row = matrix[place] if isinstance(matrix, list) and place < len(matrix) else None
    found = [as_number(value) for value in row or ()][:length]
    return found + [None] * (length - len(found))


def _frequency(told: Tree, split: str) -> tuple[float | None, float | None, float | None]:
    pair = told.get(split) or ()
    positive, known = (as_number(value) for value in pair) if len(pair) == 2 else (None, None)
    return positive, known, share(positive, known)
