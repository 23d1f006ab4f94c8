"""What can be chosen by name: one kind of table for losses, optimisers, schedules and the like.

A registry stands beside the code that it names, and whoever adds an entry touches one file. A
user's own is named `package.module:Name`, or as its package's entry point is. It is not for what a
user cannot choose, nor for names that a data set brings along.
"""

import importlib
import pkgutil
from collections.abc import Callable
from difflib import get_close_matches
from types import ModuleType
from typing import Generic, TypeVar

from fedcxr.errors import ConfigError
from fedcxr.plugins import check_allowed, entries_of, load

T = TypeVar("T")


class Registry(Generic[T]):
    """Values by name, in the order in which they were added.

    >>> colors = Registry[str]("paint.color", "color")
    >>> colors.add("red", "#f00"), colors.get("red"), colors.names()
    ('#f00', '#f00', ('red',))
    """

    def __init__(
        self,
        key: str,
        noun: str,
        group: str | None = None,
        accept: Callable[[object], T] | None = None,
    ) -> None:
        """Begin an empty registry.

        Args:
            key: the configuration's key that chooses, as in `train.loss`.
            noun: what one entry is, as in `loss`; for messages.
            group: of the entry points that packages may offer, as in `fedcxr.losses`.
            accept: makes an entry of what a user's name leads to, or raises a TypeError that says
                what is expected; none = users can bring none of their own.
        """
        self.key = key
        self.noun = noun
        self._group = group
        self._accept = accept
        self._values: dict[str, T] = {}
        self._loaded: dict[str, T] = {}

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
        """Return the value of a name, importing a user's own.

        Raises:
            ConfigError: there is no such entry; the message has the nearest and all known names.
        """
        if name in self._values:
            return self._values[name]
        reference = self.reference(name)
        if reference is not None:
            return self._load(name, reference)
        offered = entries_of(self._group) if self._group else {}
        names = [*self._values, *offered]
        near = get_close_matches(name, names, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        known = ", ".join(names) or "none"
        raise ConfigError(f"{self.key}: there is no {self.noun} {name!r}{meant}. Known: {known}.")

    def reference(self, name: str) -> str | None:
        """Return the `package.module:Name` of a user's own entry; None for ours and unknown ones.

        Raises:
            ConfigError: a package offers one under the name of another.
        """
        if self._accept is None or name in self._values:
            return None
        if ":" in name:
            return name
        return entries_of(self._group).get(name) if self._group else None

    def check_offered(self) -> None:
        """Raise ConfigError where a package offers an entry under a name that stands for ours."""
        offered = entries_of(self._group) if self._group else {}
        for name in [name for name in offered if name in self._values]:
            raise ConfigError(
                f"{self._group}: {offered[name]} is offered as {name!r}, which is fedcxr's own "
                f"{self.noun}. Rename it in its package, or uninstall that."
            )

    def _load(self, name: str, reference: str) -> T:
        check_allowed(self.key, reference)
        if reference not in self._loaded:
            assert self._accept is not None, "reference() gives none then"
            try:
                self._loaded[reference] = self._accept(load(self.key, reference))
            except TypeError as err:
                raise ConfigError(f"{self.key} = {name}: {err}.") from err
        return self._loaded[reference]

    def add_here(self, reference: str, value: object) -> None:
        """Let `__main__:Name` stand for what a script or a notebook has, in this process only.

        Given again, as when its cell was run again, it stands for the new value.

        Raises:
            ConfigError: it does not fit.
        """
        assert self._accept is not None, "users can bring none of their own"
        try:
            self._loaded[reference] = self._accept(value)
        except TypeError as err:
            raise ConfigError(f"{self.key} = {reference}: {err}.") from err

    def names(self) -> tuple[str, ...]:
        """Return the known names, in the order in which they were added."""
        return tuple(self._values)

    def remove(self, name: str) -> None:
        """Take an entry out again, as a test does with its own."""
        del self._values[name]

    def has(self, name: str) -> bool:
        """Return whether the name stands for an entry, ours or a user's."""
        return name in self._values or self.reference(name) is not None

    def discover(self, package: ModuleType, attribute: str) -> "Registry[T]":
        """Add what each module of a package has under `attribute`, by name; return the registry."""
        for found in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{found.name}")
            for name, value in getattr(module, attribute, {}).items():
                self.add(name, value)
        return self


def only(kind: type[T], example: str) -> Callable[[object], T]:
    """Return an `accept` for registries whose own entries are of one kind.

    Args:
        kind: of an entry.
        example: how one is made, for the message.
    """

    def accept(value: object) -> T:
        if not isinstance(value, kind):
            raise TypeError(f"is {_called(value)}, expected {kind.__name__}: {example}")
        return value

    return accept


def _called(value: object) -> str:
    return value.__name__ if isinstance(value, type) else f"a {type(value).__name__}"
