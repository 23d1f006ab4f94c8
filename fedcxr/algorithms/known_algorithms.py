"""Algorithms by name: every module of this package that has `ALGORITHMS`."""

from functools import cache

from fedcxr import algorithms
from fedcxr.algorithms.protocol import Algorithm
from fedcxr.registry import Registry


@cache
def algorithm_registry() -> Registry[Algorithm]:
    """Return the one registry of algorithms, filled when it is first asked for."""
    registry = Registry[Algorithm]("algorithm.name", "algorithm")
    return registry.discover(algorithms, "ALGORITHMS")
