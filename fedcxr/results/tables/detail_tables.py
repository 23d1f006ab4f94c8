"""The tables behind the result: operating points, calibration, and groups of patients."""

from fedcxr.results.comparison import Comparison
from fedcxr.results.score import Score
from fedcxr.results.tables.result_table import Cell, Column, Kind, Table

RATES = (
    ("sensitivity", "Sensitivity (recall)"),
    ("specificity", "Specificity"),
    ("ppv", "PPV (precision)"),
    ("npv", "NPV"),
    ("ppv_at_prevalence", "PPV at the prevalence stated"),
    ("f1", "F1"),
)
GROUP_SCORES = (
    ("auroc", "AUROC"),
    ("tpr", "True positive rate"),
    ("fpr", "False positive rate"),
)
GAPS = (
    ("auroc_gap", "Gap in AUROC"),
    ("tpr_gap", "Gap in true positive rate"),
    ("fpr_gap", "Gap in false positive rate"),
)
"""A group minus all others of known group."""
COUNTS = ("tp", "fn", "fp", "tn")
"""The cells of a confusion matrix: present, then absent; said present, then said absent."""

GROUP = (
    Column("attribute", "Attribute"),
    Column("group", "Group", "head"),
    Column("label", "Label"),
)
CALIBRATION: dict[str, tuple[str, Kind]] = {
    "brier": ("Brier", "estimate"),
    "ece": ("ECE", "estimate"),
    "slope": ("Slope", "estimate"),
    "intercept": ("Intercept at slope 1", "signed"),
}

_ARM = (Column("arm", "Arm"),)
_LABEL = Column("label", "Label", "head")


def rates_of(comparison: Comparison) -> list[tuple[str, str]]:
    """Return the rates that have numbers: that at a stated prevalence only where one is stated."""
    points = (point for arm in comparison.arms for point in arm.operating_points)
    is_stated = any(point.prevalence is not None for point in points)
    return [rate for rate in RATES if is_stated or rate[0] != "ppv_at_prevalence"]


def operating_points(comparison: Comparison) -> Table:
    """Return what the models' thresholds, fixed on validation, give on the test set."""
    columns = (
        Column("point", "Point"),
        Column("label", "Label", "head"),
        Column("threshold", "Threshold", "value"),
        Column("threshold_low", "", "hidden", "threshold_range.0"),
        Column("threshold_high", "", "hidden", "threshold_range.1"),
        *(Column(key, heading, "estimate") for key, heading in rates_of(comparison)),
        Column("prevalence", "Prevalence stated", "share"),
        *(Column(key, "", "hidden") for key in COUNTS),
        Column("reason", "", "reason"),
    )
    things = (((arm.name,), each) for arm in comparison.arms for each in arm.operating_points)
    return Table.of("operating_points", "Operating points", columns, things, leading=_ARM)


def calibration(comparison: Comparison) -> Table:
    """Return how well each label's probabilities are meant, before and after the temperature."""
    columns = (
        *(Column(key, *shown) for key, shown in CALIBRATION.items()),
        *(
            Column(f"tempered_{key}", f"{heading}, tempered", kind, f"tempered.{key}")
            for key, (heading, kind) in CALIBRATION.items()
        ),
        Column("reason", "", "reason"),
    )
    things = (
        ((arm.name, label, arm.calibration.temperature), found)
        for arm in comparison.arms
        for label, found in arm.calibration.by_label.items()
    )
    temperature = Column("temperature", "", "hidden")
    leading = (*_ARM, _LABEL, temperature)
    return Table.of("calibration", "Calibration", columns, things, leading=leading)


def calibration_bins(comparison: Comparison) -> Table:
    """Return the points of the reliability diagrams."""
    columns = (
        *_ARM,
        _LABEL,
        Column("bin", "Bin", "count"),
        Column("predicted", "Mean predicted", "value"),
        Column("observed", "Observed", "estimate"),
        Column("count", comparison.units[1].capitalize(), "count"),
    )
    rows: list[tuple[Cell, ...]] = []
    for arm in comparison.arms:
        for label, found in arm.calibration.by_label.items():
            for place, each in enumerate(found.bins, start=1):
                observed = Score(value=each.observed, ci=each.ci)
                rows.append((arm.name, label, place, each.predicted, observed, each.count))
    return Table("calibration_bins", columns, tuple(rows), "Reliability diagrams")


def subgroups(comparison: Comparison) -> Table:
    """Return each group's scores, with rates at each model's threshold fixed on validation."""
    units = comparison.units[1]
    columns = (
        *GROUP,
        Column(units, units.capitalize(), "count", "images"),
        Column("patients", "Patients", "count"),
        Column("positives", "Positive", "count"),
        *(Column(key, heading, "estimate") for key, heading in GROUP_SCORES),
        Column("reason", "", "reason"),
    )
    things = (((arm.name,), row) for arm in comparison.arms for row in arm.subgroups.rows)
    return Table.of("subgroups", "Groups of patients", columns, things, leading=_ARM)


def gaps(comparison: Comparison) -> Table:
    """Return how far each group lies from all the others."""
    columns = (*GROUP, *(Column(key, heading, "signed") for key, heading in GAPS))
    things = (
        ((arm.name,), row)
        for arm in comparison.arms
        for row in arm.subgroups.rows
        if row.auroc_gap is not None
    )
    title = "Each group of patients minus all others"
    return Table.of("subgroup_gaps", title, columns, things, leading=_ARM)


def decision_curves(comparison: Comparison) -> Table:
    """Return the net benefit of each arm beside treating all; treating none has 0."""
    columns = (
        *_ARM,
        _LABEL,
        Column("at", "Treated from", "share"),
        Column("net_benefit", "Net benefit", "signed"),
        Column("treat_all", "Treating all", "value"),
    )
    rows = tuple(
        (arm.name, label, *point)
        for arm in comparison.arms
        for label, curve in arm.decision_curves.items()
        for point in zip(curve.at, curve.net_benefit, curve.treat_all, strict=True)
    )
    return Table("decision_curves", columns, rows, "Net benefit")
