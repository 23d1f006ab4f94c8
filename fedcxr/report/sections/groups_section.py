"""Who was scored how: groups of patients, and the gaps between them."""

from fedcxr.report.figures_dots import draw_gaps
from fedcxr.report.shown import Shown, View, cut_by_arm, drawn, pairs_of

_OPPOSITE = 2


def show(view: View) -> Shown | None:
    """Return the groups and gaps of every arm, None where nothing was judged by group."""
    subgroups = [arm.subgroups for arm in view.result.arms]
    rules = [rule for rule in dict.fromkeys(each.rule for each in subgroups) if rule]
    if not rules:
        return None
    pictures = drawn(*(draw_gaps(view.result, *group) for group in _groups(view)))
    values = {
        "rules": rules,
        "pictures": pictures,
        "groups": cut_by_arm(view, "subgroups", "attribute"),
        "gaps": cut_by_arm(view, "subgroup_gaps", "attribute"),
        "differences": pairs_of(view, "subgroup_differences"),
    }
    return Shown(values, pictures)


def _groups(view: View) -> list[tuple[str, str]]:
    """Return each attribute with its groups that have a gap; of two the gaps are opposite."""
    groups: dict[str, dict[str, None]] = {}
    for arm in view.result.arms:
        for row in arm.subgroups.rows:
            if row.tpr_gap is not None and row.tpr_gap.value is not None:
                groups.setdefault(row.attribute, {})[row.group] = None
    found = []
    for attribute, names in groups.items():
        shown = list(names)[:1] if len(names) == _OPPOSITE else list(names)
        found += [(attribute, group) for group in shown]
    return found
