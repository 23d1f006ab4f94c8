import pytest

from fedcxr.errors import ConfigError
from fedcxr.registry import Registry


def colors():
    registry = Registry[int]("paint.color", "color")
    registry.add("red", 0xFF0000)
    registry.add("blue", 0x0000FF)
    return registry


def test_names_come_in_the_order_in_which_they_were_added():
    registry = colors()
    assert registry.names() == ("red", "blue")
    assert registry.get("blue") == 0x0000FF


def test_a_decorated_function_is_an_entry_and_stays_what_it_is():
    registry = Registry[object]("shape.kind", "shape")

    @registry.register("square")
    def square(side):
        return side * side

    assert registry.get("square") is square
    assert square(3) == 9


def test_an_unknown_name_is_refused_with_the_nearest_and_all_known_ones():
    with pytest.raises(ConfigError) as refused:
        colors().get("bleu")
    assert str(refused.value) == (
        "paint.color: there is no color 'bleu' (did you mean 'blue'?). Known: red, blue."
    )


def test_a_name_that_resembles_none_is_refused_without_a_guess():
    with pytest.raises(ConfigError, match=r"no color 'xyz'\. Known: red, blue\."):
        colors().get("xyz")
    with pytest.raises(ConfigError, match=r"no color 'red'\. Known: none\."):
        Registry[int]("paint.color", "color").get("red")


def test_no_entry_takes_the_name_of_another():
    with pytest.raises(ValueError, match="there is a color 'red' already"):
        colors().add("red", 1)


def test_what_was_taken_out_is_unknown_again():
    registry = colors()
    registry.remove("red")
    assert registry.names() == ("blue",)
    registry.add("red", 1)
    assert registry.get("red") == 1
