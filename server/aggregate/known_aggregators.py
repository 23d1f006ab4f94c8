"""Aggregators by name: every module of this package that has `AGGREGATORS`."""

from functools import cache

from fedcxr.registry import Registry, only
from server import aggregate
from server.aggregate.aggregator import AggregatorKind


@cache
def aggregator_registry() -> Registry[AggregatorKind]:
    """Return the one registry of aggregators, filled when it is first asked for."""
    registry = Registry[AggregatorKind](
        "server.aggregator",
        "aggregator",
        "fedcxr.aggregators",
        only(AggregatorKind, "Name = AggregatorKind(...), of server.aggregate.aggregator"),
    )
    return registry.discover(aggregate, "AGGREGATORS")
