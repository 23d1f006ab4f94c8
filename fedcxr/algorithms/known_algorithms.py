"""Algorithms by name: every module of this package that has `ALGORITHMS`."""

from functools import cache

from fedcxr import algorithms
from fedcxr.algorithms.protocol import Algorithm
from fedcxr.registry import Registry, only


@cache
def algorithm_registry() -> Registry[Algorithm]:
    """Return the one registry of algorithms, filled when it is first asked for."""
    registry = Registry[Algorithm](
        "algorithm.name",
        "algorithm",
        "fedcxr.algorithms",
        only(Algorithm, "Name = Algorithm(...), with fedcxr.algorithms.protocol.Algorithm"),
    )
    return registry.discover(algorithms, "ALGORITHMS")
