"""What can be chosen by name: one kind of table for losses, optimisers, schedules and the like.

A registry stands beside the code that it names, and whoever adds an entry touches one file. It is
not for what a user cannot choose, nor for names that a data set brings along.
"""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Generic, TypeVar

from fedcxr.errors import ConfigError

T = TypeVar("T")


class Registry(Generic[T]):
    """Values by name, in the order in which they were added.

    >>> colors = Registry[str]("paint.color", "color")
    >>> colors.add("red", "#f00"), colors.get("red"), colors.names()
    ('#f00', '#f00', ('red',))
    """

    def __init__(self, key: str, noun: str) -> None:
        """Begin an empty registry.

        Args:
            key: the configuration's key that chooses, as in `train.loss`.
            noun: what one entry is, as in `loss`; for messages.
        """
        self.key = key
        self.noun = noun
        self._values: dict[str, T] = {}

    def add(self, name: str, value: T) -> T:
        """Add an entry and return its value.

        Raises:
            ValueError: the name is taken; a plug-in must not change what another name means.
        """
        if name in self._values:
            raise ValueError(f"{self.key}: there is a {self.noun} {name!r} already.")
        self._values[name] = value
        return value

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that adds what it decorates under the name."""
        return lambda value: self.add(name, value)

    def get(self, name: str) -> T:
        """Return the value of a name.

        Raises:
            ConfigError: there is no such entry; the message has the nearest and all known names.
        """
        if name in self._values:
            return self._values[name]
        near = get_close_matches(name, self._values, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        known = ", ".join(self._values) or "none"
        raise ConfigError(f"{self.key}: there is no {self.noun} {name!r}{meant}. Known: {known}.")

    def names(self) -> tuple[str, ...]:
        """Return the known names, in the order in which they were added."""
        return tuple(self._values)

    def remove(self, name: str) -> None:
        """Take an entry out again, as a test does with its own."""
        del self._values[name]
