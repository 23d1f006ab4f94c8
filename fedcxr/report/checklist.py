"""Reporting checklists, filled in where the result itself knows the answer.

CLAIM 2024 (Tejani et al. 2024, Radiology: Artificial Intelligence 6(4), e240300) and TRIPOD+AI
(Collins et al. 2024, BMJ 385, e078378). The items are in checklist.json, named in our own short
words; the official forms have the binding ones. An item that only its authors can answer is open,
never guessed.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources

from fedcxr.report import checklist_answers
from fedcxr.results.comparison import Comparison
from fedcxr.results.tables.result_table import Column, Table

FILLED, PARTLY, OPEN = "filled in", "partly", "open"

_HAS: Mapping[str, Callable[[Comparison], bool]] = {
    "operating points": lambda result: bool(result.main_arm.operating_points),
    "calibration": lambda result: bool(result.main_arm.calibration.by_label),
    "label frequencies": lambda result: bool(result.label_frequencies),
}


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

    `answer` names the function of `checklist_answers.py` that fills it in; or `says` is the answer,
    where the result has what it `needs`. `still_open` is what is to be said beside the answer.
    """
    text = (resources.files("fedcxr.report") / "checklist.json").read_text("utf-8")
    found: list[dict[str, str]] = json.loads(text)
    return found


def _state(item: dict[str, str], result: Comparison) -> tuple[str, str, str]:
    told = ""
    if "answer" in item:
        told = getattr(checklist_answers, item["answer"])(result)
    elif "needs" not in item or _HAS[item["needs"]](result):
        told = item.get("says", "")
    if not told:
        return OPEN, "", ""
    rest = item.get("still_open", "")
    return (PARTLY if rest else FILLED), told, rest
