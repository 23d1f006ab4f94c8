"""What of named vectors is not as declared, in a phrase."""

import re

import numpy as np
import pytest

from fedcxr.vectors import VectorSpec, problem_of

DECLARED = {
    "update": VectorSpec("<f4", 3),
    "steps": VectorSpec("|i1", 2),
    "counters": VectorSpec("<i8", 0),
}
GOOD = {
    "update": np.float32([1, np.nan, np.inf]),
    "steps": np.int8([1, 2]),
    "counters": np.int64([]),
}


def test_vectors_as_declared_have_no_problem_whatever_their_values():
    assert problem_of(GOOD, DECLARED) == ""
    assert problem_of(dict(reversed(GOOD.items())), DECLARED) == ""
    assert problem_of({}, {}) == ""


@pytest.mark.parametrize("name", GOOD)
def test_a_vector_that_is_missing_is_named(name):
    vectors = {key: vector for key, vector in GOOD.items() if key != name}
    assert problem_of(vectors, DECLARED) == f"'{name}' is missing"


def test_a_vector_that_is_not_declared_is_named_in_40_letters_at_most():
    assert problem_of({**GOOD, "patients": GOOD["steps"]}, DECLARED) == "'patients' is not declared"
    long = "z" * 5000
    assert problem_of({**GOOD, long: GOOD["steps"]}, DECLARED) == f"'{'z' * 40}' is not declared"


@pytest.mark.parametrize(
    ("name", "vector", "words"),
    [
        ("update", np.zeros(3, np.float64), "'update' is float64 with 1 dim.*expected float32"),
        ("update", np.zeros(3, ">f4"), "'update' is >f4 with 1 dimensions, expected float32"),
        ("update", np.zeros(3, np.int32), "'update' is int32"),
        ("update", np.zeros((3, 1), np.float32), "'update' is float32 with 2 dimensions"),
        ("update", np.float32(1), "'update' is float32 with 0 dimensions"),
        ("steps", np.zeros(2, np.uint8), "'steps' is uint8 with 1 dimensions, expected int8"),
        ("counters", np.zeros(0, np.int32), "'counters' is int32"),
        ("update", np.zeros(2, np.float32), "'update' has 2 numbers, expected 3"),
        ("update", np.zeros(4, np.float32), "'update' has 4 numbers, expected 3"),
        ("counters", np.zeros(1, np.int64), "'counters' has 1 numbers, expected 0"),
        ("steps", np.zeros(0, np.int8), "'steps' has 0 numbers, expected 2"),
    ],
)
def test_another_dtype_byte_order_shape_or_length_is_named(name, vector, words):
    found = problem_of({**GOOD, name: np.asarray(vector)}, DECLARED)
    assert re.match(words, found)


def test_of_several_problems_the_first_by_name_is_told():
    # so server and site say the same of the same vectors, in whatever order they come
    vectors = {"update": GOOD["update"][:1], "zebra": GOOD["steps"], "counters": GOOD["counters"]}
    for found in (vectors, dict(reversed(vectors.items()))):
        assert problem_of(found, DECLARED) == "'steps' is missing"
