"""The tables of the result: the arms, their differences, both by label, and the trainings."""

import re
from collections.abc import Sequence

from fedcxr.results.arms import ArmResult
from fedcxr.results.comparison import Comparison
from fedcxr.results.differences import Difference
from fedcxr.results.tables.result_table import Cell, Column, Table

REFERENCE = "reference"
_COMPETITION = "AUROC, five competition labels"

DIFFERENCE_COLUMNS = (
    Column("pair", "Arms", "head"),
    Column("arm", "", "hidden"),
    Column("against", "", "hidden"),
    Column("about", "About", "text"),
    Column("macro_auroc", "Macro AUROC", "signed"),
    Column("macro_auroc_models", "Of these models", "signed"),
    Column("macro_ap", "Mean average precision", "signed"),
    Column("five_auroc", _COMPETITION, "signed"),
    Column("margin", "Margin", "value"),
    Column("verdict", "Verdict", "verdict"),
    Column("verdict_reason", "", "remark"),
    Column("power", "", "hidden"),
    Column("worse_labels", "", "hidden"),
    Column("inferior_labels", "", "hidden"),
)
LABEL_DIFFERENCE_COLUMNS = (
    Column("pair", "Arms"),
    Column("label", "Label", "head"),
    Column("auroc_difference", "Difference in AUROC", "signed"),
    Column("p", "p", "p"),
    Column("p_holm", "p, Holm", "p"),
    Column("lower_bound", "Lower bound, of all labels together", "value"),
    Column("word", "By its own interval"),
)


def arms(comparison: Comparison) -> Table:
    """Return the main table: each arm's scores, its difference to the reference, the verdict."""
    columns = (
        Column("arm", "", "hidden"),
        Column("title", "Arm", "head"),
        Column("budget", "Budget"),
        Column("macro_auroc", "Macro AUROC", "estimate"),
        Column("macro_ap", "Mean average precision", "estimate"),
        Column("macro_labels", "", "hidden"),
        Column("five_auroc", _COMPETITION, "estimate"),
        Column("against", "", "hidden"),
        Column("difference", _difference_heading(comparison), "signed"),
        Column("verdict", "Verdict", "verdict"),
    )
    rows = tuple(_arm_row(comparison, arm) for arm in comparison.arms)
    return Table("arms", columns, rows, "Arms on the same test patients")


def seeds(comparison: Comparison) -> Table:
    """Return how far the trained models of an arm lie apart, each by its seed."""
    columns = (
        Column("arm", "", "hidden"),
        Column("title", "Arm", "head"),
        Column("models", "Trained models", "count"),
        Column("seed_sd", "Standard deviation over seeds", "value"),
        *(
            Column(f"macro_auroc_seed_{seed}", f"Seed {seed}", "value")
            for seed in comparison.training.seeds
        ),
    )
    rows = tuple(
        (arm.name, arm.title, arm.models, arm.seed_sd, *arm.macro_by_seed)
        for arm in comparison.arms
    )
    return Table("seeds", columns, rows, "Macro AUROC by training")


def differences(comparison: Comparison) -> Table:
    """Return every pair of arms that was compared."""
    rows = tuple(difference_row(comparison, each) for each in comparison.differences)
    return Table("differences", DIFFERENCE_COLUMNS, rows, "Differences between arms")


def difference_row(comparison: Comparison, each: Difference) -> tuple[Cell, ...]:
    """Return the cells of a difference under `DIFFERENCE_COLUMNS`."""
    return (
        pair_title(comparison, each),
        each.arm,
        each.against,
        each.about,
        each.macro_auroc,
        each.macro_auroc_models,
        each.macro_ap,
        each.five_auroc,
        comparison.statistics.margin,
        each.verdict.word,
        each.verdict.reason,
        each.power,
        ", ".join(each.worse_labels),
        ", ".join(each.inferior_labels),
    )


def labels(comparison: Comparison, measure: str = "auroc") -> Table:
    """Return a measure of every label, a column an arm.

    Args:
        comparison: what to show.
        measure: `auroc` or `ap`.
    """
    stems = _stems([arm.name for arm in comparison.arms])
    columns = (
        Column("label", "Label", "head"),
        *(
            Column(f"{measure}_{stem}", arm.title, "estimate")
            for stem, arm in zip(stems, comparison.arms, strict=True)
        ),
        Column("positives", "Positive", "count"),
        Column("negatives", "", "hidden"),
    )
    first = comparison.arms[0].by_label
    rows = tuple(
        (
            label,
            *(getattr(arm.by_label[label], measure) for arm in comparison.arms),
            scores.positives,
            scores.negatives,
        )
        for label, scores in first.items()
    )
    title = {"auroc": "AUROC by label", "ap": "Average precision by label"}[measure]
    return Table(f"labels_{measure}", columns, rows, title)


def label_differences(comparison: Comparison) -> Table:
    """Return the difference in AUROC of every label, pair after pair."""
    rows = (label_difference_rows(comparison, each) for each in comparison.differences)
    whole = tuple(row for own in rows for row in own)
    return Table("differences_by_label", LABEL_DIFFERENCE_COLUMNS, whole, "Differences by label")


def label_difference_rows(comparison: Comparison, each: Difference) -> list[tuple[Cell, ...]]:
    """Return the rows of a difference's labels under `LABEL_DIFFERENCE_COLUMNS`."""
    title = pair_title(comparison, each)
    return [
        (title, label, found, found.p, found.p_holm, found.lower_bound, found.word)
        for label, found in each.by_label.items()
    ]


def learning(comparison: Comparison) -> Table:
    """Return every point of the learning curves."""
    measures = ["train_loss", "val_loss", "val_macro_auroc", "val_accuracy"]
    if any(curve.test_loss for arm in comparison.arms for curve in arm.learning):
        measures += ["test_loss", "test_accuracy"]
    columns = (
        Column("arm", "Arm", "head"),
        Column("seed", "Seed", "count"),
        Column("site", "Site"),
        Column("round", "Round", "count"),
        *(Column(measure, measure, "value") for measure in measures),
    )
    rows: list[tuple[Cell, ...]] = []
    for arm in comparison.arms:
        for curve in arm.learning:
            nothing = (None,) * len(curve.round)
            series = (getattr(curve, measure) or nothing for measure in measures)
            points = zip(curve.round, *series, strict=True)
            rows += [(arm.name, curve.seed, curve.site, *point) for point in points]
    return Table("learning", columns, tuple(rows), "Learning curves")


def pair_title(comparison: Comparison, difference: Difference) -> str:
    """Return what a difference is called."""
    first, second = (comparison.arm(name).title for name in (difference.arm, difference.against))
    return f"{first} minus {second}"


def reference_of(comparison: Comparison, arm: ArmResult) -> Difference | None:
    """Return the difference of this arm that the main table shows: to the common reference.

    In a study of augmentation that is the arm which adds nothing.
    """
    found = [each for each in comparison.differences if each.arm == arm.name]
    primary = comparison.primary
    common = [each for each in found if primary and each.against == primary.against]
    if comparison.statistics.question == "superiority":
        common = [each for each in found if comparison.arm(each.against).added is None]
    return next(iter(common or found), None)


def file_stem(name: str) -> str:
    """Return a name as a part of a file's or column's name and of an id in the page.

    >>> file_stem("FedProx, mu = 0.1")
    'FedProx-mu-0.1'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"


def _difference_heading(comparison: Comparison) -> str:
    shown = (reference_of(comparison, arm) for arm in comparison.arms)
    against = {comparison.arm(each.against).title for each in shown if each}
    return f"Difference to {against.pop()}" if len(against) == 1 else "Difference"


def _arm_row(comparison: Comparison, arm: ArmResult) -> tuple[Cell, ...]:
    difference = reference_of(comparison, arm)
    verdict: str = difference.verdict.word if difference else ""
    if not difference and any(each.against == arm.name for each in comparison.differences):
        verdict = REFERENCE
    return (
        arm.name,
        arm.title,
        arm.budget,
        arm.macro_auroc,
        arm.macro_ap,
        arm.macro_labels,
        arm.five_auroc,
        difference.against if difference else None,
        difference.macro_auroc if difference else None,
        verdict,
    )


def _stems(names: Sequence[str]) -> list[str]:
    """Return the names as parts of column names, each of its own."""
    stems: list[str] = []
    for name in names:
        stem = file_stem(name)
        stems.append(stem if stem not in stems else f"{stem}-{len(stems)}")
    return stems
