"""What trains a site here, compared with what would train it in a new process.

A function or a registry's entry that a script or a notebook changed is changed in that process
only: workers import the modules anew. So that they do not quietly train with something else, both
sides follow all that local training calls, from name to name, and compare.
"""

import functools
import hashlib
import json
import select
import socket
import types
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from clients.train import train_order
from fedcxr.config.algorithm import AlgorithmConfig
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.model import ModelConfig
from fedcxr.config.train import TrainConfig
from fedcxr.engines.fork_server import ANSWER_S, fork_server
from fedcxr.errors import ConfigError, FedCxrError, RunError, some
from fedcxr.plugins import HERE
from fedcxr.registry import Registry
from fedcxr.training.choices import chosen_entries, own_entries

_FOLLOWED = ("clients.train", "fedcxr.algorithms", "fedcxr.models", "fedcxr.training", HERE)
"""Modules and packages whose functions are followed; of all others a digest is enough."""
_MODULE = "fedcxr.engines.same_code"
_PLAIN = (bool, int, float, str, bytes, type(None))
_METHODS = (types.FunctionType, staticmethod, classmethod, property)
_MADE = {"__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__", "__getstate__"} | {
    "__setstate__",
    "__replace__",
}
"""Methods that `dataclass` makes and that compute nothing of a training."""
_MEND = (
    "Save it in a module of its own and name it package.module:Name (docs/extending.md), or train "
    "in this process alone: engine.workers=1 (--workers 1)."
)


def check_same_code(*configs: ExperimentConfig) -> None:
    """Raise ConfigError where a worker would train with other code than this process has.

    Args:
        configs: of the runs; those that train in the same way are looked at once.

    Raises:
        ConfigError: names what is another there, or what a worker cannot import.
        RunError: no process can be started.
    """
    for text, config in {_asked(config): config for config in configs}.items():
        ours, theirs = socket.socketpair()
        with ours, theirs:
            fork_server(_MODULE).fork(theirs, f"{_MODULE}:answer", text)
            theirs.close()
            found = json.loads(_read(ours) or "{}")
        if "error" in found:
            raise ConfigError(f"In a worker: {found['error']} {_MEND}")
        if "code" not in found:
            raise RunError("A worker ended before it said which code it has. Its output says why.")
        here = training_code(config.model, config.train, config.algorithm)
        raise_if_other(here, found["code"])


def raise_if_other(here: Mapping[str, str], there: Mapping[str, str]) -> None:
    """Raise ConfigError where a worker has other code; names the entry first that was chosen."""
    other = [slot for slot in here if here[slot] != there.get(slot)]
    other += [slot for slot in there if slot not in here]
    if other:
        raise ConfigError(
            f"{some(other, 3)}: was added or changed in this process, and its workers have it as "
            f"the module defines it. {_MEND}"
        )


def of_this_process_only(config: ExperimentConfig) -> list[str]:
    """Return what of local training a script or a notebook cell defined: no other finds it."""
    parts = config.model, config.train, config.algorithm
    given = [f"{key} = {name}" for key, name in own_entries(*parts).items()]
    defined = training_code(*parts).items()
    found = [slot for slot in given if f" = {HERE}:" in slot]
    return list(dict.fromkeys([*found, *(s for s, code in defined if code.startswith(f"{HERE}:"))]))


def answer(to: socket.socket, text: str) -> None:
    """Send what trains a site in this process; the other side of `check_same_code`."""
    asked = json.loads(text)
    try:
        code = training_code(
            ModelConfig.model_validate(asked["model"]),
            TrainConfig.model_validate(asked["train"]),
            AlgorithmConfig.model_validate(asked["algorithm"]),
        )
        found: dict[str, Any] = {"code": code}
    except (FedCxrError, ValueError) as err:  # pydantic's errors are ValueErrors
        found = {"error": str(err)}
    to.sendall(json.dumps(found).encode())


def training_code(
    model: ModelConfig, train: TrainConfig, algorithm: AlgorithmConfig
) -> dict[str, str]:
    """Return by name all that local training calls: where each was defined, and a digest of it.

    The chosen entries come first, as `train.loss = bce`.
    """
    own = own_entries(model, train, algorithm).values()
    walk = _Walk((*_FOLLOWED, *(text.partition(":")[0].partition(".")[0] for text in own)))
    for key, (registry, name) in chosen_entries(model, train, algorithm).items():
        walk.take(f"{key} = {name}", registry.get(name))
    walk.take("clients.train.train_order", train_order)
    return walk.finish()


class _Walk:
    """Follows functions, classes and constants from name to name, each once."""

    def __init__(self, followed: tuple[str, ...]) -> None:
        self._followed = followed
        self._found: dict[str, str] = {}
        self._todo: deque[tuple[str, Any]] = deque()

    def take(self, slot: str, value: object) -> None:
        """Put a value on the list under the name by which it is reached."""
        if slot not in self._found:
            self._found[slot] = ""
            self._todo.append((slot, value))

    def finish(self) -> dict[str, str]:
        while self._todo:
            slot, value = self._todo.popleft()
            self._found[slot] = self._look(slot, value)
        return {slot: found for slot, found in self._found.items() if found}

    def _look(self, slot: str, value: Any) -> str:  # noqa: ANN401  # anything that has a name
        if isinstance(value, functools.partial):
            for number, part in enumerate((value.func, *value.args, *value.keywords.values())):
                self.take(f"{slot}({number})", part)
            return "partial"
        value = getattr(value, "__wrapped__", value)  # lru_cache and the like
        if isinstance(value, staticmethod | classmethod | types.MethodType):
            value = value.__func__
        if isinstance(value, property):
            value = value.fget
        if isinstance(value, types.FunctionType):
            return self._function(slot, value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.BuiltinFunctionType):
            return f"{value.__module__}:{value.__qualname__}"
        if isinstance(value, _PLAIN):
            return repr(value)
        if isinstance(value, tuple):
            for number, part in enumerate(value):
                self.take(f"{slot}[{number}]", part)
            return f"tuple of {len(value)}"
        return self._instance(slot, value)

    def _instance(self, slot: str, value: Any) -> str:  # noqa: ANN401  # of any class
        kind = type(value)
        if isinstance(value, Registry | types.ModuleType) or not self._is_followed(kind):
            return ""
        for name in getattr(kind, "__dataclass_fields__", ()):
            self.take(f"{slot}.{name}", getattr(value, name))
        self.take(_name(kind), kind)
        return _name(kind)

    def _function(self, slot: str, value: types.FunctionType) -> str:
        if self._is_followed(value):
            for number, cell in enumerate(value.__closure__ or ()):
                self.take(f"{slot}~{number}", _content(cell))
            for number, default in enumerate(value.__defaults__ or ()):
                self.take(f"{slot}?{number}", default)
            self._follow_names(value)
        return f"{_name(value)} {_digest(value.__code__)}"

    def _class(self, value: type) -> str:
        if self._is_followed(value):
            for name, part in vars(value).items():
                if isinstance(part, _METHODS) and name not in _MADE:
                    self.take(f"{_name(value)}.{name}", part)
            for base in value.__bases__:
                self.take(_name(base), base)
        return _name(value)

    def _follow_names(self, function: types.FunctionType) -> None:
        names = [name for code in _codes(function.__code__) for name in code.co_names]
        place = function.__globals__
        for name in dict.fromkeys(names):
            if name not in place:
                continue
            if not isinstance(place[name], types.ModuleType):
                self.take(f"{place.get('__name__')}.{name}", place[name])
                continue
            module = place[name]
            for attribute in dict.fromkeys(names):
                found = vars(module).get(attribute)
                if isinstance(found, types.FunctionType | types.BuiltinFunctionType | type):
                    self.take(f"{module.__name__}.{attribute}", found)

    def _is_followed(self, value: Any) -> bool:  # noqa: ANN401  # a function or a class
        module = f"{getattr(value, '__module__', '')}."
        return any(module.startswith(f"{name}.") for name in self._followed)


def _name(value: Any) -> str:  # noqa: ANN401  # a function or a class
    return f"{value.__module__}:{value.__qualname__}"


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _digest(code: types.CodeType) -> str:
    """Return a digest of what a function does; where it stands in its file is not in it."""
    sha = hashlib.sha256()
    for part in _codes(code):
        constants = [
            sorted(map(repr, constant)) if isinstance(constant, frozenset) else repr(constant)
            for constant in part.co_consts
            if not isinstance(constant, types.CodeType)
        ]
        sha.update(repr((part.co_code, part.co_names, constants)).encode())
    return sha.hexdigest()[:16]


def _asked(config: ExperimentConfig) -> str:
    parts = {"model": config.model, "train": config.train, "algorithm": config.algorithm}
    return json.dumps({name: part.model_dump(mode="json") for name, part in parts.items()})


def _read(source: socket.socket) -> str:
    data = b""
    while select.select([source], [], [], ANSWER_S)[0]:
        more = source.recv(2**16)
        if not more:
            break
        data += more
    return data.decode()
