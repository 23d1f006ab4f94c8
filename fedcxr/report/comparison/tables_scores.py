"""The tables of the result: the arms, their differences, and both by label."""

from collections.abc import Sequence

from fedcxr.report.comparison.read_comparison import Arm, Comparison, Difference, rows
from fedcxr.report.comparison.table import Cell, Column, Table
from fedcxr.report.comparison.wording import file_stem
from fedcxr.report.wording import as_number

REFERENCE = "reference"


def arms(comparison: Comparison) -> Table:
    """Return the main table: each arm's scores, its difference to the reference, the verdict."""
    columns = (
        Column("arm", "", "hidden"),
        Column("title", "Arm", "head"),
        Column("budget", "Budget"),
        Column("macro_auroc", "Macro AUROC", "estimate"),
        Column("macro_ap", "Mean average precision", "estimate"),
        Column("macro_labels", "", "hidden"),
        Column("five_auroc", "AUROC, five competition labels", "estimate"),
        Column("against", "", "hidden"),
        Column("difference", _difference_heading(comparison), "signed"),
        Column("verdict", "Verdict", "verdict"),
    )
    return Table("arms", columns, tuple(_arm_row(comparison, arm) for arm in comparison.arms))


def seeds(comparison: Comparison) -> Table:
    """Return how far the trained models of an arm lie apart, each by its seed."""
    told = comparison.part("training").get("seeds") or ()
    names = [f"{int(seed)}" for seed in told]
    names += [f"#{number + 1}" for number in range(len(names), comparison.num_seeds)]
    columns = (
        Column("arm", "", "hidden"),
        Column("title", "Arm", "head"),
        Column("models", "Trained models", "count"),
        Column("seed_sd", "Standard deviation over seeds", "value"),
        *(Column(f"macro_auroc_seed_{name}", f"Seed {name}", "value") for name in names),
    )
    return Table("seeds", columns, tuple(_seed_row(arm, len(names)) for arm in comparison.arms))


def differences(comparison: Comparison) -> Table:
    """Return every pair of arms that was compared."""
    columns = (
        Column("pair", "Arms", "head"),
        Column("arm", "", "hidden"),
        Column("against", "", "hidden"),
        Column("about", "About", "text"),
        Column("macro_auroc", "Macro AUROC", "signed"),
        Column("macro_auroc_models", "Of these models", "signed"),
        Column("macro_ap", "Mean average precision", "signed"),
        Column("five_auroc", "AUROC, five competition labels", "signed"),
        Column("margin", "Margin", "value"),
        Column("verdict", "Verdict", "verdict"),
        Column("verdict_reason", "", "remark"),
        Column("power", "", "hidden"),
    )
    found = tuple(_difference_row(comparison, each) for each in comparison.differences)
    return Table("differences", columns, found)


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
    found = [
        (
            label,
            *(arm.of_label(label, measure) for arm in comparison.arms),
            _first_number(comparison.arms, label, "positives"),
            _first_number(comparison.arms, label, "negatives"),
        )
        for label in comparison.labels
    ]
    return Table(f"labels_{measure}", columns, tuple(found))


def label_differences(comparison: Comparison) -> Table:
    """Return the difference in AUROC of every label, pair after pair."""
    columns = (
        Column("pair", "Arms"),
        Column("label", "Label", "head"),
        Column("auroc_difference", "Difference in AUROC", "signed"),
        Column("p", "p", "p"),
        Column("p_holm", "p, Holm", "p"),
    )
    found: list[tuple[Cell, ...]] = []
    for each in comparison.differences:
        by_label = each.tree.get("by_label") or {}
        for label in comparison.labels:
            told = by_label.get(label) or {}
            p, holm = as_number(told.get("p")), as_number(told.get("p_holm"))
            found.append((pair_title(each), label, each.of_label(label), p, holm))
    return Table("differences_by_label", columns, tuple(found))


def learning(comparison: Comparison) -> Table:
    """Return every point of the learning curves."""
    measures = ("train_loss", "val_loss", "val_macro_auroc", "val_accuracy")
    columns = (
        Column("arm", "Arm", "head"),
        Column("seed", "Seed", "count"),
        Column("site", "Site"),
        Column("round", "Round", "count"),
        *(Column(measure, measure, "value") for measure in measures),
    )
    found: list[tuple[Cell, ...]] = []
    for arm in comparison.arms:
        for curve in rows(arm.tree.get("learning")):
            for place, number in enumerate(curve.get("round") or ()):
                points = [_at(curve.get(measure), place) for measure in measures]
                found.append((arm.name, curve.get("seed"), curve.get("site"), number, *points))
    return Table("learning", columns, tuple(found))


def pair_title(difference: Difference) -> str:
    """Return what a difference is called."""
    return f"{difference.arm.title} minus {difference.against.title}"


def reference_of(comparison: Comparison, arm: Arm) -> Difference | None:
    """Return the difference of this arm that the main table shows: to the common reference."""
    found = [each for each in comparison.differences if each.arm == arm]
    primary = comparison.primary
    common = [each for each in found if primary and each.against == primary.against]
    return next(iter(common or found), None)


def _difference_heading(comparison: Comparison) -> str:
    shown = (reference_of(comparison, arm) for arm in comparison.arms)
    against = {each.against.title for each in shown if each}
    return f"Difference to {against.pop()}" if len(against) == 1 else "Difference"


def _arm_row(comparison: Comparison, arm: Arm) -> tuple[Cell, ...]:
    difference = reference_of(comparison, arm)
    verdict = difference.verdict if difference else ""
    if not difference and any(each.against == arm for each in comparison.differences):
        verdict = REFERENCE
    return (
        arm.name,
        arm.title,
        arm.tree.get("budget"),
        *(arm.score(measure) for measure in ("macro_auroc", "macro_ap")),
        as_number(arm.tree.get("macro_labels")),
        arm.score("five_auroc"),
        difference.against.name if difference else None,
        difference.score("macro_auroc") if difference else None,
        verdict,
    )


def _seed_row(arm: Arm, num_seeds: int) -> tuple[Cell, ...]:
    by_seed = arm.tree.get("macro_by_seed")
    scores = [_at(by_seed, place) for place in range(num_seeds)]
    return (arm.name, arm.title, arm.tree.get("models"), arm.tree.get("seed_sd"), *scores)


def _difference_row(comparison: Comparison, each: Difference) -> tuple[Cell, ...]:
    return (
        pair_title(each),
        each.arm.name,
        each.against.name,
        each.tree.get("about"),
        each.score("macro_auroc"),
        each.score("macro_auroc_models"),
        *(each.score(measure) for measure in ("macro_ap", "five_auroc")),
        comparison.margin,
        each.verdict,
        each.verdict_reason,
        each.power,
    )


def _at(values: Sequence[float] | None, place: int) -> float | None:
    """Return a value of a list that may be shorter, or not there."""
    return as_number(values[place]) if values and place < len(values) else None


def _first_number(arms_: Sequence[Arm], label: str, key: str) -> float | None:
    """Return a count that is the same for all arms, from the first that tells it."""
    found = (as_number(arm.label(label).get(key)) for arm in arms_)
    return next((number for number in found if number is not None), None)


def _stems(names: Sequence[str]) -> list[str]:
    """Return the names as parts of column names, each of its own."""
    stems: list[str] = []
    for name in names:
        stem = file_stem(name)
        stems.append(stem if stem not in stems else f"{stem}-{len(stems)}")
    return stems
