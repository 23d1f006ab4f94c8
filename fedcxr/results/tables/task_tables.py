"""The tables of a binary task: every network as it is, with each thing added, and what that did."""

from fedcxr.results.comparison import Comparison
from fedcxr.results.tables.result_table import Column, Table
from fedcxr.results.task_scores import TaskArm, TaskScores

RATES = (
    ("accuracy", "Accuracy"),
    ("precision", "Precision"),
    ("recall", "Recall"),
    ("f1", "F1"),
    ("auroc", "AUROC"),
)
NAMED = {"none": "Initial", "vae": "Augmented"}
"""What the study that the task follows calls an arm, by what is added to its images."""


def task_scores(comparison: Comparison, found: TaskScores) -> Table:
    """Return what every arm gives, network by network: Initial, then Augmented, then controls."""
    columns = (
        Column("model", "Network"),
        Column("training", "", "hidden"),
        Column("title", "Arm", "head"),
        Column("arm", "", "hidden"),
        *(Column(key, heading, "estimate") for key, heading in RATES),
        *(Column(key, "", "hidden") for key in ("tp", "fn", "fp", "tn")),
    )
    rows = tuple(
        (
            arm.model,
            NAMED.get(arm.added, arm.added),
            row_title(comparison, arm),
            arm.arm,
            *(getattr(arm, key) for key, _ in RATES),
            *(arm.tp, arm.fn, arm.fp, arm.tn),
        )
        for arm in ordered(found)
    )
    what = "Initial and Augmented" if found.adds_something else "the likelier of two classes"
    return Table("task_scores", columns, rows, f"{found.label}: {what}")


def task_differences(comparison: Comparison, found: TaskScores) -> Table:
    """Return how far the arms of every pair are apart, on the same patients."""
    models = {arm.arm: arm.model for arm in found.arms}
    titles = {arm.arm: _short_title(comparison, arm) for arm in found.arms}
    columns = (
        Column("model", "Network"),
        Column("pair", "Arms", "head"),
        Column("arm", "", "hidden"),
        Column("against", "", "hidden"),
        Column("about", "About"),
        *(Column(key, heading, "signed") for key, heading in RATES),
    )
    rows = tuple(
        (
            models[each.arm],
            f"{titles[each.arm]} minus {titles[each.against]}",
            each.arm,
            each.against,
            each.about,
            *(getattr(each, key) for key, _ in RATES),
        )
        for each in found.differences
    )
    return Table("task_differences", columns, rows, f"{found.label}: what the additions did")


def ordered(found: TaskScores) -> list[TaskArm]:
    """Return the arms network by network, what is Initial and Augmented before the controls."""
    models = list(dict.fromkeys(arm.model for arm in found.arms))
    places = list(NAMED)
    return sorted(
        found.arms,
        key=lambda arm: (
            models.index(arm.model),
            places.index(arm.added) if arm.added in places else len(places),
        ),
    )


def row_title(comparison: Comparison, arm: TaskArm) -> str:
    """Return an arm's title beside its network's, after the study's word for it if it has one."""
    title = _short_title(comparison, arm)
    named = NAMED.get(arm.added)
    is_study = comparison.task is not None and comparison.task.adds_something
    return f"{named}: {title}" if named and is_study else title


def _short_title(comparison: Comparison, arm: TaskArm) -> str:
    """Return an arm's title without its network's."""
    title = comparison.arm(arm.arm).title
    return title.removeprefix(f"{arm.model}: ").removeprefix(f"{arm.model}, ")
