"""Who was scored how: groups of patients, and the gaps between them."""

from fedcxr.report.figures_dots import draw_gaps
from fedcxr.report.shown import Shown, View, cut_by_arm, drawn


def show(view: View) -> Shown | None:
    """Return the groups and gaps of every arm, None where nothing was judged by group."""
    subgroups = [arm.subgroups for arm in view.result.arms]
    rules = [rule for rule in dict.fromkeys(each.rule for each in subgroups) if rule]
    if not rules:
        return None
    attributes = dict.fromkeys(gap.attribute for each in subgroups for gap in each.gaps)
    pictures = drawn(*(draw_gaps(view.result, attribute) for attribute in attributes))
    values = {
        "rules": rules,
        "pictures": pictures,
        "groups": cut_by_arm(view, "subgroups", "attribute"),
        "gaps": cut_by_arm(view, "subgroup_gaps", "attribute"),
    }
    return Shown(values, pictures)
