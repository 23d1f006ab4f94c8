"""The reporting checklists, with how much of each is filled in."""

from fedcxr.report.checklist import FILLED, OPEN, PARTLY
from fedcxr.report.page_table import PageTable
from fedcxr.report.shown import Shown, View


def show(view: View) -> Shown | None:
    """Return each checklist."""
    whole = view.tables["checklist"]
    names = [str(name) for name in whole.values("guideline")]
    return Shown({"lists": [_one(name, whole.only("guideline", name)) for name in names]})


def _one(name: str, own: PageTable) -> tuple[str, PageTable]:
    counts = {state: sum(row[2] == state for row in own.rows) for state in (FILLED, PARTLY, OPEN)}
    told = (
        f"{name}: {counts[FILLED]} of {len(own.rows)} items filled in, {counts[PARTLY]} in part, "
        f"{counts[OPEN]} open"
    )
    return told, own
