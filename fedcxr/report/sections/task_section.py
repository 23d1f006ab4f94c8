"""A binary task: Initial and Augmented beside what an earlier study reported, and heat maps."""

from dataclasses import dataclass

from fedcxr.report.figures_heat import draw_task_confusions
from fedcxr.report.page_table import PageTable
from fedcxr.report.published_study import published_study
from fedcxr.report.sections.heat_maps_section import Card, card_of
from fedcxr.report.sections.points_section import matrix_of
from fedcxr.report.shown import Shown, View, drawn
from fedcxr.results.tables.task_tables import NAMED, ordered, row_title
from fedcxr.results.task_scores import TaskScores


@dataclass(frozen=True, slots=True)
class Looks:
    """The heat maps of one arm's first training."""

    title: str
    cards: tuple[Card, ...]


def show(view: View) -> Shown | None:
    """Return tables, confusion matrices and heat maps; None where the labels are no binary task."""
    found = view.result.task
    if found is None:
        return None
    arms = ordered(found)
    titles = {arm.arm: f"{arm.model}, {row_title(view.result, arm)}" for arm in arms}
    return Shown(
        {
            "found": found,
            "scores": view.tables["task_scores"],
            "differences": _differences(view.tables["task_differences"]),
            "matrices": [
                matrix_of(titles[arm.arm], (arm.tp, arm.fn, arm.fp, arm.tn)) for arm in arms
            ],
            "published": published_study(found.task),
            "looks": _looks(view, found, titles),
        },
        drawn(draw_task_confusions(found.label, [(titles[arm.arm], arm) for arm in arms])),
    )


def _differences(table: PageTable) -> PageTable | None:
    return table if table.rows else None


def _looks(view: View, found: TaskScores, titles: dict[str, str]) -> list[Looks]:
    """Return the maps of what the table calls Initial and Augmented; the others are in files."""
    if view.folder is None or view.result.run is not None:  # a run has a section of its own
        return []
    shown = []
    for arm in ordered(found):
        own = [example for example in found.examples if example.arm == arm.arm]
        if arm.added in NAMED:
            cards = (card_of(view.folder / each.folder, each.heat_map) for each in own)
            shown.append(Looks(titles[arm.arm], tuple(cards)))
    return shown
