"""Every label: differences between arms, and each arm's scores."""

from fedcxr.report.figures_dots import draw_forest, draw_scores, few_positives
from fedcxr.report.shown import Shown, View, drawn
from fedcxr.results.tables.score_tables import pair_title


def show(view: View) -> Shown | None:
    """Return the figures and tables by label, None before anything was scored."""
    result = view.result
    if not result.main_arm.by_label:
        return None
    forests = drawn(*(draw_forest(result, each) for each in result.differences))
    scores = draw_scores(result)
    whole = view.tables["differences_by_label"]
    pairs = [pair_title(result, each) for each in result.differences]
    values = {
        "forests": forests,
        "scores": scores,
        "few": [label for label in result.data.labels if label in few_positives(result)],
        "differences": [(pair, whole.only("pair", pair)) for pair in pairs],
        "has_ap": any(arm.macro_ap.value is not None for arm in result.arms),
    }
    return Shown(values, (*forests, *drawn(scores)))
