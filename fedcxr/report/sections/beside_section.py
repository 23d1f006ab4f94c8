"""What to read beside the result."""

from fedcxr.report.read_beside import read_beside
from fedcxr.report.shown import Shown, View


def show(view: View) -> Shown | None:
    """Return the published sources, None where none is on such data."""
    found = read_beside(view.result)
    return Shown({"found": found}) if found else None
