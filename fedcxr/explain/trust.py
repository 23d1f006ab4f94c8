"""Convincing and unreliable heat maps: images chosen by rule, frontal and lateral ones apart.

Looked at are images that the model calls positive (a probability of at least a half), the surest
first. Convincing: it is right, and the map's peak is where the finding is. Unreliable: it is as
sure and wrong; or it is right, and the peak is elsewhere: right for a wrong reason. Where the
finding is says its box; without one the peak is to be in the middle of the film, which only tells
a map of the anatomy from one of a corner's marker.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fedcxr.data.records import Box
from fedcxr.explain.choose import Example, Outcome
from fedcxr.explain.peaks import peak_in_box

SURE = 0.5
MOST_LOOKED_AT = 32
"""Right ones of a view whose maps are made."""
MIDDLE = Box("", "", 0.15, 0.15, 0.7, 0.7)
"""What a peak has to be in where no box is known."""

MapsOf = Callable[[Sequence[int]], NDArray[np.float32]]
"""Rows → (N, H, W) heat maps."""


def choose_by_trust(
    target: NDArray[np.float32],
    probs: NDArray[np.float32],
    views: NDArray[np.str_],
    label_index: int,
    *,
    boxes: Callable[[int], Sequence[Box]],
    maps_of: MapsOf,
    per_outcome: int,
) -> list[Example]:
    """Return one label's examples: of each view convincing ones, then the two unreliable kinds.

    Args:
        target: (N,) in {0, 1, nan}; nan is never shown.
        probs: (N,).
        views: (N,) `frontal` or `lateral`.
        label_index: of the label.
        boxes: by row, where its finding is known to be; none = not known.
        maps_of: the heat maps of some rows.
        per_outcome: how many of each view and kind, at most.
    """
    order = np.argsort(-probs, kind="stable")
    sure = order[probs[order] >= SURE]
    found: list[Example] = []
    for view in sorted(set(views.tolist())):
        own = sure[views[sure] == view]
        right = own[target[own] == 1][:MOST_LOOKED_AT].tolist()
        inside = [
            any(peak_in_box(heat, box) for box in boxes(row) or (MIDDLE,))
            for row, heat in zip(right, maps_of(right) if right else (), strict=True)
        ]
        kinds: tuple[tuple[Outcome, list[int]], ...] = (
            ("convincing", [row for row, is_in in zip(right, inside, strict=True) if is_in]),
            ("unreliable: wrong", own[target[own] == 0].tolist()),
            (
                "unreliable: looks elsewhere",
                [row for row, is_in in zip(right, inside, strict=True) if not is_in],
            ),
        )
        for outcome, rows in kinds:
            found += [Example(row, label_index, outcome) for row in rows[:per_outcome]]
    return found
