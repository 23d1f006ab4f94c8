from typing import Annotated, Literal

import pytest
from pydantic import Field, PositiveInt

from fedcxr.config.flag import Flag, flagged_keys
from fedcxr.section import Section


class Inner(Section):
    kind: Annotated[Literal["a", "b", "c"], Flag("One of {choices}.", name="--inner")] = "a"
    mu: Annotated[float | None, Flag("Of b.", chooses=("kind", "b"))] = Field(default=None, ge=0)
    hidden: int = 3


class Outer(Section):
    some_size: Annotated[PositiveInt, Flag("Pixels.")] = 1
    fast: Annotated[bool, Flag("Faster.")] = False
    order: Annotated[Literal["up", "down"], Flag()] = "up"
    names: Annotated[tuple[Literal["x", "y", "z"], ...] | None, Flag()] = None
    roots: Annotated[str | tuple[str, ...] | None, Flag("Folders.", is_path=True)] = None
    inner: Inner = Inner()


FOUND = {flagged.key: flagged for flagged in flagged_keys(Outer)}


def test_keys_with_a_flag_are_found_in_their_order_and_others_are_not():
    keys = ["some_size", "fast", "order", "names", "roots", "inner.kind", "inner.mu"]
    assert list(FOUND) == keys


@pytest.mark.parametrize(
    ("key", "name", "parameter", "kind"),
    [
        ("some_size", "--some-size", "some_size", int),
        ("fast", "--fast/--no-fast", "fast", bool),
        ("order", "--order", "order", str),
        ("inner.kind", "--inner", "inner", str),
        ("inner.mu", "--mu", "mu", float),
    ],
)
def test_name_and_type_follow_from_the_field(key, name, parameter, kind):
    found = FOUND[key]
    assert (found.name, found.parameter, found.type) == (name, parameter, kind)


def test_choices_are_those_of_the_literal():
    assert FOUND["order"].help == "up or down."
    assert FOUND["names"].help == "x, y, z."
    assert FOUND["inner.kind"].help == "One of a, b, c."


def test_a_tuple_is_a_list_with_commas_and_a_value_or_a_tuple_is_given_several_times():
    assert (FOUND["names"].is_list, FOUND["names"].is_repeated) == (True, False)
    assert (FOUND["roots"].is_list, FOUND["roots"].is_repeated) == (False, True)
    assert (FOUND["order"].is_list, FOUND["order"].is_repeated) == (False, False)


def test_the_key_that_a_flag_chooses_is_one_of_its_own_section():
    assert FOUND["inner.mu"].chooses == ("inner.kind", "b")
    assert (FOUND["inner.mu"].section, FOUND["some_size"].section) == ("inner", "")


def test_the_marker_leaves_the_checks_of_the_field_alone():
    with pytest.raises(ValueError, match="greater than 0"):
        Outer(some_size=0)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Inner(mu=-1.0)
