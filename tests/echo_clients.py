"""Clients that send back what they got, for measuring the server alone; importable by workers."""

import numpy as np
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedcxr.config.algorithm import AlgorithmConfig
from fedcxr.parameters import ParameterSpec
from fedcxr.schema import COUNTERS, WireSchema
from fedcxr.shared_part import SharedPart
from fedcxr.wire import (
    OK,
    RECEIPT,
    RESULT,
    VECTORS,
    Order,
    Receipt,
    pack_receipt,
    pack_vectors,
    unpack_order,
    vectors_in,
)

NUM_FLOATS = 3_500_000
"""14 MB, half of densenet121."""


def flat_spec(num_floats: int = NUM_FLOATS) -> ParameterSpec:
    """Return the layout of a model that is one tensor and one counter."""
    return ParameterSpec(("weight", "steps"), ((num_floats,), (1,)), ("trainable", "counter"))


def flat_schema(num_floats: int = NUM_FLOATS, algorithm: str = "fedavg") -> WireSchema:
    """Return what crosses of that model."""
    return WireSchema(SharedPart(flat_spec(num_floats)), AlgorithmConfig(name=algorithm))


def receipt_for(order: Order, site_id: str, code: str = OK) -> Receipt:
    """Return the receipt of an order done."""
    return Receipt(
        order.run, order.round_num, order.nonce, order.schema_digest, site_id, code, reason=""
    )


def echo_app() -> ClientApp:
    """Return an app whose sites add their number to every parameter, whatever the algorithm."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        order = unpack_order(message)
        site = int(context.node_config["partition-id"])
        schema = flat_schema(_num_floats(message), order.task)
        got = vectors_in(message.content, schema.order)
        sent = {
            name: np.full(spec.length, site, spec.dtype) for name, spec in schema.reply.items()
        } | {COUNTERS: got[COUNTERS]}
        content = RecordDict(
            {
                RECEIPT: pack_receipt(receipt_for(order, f"site-{site:02d}")),
                RESULT: MetricRecord({"num-examples": 1, "train-loss": 0.0}),
                VECTORS: pack_vectors(sent),
            }
        )
        return Message(content, reply_to=message)

    return app


def _num_floats(message: Message) -> int:
    return int(message.content[VECTORS]["vector"].shape[0])
