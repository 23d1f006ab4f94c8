"""How well the probabilities are meant."""

from fedcxr.report.figures_panels import draw_reliability
from fedcxr.report.shown import Shown, View, cut_by_arm, pairs_of
from fedcxr.report.wording import fixed
from fedcxr.results.arms import ArmResult


def show(view: View) -> Shown | None:
    """Return the diagrams and tables of calibration, None where nothing was judged."""
    by_arm = cut_by_arm(view, "calibration")
    if not by_arm:
        return None
    reliability = draw_reliability(view.result)
    values = {
        "by_arm": by_arm,
        "reliability": reliability,
        "differences": pairs_of(view, "calibration_differences"),
        "temperatures": [_temperature(view, arm) for arm in view.result.arms],
    }
    return Shown(values, (reliability.sheet,) if reliability else ())


def _temperature(view: View, arm: ArmResult) -> str:
    """Return an arm's temperature, or why it has none."""
    found, whose = arm.calibration, f"{arm.title} " if view.legend else ""
    if found.temperature is None:
        return f"{whose}none ({found.reason or 'none was fitted'})"
    low, high = found.temperature_range or (found.temperature, found.temperature)
    spread = f" ({fixed(low, 2)} to {fixed(high, 2)})" if low < high else ""
    return f"{whose}{fixed(found.temperature, 2)}{spread}"
