"""Where the model looks: pictures with captions, and how often the peaks lie in the boxes."""

import base64
from dataclasses import dataclass
from pathlib import Path

from fedcxr.explain.needs import need_in_words
from fedcxr.report.shown import Shown, View
from fedcxr.report.wording import fixed
from fedcxr.results.heat_maps import HeatMap, HeatMaps, Method

_HOW = {
    "gradcam": "weighs the channels of a map by their gradients, of the deepest map that has at "
    "least 7 cells a side",
    "cam": "is the class activation map: the head's weights over the last map, the only one that "
    "it can use",
}
_FINE_CELLS = 7
"""A side, of a map that points; see `models.base.deepest_map`."""


@dataclass(frozen=True, slots=True)
class Card:
    """One overlay with its caption."""

    heat_map: HeatMap
    source: str | None
    """As a data URI; None if the file is not there."""
    probability: str
    truth: str


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """One method whose heat maps were scored."""

    title: str
    hit_rate: float | None
    how: str
    """A sentence, without its beginning, which is the title."""


def show(view: View) -> Shown | None:
    """Return the cards and hit rates of a finished run, None where there are none."""
    run = view.result.run
    if run is None or run.summary is None:
        return None
    found = run.summary.heat_maps
    if not found.methods and not found.left_out:
        return None
    return Shown(
        {
            "found": found,
            "is_trust": run.config.explain.show == "trust",
            "cards": [card_of(run.folder, each) for each in found.files],
            "methods": [
                MethodFacts(each.title, found.hit_rate[name], _how(name, each))
                for name, each in found.methods.items()
            ],
            "left_out": _left_out(found, run.config.model.name),
            "hits": sorted(found.by_label.items(), key=lambda pair: -pair[1].num_findings),
        }
    )


def card_of(folder: Path, heat_map: HeatMap) -> Card:
    """Return an overlay with its caption.

    Args:
        folder: of the run.
        heat_map: in it.
    """
    return Card(
        heat_map,
        source=_data_uri(folder, heat_map.file),
        probability=fixed(heat_map.probability, 2),
        truth="present" if heat_map.truth else "absent",
    )


def _data_uri(folder: Path, file: str) -> str | None:
    """Return the picture as text; only PNG files in a folder of the run's own are taken in."""
    path = (folder / file).resolve()
    inside = path.parent.parent == folder.resolve()
    if not inside or path.suffix.lower() != ".png" or not path.is_file():
        return None
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _left_out(found: HeatMaps, model: str) -> list[str]:
    """Return a sentence for each method that did not fit the network."""
    return [
        f"{each.title} is left out: it needs {need_in_words(each.lacks)}, and {model} is none."
        for each in found.left_out.values()
    ]


def _how(name: str, method: Method) -> str:
    how = _HOW.get(name, "is a method of a plug-in")
    if method.cells is None:
        return f"{how}."
    rows, columns = method.cells
    coarse = " These are too coarse to point well." if min(rows, columns) < _FINE_CELLS else ""
    return f"{how}, here {rows} × {columns} cells.{coarse}"
