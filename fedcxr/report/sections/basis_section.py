"""What the numbers rest on, and the notes of the run."""

from fedcxr.report.basis_words import basis
from fedcxr.report.shown import Shown, View


def show(view: View) -> Shown | None:
    """Return the sentences."""
    return Shown({"sentences": basis(view.result), "notes": view.result.notes})
