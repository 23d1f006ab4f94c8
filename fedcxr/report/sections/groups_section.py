"""Who was scored how: groups of patients, and the gaps between them."""

from collections.abc import Sequence

from fedcxr.report.figures_dots import draw_all_gaps, draw_gaps
from fedcxr.report.pictures import Picture
from fedcxr.report.shown import Shown, View, cut_by_arm, drawn, pairs_of

_OPPOSITE = 2


def show(view: View) -> Shown | None:
    """Return the groups and gaps of every arm, None where nothing was judged by group."""
    subgroups = [arm.subgroups for arm in view.result.arms]
    rules = [rule for rule in dict.fromkeys(each.rule for each in subgroups) if rule]
    if not rules:
        return None
    pictures = drawn(*(each for group in _groups(view).items() for each in _gaps(view, *group)))
    values = {
        "rules": rules,
        "pictures": pictures,
        "groups": cut_by_arm(view, "subgroups", "attribute"),
        "gaps": cut_by_arm(view, "subgroup_gaps", "attribute"),
        "differences": pairs_of(view, "subgroup_differences"),
    }
    return Shown(values, pictures)


def _gaps(view: View, attribute: str, groups: Sequence[str]) -> list[Picture | None]:
    """Return a figure a group with a series an arm; of an only arm one with a series a group."""
    if len(view.result.arms) == 1 and len(groups) > 1:
        return [draw_all_gaps(view.result.arms[0], attribute, groups)]
    return [draw_gaps(view.result, attribute, group) for group in groups]


def _groups(view: View) -> dict[str, list[str]]:
    """Return by attribute the groups that have a gap; of two the gaps are opposite."""
    groups: dict[str, dict[str, None]] = {}
    for arm in view.result.arms:
        for row in arm.subgroups.rows:
            if row.tpr_gap is not None and row.tpr_gap.value is not None:
                groups.setdefault(row.attribute, {})[row.group] = None
    return {
        attribute: list(names)[:1] if len(names) == _OPPOSITE else list(names)
        for attribute, names in groups.items()
    }
