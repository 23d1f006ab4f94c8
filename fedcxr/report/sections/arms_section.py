"""The arms of a comparison: scores, every pair, and the spread over seeds and partitions."""

from fedcxr.report.protocol_words import endpoint_sentences
from fedcxr.report.shown import Shown, View


def show(view: View) -> Shown | None:
    """Return what the section needs; a run's one number is at the top of its page."""
    if view.result.run is not None:
        return None
    return Shown(
        {
            "has_endpoint": bool(endpoint_sentences(view.result)),
            "num_seeds": len(view.result.training.seeds),
        }
    )
