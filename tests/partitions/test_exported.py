"""Whether the server's data folder is the one that a run began with."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from fedcxr.data.records import RecordTable
from fedcxr.errors import ArtefactError
from partitions.exported import check_same_sets


def table(states, names=("a", "b")):
    many = ("",) * len(names)
    ages = (None,) * len(names)
    return RecordTable(
        ("Edema", "Mass"), names, many, many, many, many, many, many, ages, np.int8(states)
    )


def plan(digest, val, test=None, sites=("site-00",)):
    tables = {"global/val.csv": val, "global/test.csv": test or table([[1, 0], [0, 1]])}
    return SimpleNamespace(
        digest=digest,
        folder="data",
        table=lambda name: tables[name],
        sites=[SimpleNamespace(site_id=site) for site in sites],
    )


VAL = table([[1, 0], [0, 1]])
KEPT = plan("one", VAL)


def test_the_same_plan_is_taken():
    check_same_sets(KEPT, plan("one", VAL))


@pytest.mark.parametrize(
    ("today", "words"),
    [
        (
            plan("two", table([[1, 0], [-1, 1]])),
            r"data: .* began with: global/val\.csv: Edema of image b was negative, is uncertain\.",
        ),
        (plan("two", table([[1, 0]], ("a",))), r"global/val\.csv: image b is gone\."),
        (plan("two", table([[1, 0], [0, 1], [1, 1]], ("a", "b", "c"))), "image c is new"),
        (
            plan("two", replace(VAL, labels=("Edema", "Nodule"))),
            "had the labels Edema, Mass, has Edema, Nodule",
        ),
        (plan("two", VAL, sites=("site-01",)), "site site-00 is gone, site site-01 is new"),
        (plan("two", VAL), "another partition with other training data"),
    ],
)
def test_other_data_are_refused_with_the_first_differences(today, words):
    with pytest.raises(ArtefactError, match=words):
        check_same_sets(KEPT, today)
