"""Reporting checklists, filled in where the result itself knows the answer.

CLAIM 2024 (Tejani et al. 2024, Radiology: Artificial Intelligence 6(4), e240300) and TRIPOD+AI
(Collins et al. 2024, BMJ 385, e078378). The items are in checklist.json, named in our own short
words; the official forms have the binding ones. An item that only its authors can answer is open,
never guessed.
"""

import json
from functools import cache
from importlib import resources

from fedcxr.report.checklist_answers import ANSWERS
from fedcxr.results.comparison import Comparison
from fedcxr.results.tables.table import Column, Table

FILLED, PARTLY, OPEN = "filled in", "partly", "open"


def checklist(result: Comparison) -> Table:
    """Return every item of both lists with its state and what the result can say of it."""
    columns = (
        Column("guideline", "Guideline"),
        Column("item", "Item", "head"),
        Column("asks", "Asks for"),
        Column("state", "State"),
        Column("answer", "From this result"),
        Column("still_open", "Still to be said"),
    )
    rows = tuple(
        (item["guideline"], item["item"], item["asks"], *_state(item, result)) for item in items()
    )
    return Table("checklist", columns, rows, "Reporting checklists")


@cache
def items() -> list[dict[str, str]]:
    """Return the items in their order, each with its `guideline`, `item` and what it `asks`.

    `answer` names the function that fills it in, and `still_open` what is to be said when that has
    said its part.
    """
    text = (resources.files("fedcxr.report") / "checklist.json").read_text("utf-8")
    found: list[dict[str, str]] = json.loads(text)
    return found


def _state(item: dict[str, str], result: Comparison) -> tuple[str, str, str]:
    told = ANSWERS[item["answer"]](result) if "answer" in item else ""
    if not told:
        return OPEN, "", ""
    rest = item.get("still_open", "")
    return (PARTLY if rest else FILLED), told, rest
