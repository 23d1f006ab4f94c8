"""Decision curves: net benefit against the probability from which on one treats, a panel a label.

Source: Vickers and Elkin 2006, Medical Decision Making 26, 565-574.
"""

from fedcxr.report.figures_panels import PanelPlan, Panels, Points, draw_panels
from fedcxr.report.panel_svg import Axis
from fedcxr.results.arms import ArmResult
from fedcxr.results.comparison import Comparison


def draw_decision_curves(result: Comparison) -> Panels | None:
    """Return the decision curves of all arms, a panel a label, None if there is none."""

    def points(arm: ArmResult, label: str) -> Points:
        curve = arm.decision_curves.get(label)
        if curve is None:
            return []
        pairs = zip(curve.at, curve.net_benefit, strict=True)
        return [(at, found.value) for at, found in pairs if found.value is not None]

    def treat_all(label: str, top: float) -> Points:
        curve = result.main_arm.decision_curves[label]
        pairs = zip(curve.at, curve.treat_all, strict=True)
        return [(at, value) for at, value in pairs if value is not None] or [(0, 0)]

    def axes(label: str) -> tuple[Axis, Axis]:
        found = [point for arm in result.arms for point in points(arm, label)]
        highest = max((height for _, height in found), default=0.0)
        top = max(0.01, highest, treat_all(label, 1.0)[0][1]) * 1.1
        return Axis.of(0, max((at for at, _ in found), default=1.0)), Axis.of(-0.25 * top, top)

    return draw_panels(
        result,
        PanelPlan(
            name="decision",
            title="Decision curve",
            across="treated from a probability of",
            up="net benefit",
            points=points,
            chance=treat_all,
            number=lambda arm, label: None,
            axes=axes,
            has_zero_line=True,
        ),
    )
