"""Heat maps over their images as cards: the picture itself inside the page, and what it shows."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcxr.report.read_run import RunView, Tree
from fedcxr.report.wording import fixed


@dataclass(frozen=True, slots=True)
class Card:
    """One overlay with its caption."""

    source: str | None  # data URI; None if the file is not there
    label: str
    probability: str
    truth: str
    outcome: str
    file: str


def cards(view: RunView) -> list[Card]:
    """Return a card for every overlay the summary lists, or, without one, every file found."""
    listed: Sequence[Tree] = ((view.summary or {}).get("heat_maps") or {}).get("files") or ()
    if not listed:
        listed = [{"file": file} for file in view.heat_maps]
    return [_card(view.path, entry) for entry in listed]


def _card(folder: Path, entry: Tree) -> Card:
    file = str(entry.get("file", ""))
    return Card(
        source=_data_uri(folder, file),
        label=str(entry.get("label", "")),
        probability=fixed(entry.get("probability"), 2),
        truth=_truth(entry.get("truth")),
        outcome=str(entry.get("outcome", "")),
        file=file,
    )


def _data_uri(folder: Path, file: str) -> str | None:
    """Return the picture as text; only PNG files in a folder of the run's own are taken in."""
    path = (folder / file).resolve()
    inside = path.parent.parent == folder.resolve()
    if not inside or path.suffix.lower() != ".png" or not path.is_file():
        return None
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _truth(value: object) -> str:
    """Return a target in words; 1 and True are the same target."""
    for known, word in ((1, "present"), (0, "absent"), (None, "not known")):
        if value == known:
            return word
    return str(value)
