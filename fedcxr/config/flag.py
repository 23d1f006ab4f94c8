"""The command line's flag of a configuration key, stated once: beside the key.

`rounds: Annotated[PositiveInt, Flag("Communication rounds.")] = 10` is all that `--rounds` needs:
its name, type and choices follow from the field. The command line (`fedcxr/cli/flags.py`) makes
its options of what `flagged_keys` finds.
"""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Flag:
    """Marks a field, in its `Annotated`, as one that has a flag."""

    help: str = "{choices}."
    """One line; `{choices}` stands for the values of the field's `Literal`."""
    name: str = ""
    """Where it is not the key's own, as in `--data` of `data.root`; of a yes or no without this
    there are two, `--compile/--no-compile`."""
    is_path: bool = False
    """Whether it is kept as an absolute path: the run may be resumed from another folder."""
    chooses: tuple[str, str] | None = None
    """A key beside this one, and its value that alone makes use of this one: the flag chooses it,
    and is refused with another."""


@dataclass(frozen=True, slots=True)
class FlaggedKey:
    """A key of the configuration that has a flag, and what follows from its field."""

    key: str
    """Dotted, as in `server.rounds`."""
    name: str
    """As typed: `--rounds`, or `--compile/--no-compile`."""
    help: str
    type: type[bool | int | float | str]
    """Of one value, as it is typed."""
    is_list: bool
    """Whether several values stand with commas between."""
    is_repeated: bool
    """Whether the flag may be given more than once."""
    is_path: bool
    chooses: tuple[str, str] | None
    """A dotted key and its value, as in `Flag`."""

    @property
    def parameter(self) -> str:
        """Return the name of a verb's parameter: `score_by` of `--score-by`."""
        return self.name.partition("/")[0].removeprefix("--").replace("-", "_")

    @property
    def section(self) -> str:
        """Return the part of the configuration that it is of; empty for none."""
        return self.key.rpartition(".")[0]


def flagged_keys(section: type[BaseModel], above: str = "") -> Iterator[FlaggedKey]:
    """Yield the keys of a section and of those inside it that have a flag, in their order.

    Args:
        section: the class of the section.
        above: what stands before its keys, with a dot at the end.
    """
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from flagged_keys(field.annotation, f"{above}{name}.")
        for flag in field.metadata:
            if isinstance(flag, Flag):
                yield _flagged(flag, name, field.annotation, above)


def _flagged(flag: Flag, name: str, annotation: object, above: str) -> FlaggedKey:
    found = list(_plain_types(annotation))
    is_tuple = any(inside for _, inside in found)
    # A path may hold a comma.
    is_repeated = is_tuple and (flag.is_path or not all(inside for _, inside in found))
    dashed = f"--{name.replace('_', '-')}"
    kind = found[0][0]
    both = f"{dashed}/--no-{dashed.removeprefix('--')}" if kind is bool else dashed
    return FlaggedKey(
        key=f"{above}{name}",
        name=flag.name or both,
        help=flag.help.replace("{choices}", _in_words(_choices(annotation))),
        type=kind,
        is_list=is_tuple and not is_repeated,
        is_repeated=is_repeated,
        is_path=flag.is_path,
        chooses=(f"{above}{flag.chooses[0]}", flag.chooses[1]) if flag.chooses else None,
    )


def _plain_types(annotation: object, *, in_tuple: bool = False) -> Iterator[tuple[Any, bool]]:
    """Yield the types of a field's values, each with whether it stands in a tuple."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _plain_types(inner[0], in_tuple=in_tuple)
    elif origin is Literal:
        yield type(inner[0]), in_tuple
    elif origin in (Union, types.UnionType):
        for one in inner:
            yield from _plain_types(one, in_tuple=in_tuple)
    elif origin is tuple:
        yield from _plain_types(inner[0], in_tuple=True)
    elif annotation is not types.NoneType:
        yield annotation, in_tuple


def _choices(annotation: object) -> tuple[str, ...]:
    """Return the values of the literals in an annotation."""
    if get_origin(annotation) is Literal:
        return tuple(map(str, get_args(annotation)))
    return tuple(choice for one in get_args(annotation) for choice in _choices(one))


def _in_words(choices: tuple[str, ...]) -> str:
    """Return two choices as `a or b`, more as `a, b, c`."""
    return " or ".join(choices) if len(choices) == 2 else ", ".join(choices)
