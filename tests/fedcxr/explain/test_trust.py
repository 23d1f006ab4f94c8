"""Which heat maps are shown as convincing and as unreliable."""

import numpy as np

from fedcxr.data.records import Box
from fedcxr.explain.trust import choose_by_trust

#                 0    1    2    3    4    5    6    7    8
PROBS = np.float32([0.9, 0.8, 0.7, 0.6, 0.4, 0.95, 0.55, 0.52, 0.99])
TARGET = np.float32([1, 1, 0, 0, 1, 0, 1, 1, np.nan])
VIEWS = np.array(["frontal"] * 6 + ["lateral"] * 3)
CORNER = Box("", "", 0.0, 0.0, 0.2, 0.2)


def maps_of(rows):
    """Return maps whose peak lies in the upper left corner for odd rows, in the middle for even."""
    heat = np.zeros((len(rows), 10, 10), np.float32)
    for place, row in enumerate(rows):
        at = 0 if row % 2 else 5
        heat[place, at, at] = 1.0
    return heat


def chosen(boxes=lambda row: (), per_outcome=1, **changed):
    values = {"target": TARGET, "probs": PROBS, "views": VIEWS, **changed}
    found = choose_by_trust(
        *values.values(), 0, boxes=boxes, maps_of=maps_of, per_outcome=per_outcome
    )
    return [(example.row, example.outcome) for example in found]


def test_the_surest_of_each_kind_and_view_are_shown():
    # frontal: 0 and 1 are right, 0 in the middle and 1 in the corner; 5 is the surest wrong one.
    # lateral: 6 in the middle, 7 in the corner; 8 is not known, nothing sure is wrong.
    assert chosen() == [
        (0, "convincing"),
        (5, "unreliable: wrong"),
        (1, "unreliable: looks elsewhere"),
        (6, "convincing"),
        (7, "unreliable: looks elsewhere"),
    ]


def test_a_known_box_says_where_the_finding_is():
    assert chosen(lambda row: [CORNER] if row < 2 else [])[:3] == [
        (1, "convincing"),
        (5, "unreliable: wrong"),
        (0, "unreliable: looks elsewhere"),
    ]


def test_several_of_a_kind_come_with_the_surest_first_and_none_that_is_not_called():
    rows = chosen(per_outcome=9)
    assert [row for row, outcome in rows if outcome == "unreliable: wrong"] == [5, 2, 3]
    assert 4 not in [row for row, _ in rows]  # a miss: called absent
    assert chosen(probs=PROBS * 0.5) == []
