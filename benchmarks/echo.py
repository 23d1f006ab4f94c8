"""Clients that answer with an update of nothing, through the real door with all its checks.

Importable by workers; `benchmarks/echo_server.py` drives them.
"""

from functools import cache

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from clients.egress import Outgoing, site_reply
from fedcxr.config.algorithm import AlgorithmConfig
from fedcxr.config.model import ModelConfig
from fedcxr.models.architectures import build_model
from fedcxr.parameters import ParameterSpec, spec_of
from fedcxr.schema import COUNTERS, VECTOR, WireSchema
from fedcxr.shared_part import SharedPart
from fedcxr.wire import unpack_order, vectors_in


def echo_app() -> ClientApp:
    """Return an app whose sites train on nothing."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        order = unpack_order(message)
        schema = echo_schema(order.task)
        got = vectors_in(message.content, schema.order)
        sent = {name: nothing(spec.length) for name, spec in schema.reply.items()}
        # A site reads what it is sent and makes its update of it; so does this one.
        sent["update"] = got[VECTOR] - got[VECTOR]
        sent[COUNTERS] = got[COUNTERS]
        return site_reply(
            message,
            order,
            site_id=site_name(int(context.node_config["partition-id"])),
            numbers={"num-examples": 1, "train-loss": 0.0},
            outgoing=Outgoing(sent, schema.reply),
        )

    return app


@cache
def echo_schema(algorithm: str) -> WireSchema:
    """Return what crosses: densenet121, 28 MB, and what an algorithm adds to it."""
    return WireSchema(SharedPart(echo_spec()), AlgorithmConfig(name=algorithm))


@cache
def echo_spec() -> ParameterSpec:
    """Return the layout of densenet121."""
    return spec_of(build_model(ModelConfig(name="densenet121", image_size=64), 14, seed=0))


@cache
def nothing(length: int) -> NDArray[np.float32]:
    """Return zeros, the same for every reply."""
    return np.zeros(length, np.float32)


def site_name(number: int) -> str:
    """Return the id of a site; they sort by number.

    >>> site_name(7)
    'site-0007'
    """
    return f"site-{number:04d}"
