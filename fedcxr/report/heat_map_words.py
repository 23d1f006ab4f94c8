"""What the report says of the methods that made the heat maps: how each works, and how finely."""

from collections.abc import Iterator
from dataclasses import dataclass

from fedcxr.explain.needs import need_in_words
from fedcxr.report.read_run import Tree
from fedcxr.report.wording import as_number

_HOW = {
    "gradcam": "weighs the channels of a map by their gradients, of the deepest map that has at "
    "least 7 cells a side",
    "cam": "is the class activation map: the head's weights over the last map, the only one that "
    "it can use",
}
_FINE_CELLS = 7
"""A side, of a map that points; see `models.base.deepest_map`."""


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """One method whose heat maps were scored."""

    title: str
    hit_rate: float | None
    how: str
    """A sentence, without its beginning, which is the title."""


def method_facts(heat_maps: Tree) -> list[MethodFacts]:
    """Return the methods in the run's order."""
    rates = heat_maps.get("hit_rate") or {}
    return [
        MethodFacts(str(found.get("title") or name), as_number(rates.get(name)), _how(name, found))
        for name, found in (heat_maps.get("methods") or {}).items()
    ]


def left_out_sentences(heat_maps: Tree, model: str) -> Iterator[str]:
    """Yield a sentence for each method that did not fit the network.

    >>> left_out = {"cam": {"title": "CAM", "lacks": "no-pooled-head"}}
    >>> next(left_out_sentences({"left_out": left_out}, "alexnet")).partition(": ")[0]
    'CAM is left out'
    """
    for name, found in (heat_maps.get("left_out") or {}).items():
        need = need_in_words(str(found.get("lacks")))
        yield f"{found.get('title') or name} is left out: it needs {need}, and {model} is none."


def _how(name: str, found: Tree) -> str:
    how = _HOW.get(name, "is a method of a plug-in")
    cells = found.get("cells")
    if not cells:
        return f"{how}."
    rows, columns = cells
    coarse = " These are too coarse to point well." if min(rows, columns) < _FINE_CELLS else ""
    return f"{how}, here {rows} × {columns} cells.{coarse}"
