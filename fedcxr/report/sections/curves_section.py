"""ROC and precision-recall curves, a panel a label."""

from fedcxr.report.figures_panels import draw_precision_recalls, draw_rocs
from fedcxr.report.shown import Shown, View


def show(view: View) -> Shown | None:
    """Return the panels, None where no label has a curve."""
    rocs = draw_rocs(view.result)
    if rocs is None:
        return None
    recalls = draw_precision_recalls(view.result)
    values = {"rocs": rocs, "precision_recalls": recalls}
    return Shown(values, [each.sheet for each in (rocs, recalls) if each is not None])
