"""How often each label is positive in each split."""

from fedcxr.report.figures_dots import draw_frequencies
from fedcxr.report.shown import Shown, View, drawn
from fedcxr.report.wording import count, percent
from fedcxr.results.tables.site_tables import SPLITS


def show(view: View) -> Shown | None:
    """Return the shares of positives, None where they are not known."""
    counts = view.result.label_frequencies
    if not counts:
        return None
    rows = [
        (label, [_cell(*getattr(found, split)) for split in SPLITS])
        for label, found in counts.items()
    ]
    frequencies = draw_frequencies(view.result)
    return Shown({"rows": rows, "splits": SPLITS, "frequencies": frequencies}, drawn(frequencies))


def _cell(positive: int, known: int) -> tuple[str, str]:
    share = percent(positive / known if known else None, 1)
    return share, f"{count(positive)} of {count(known)}"
