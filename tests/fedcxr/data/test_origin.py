import copy
import json

import pytest

from fedcxr.data.origin import DrawnPart, FoldPart, FoldsPart, OfficialPart, TestSet
from fedcxr.data.records import OfficialSet

VALID = OfficialSet("test", "chexpert-valid", ("valid.csv",), "chexpert")
JOINED = TestSet(
    (OfficialPart(VALID, 200), DrawnPart("nih14", 0.2, 12, 60)),
    (OfficialSet("val", "table", ("dev.csv",), "nih14-2"),),
)
FOLD = TestSet((FoldPart(4, 5, 10, 52),), (VALID,))
ALL_FOLDS = TestSet((FoldsPart(5, 52),), (VALID,))


@pytest.mark.parametrize("test_set", [JOINED, FOLD, ALL_FOLDS])
def test_what_is_written_is_read_back(test_set):
    assert TestSet.from_json(json.loads(json.dumps(test_set.to_json()))) == test_set


def test_patients_are_those_of_all_parts():
    assert (JOINED.patients, FOLD.patients) == (212, 10)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("parts",), []),
        (("parts",), "The test set is valid.csv."),
        (("parts", 0, "origin"), "invented"),
        (("parts", 0, "official", "split"), "val"),
        (("parts", 0, "official", "split"), "train"),
        (("parts", 0, "official", "kind"), "mine"),
        (("parts", 0, "official", "files"), "valid.csv"),
        (("parts", 0, "patients"), "200"),
        (("parts", 0, "patients"), True),
        (("parts", 0, "patients"), 0),
        (("parts", 0, "more"), 1),
        (("parts", 0, "official", "more"), 1),
        (("parts", 1, "patients"), 61),
        (("parts", 1, "patients"), -1),
        (("parts", 1, "fraction"), 1.5),
        (("parts", 1, "fraction"), float("nan")),
        (("parts", 1, "fraction"), "0.2"),
        (("parts", 1, "of_patients"), None),
        (("parts", 1, "source"), None),
        (("parts", 0, "official"), None),
        (("parts", 0, "official", "files"), [1]),
        (("parts", 0, "official", "source"), 1),
        (("parts", 0, "origin"), ["official"]),
        (("parts", 1, "source"), "chexpert"),
        (("parts", 1), {"origin": "fold", "fold": 0, "folds": 2, "patients": 1, "of_patients": 2}),
        (("left_out", 0), None),
        (("more",), 1),
    ],
)
def test_nonsense_is_refused(keys, value):
    tree = copy.deepcopy(JOINED.to_json())
    place = tree
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with pytest.raises(ValueError, match=r"."):
        TestSet.from_json(tree)


@pytest.mark.parametrize(
    ("key", "value"), [("fold", 5), ("fold", -1), ("patients", 53), ("fold", 1.0)]
)
def test_a_fold_that_cannot_be_is_refused(key, value):
    tree = copy.deepcopy(FOLD.to_json())
    tree["parts"][0][key] = value
    with pytest.raises(ValueError, match=r"."):
        TestSet.from_json(tree)


@pytest.mark.parametrize("tree", [None, [], "x", 3, {}, {"left_out": []}])
def test_what_is_no_test_set_is_refused(tree):
    with pytest.raises(ValueError, match=r"."):
        TestSet.from_json(tree)
