"""Whom it helps to act on the models: decision curves."""

from fedcxr.report.figures_decisions import draw_decision_curves
from fedcxr.report.shown import Shown, View, cut_by_arm, pairs_of


def show(view: View) -> Shown | None:
    """Return the decision curves and their tables, None where no label has one."""
    curves = draw_decision_curves(view.result)
    if curves is None:
        return None
    values = {
        "curves": curves,
        "by_arm": cut_by_arm(view, "decision_curves"),
        "differences": pairs_of(view, "decision_curve_differences"),
    }
    return Shown(values, (curves.sheet,))
