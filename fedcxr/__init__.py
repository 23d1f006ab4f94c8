"""fedcxr: federated learning for chest radiographs on Flower.

What the command line does, from a script or a notebook (docs/python.md):

    import fedcxr
    run = fedcxr.simulate(clients=5, rounds=3)
    run.auroc

The rooms below can be used alone: `fedcxr.inference` uses a finished run's model, `fedcxr.data`
reads data sets, `fedcxr.metrics` scores predictions. Each name here is imported when it is first
asked for: every worker process imports this package, and must not pay for PyTorch.
"""

from typing import TYPE_CHECKING

from fedcxr.own_packages import claim_names
from fedcxr.version import __version__

claim_names()

if TYPE_CHECKING:
    from fedcxr.api.found import DataCheck, MadePartition, Result
    from fedcxr.api.verbs import check_data, compare, open, partition, resume, simulate

__all__ = [
    "DataCheck",
    "MadePartition",
    "Result",
    "__version__",
    "check_data",
    "compare",
    "open",
    "partition",
    "resume",
    "simulate",
]

_MODULES = {
    "DataCheck": "found",
    "MadePartition": "found",
    "Result": "found",
    "check_data": "verbs",
    "compare": "verbs",
    "open": "verbs",
    "partition": "verbs",
    "resume": "verbs",
    "simulate": "verbs",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"fedcxr.api.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
