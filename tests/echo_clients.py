"""Clients that send back what they got, for measuring the server alone; importable by workers."""

from dataclasses import replace

import numpy as np
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedcxr.parameters import ParameterSpec
from fedcxr.wire import (
    OK,
    PARAMETERS,
    RECEIPT,
    RESULT,
    Order,
    Receipt,
    pack_parameters,
    pack_receipt,
    unpack_order,
    unpack_parameters,
)

NUM_FLOATS = 7_000_000
"""28 MB, the size of densenet121."""


def flat_spec(num_floats: int = NUM_FLOATS) -> ParameterSpec:
    """Return the layout of a model that is one tensor and one counter."""
    return ParameterSpec(("weight", "steps"), ((num_floats,), (1,)), ("trainable", "counter"))


def receipt_for(order: Order, site_id: str, code: str = OK) -> Receipt:
    """Return the receipt of an order done."""
    return Receipt(
        order.run, order.round_num, order.nonce, order.spec_digest, site_id, code, reason=""
    )


def echo_app() -> ClientApp:
    """Return an app that adds the number of its site to every parameter and sends them back."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        order = unpack_order(message)
        site = int(context.node_config["partition-id"])
        got = unpack_parameters(message.content)
        sent = replace(got, vector=got.vector + np.float32(site))
        content = RecordDict(
            {
                RECEIPT: pack_receipt(receipt_for(order, f"site-{site:02d}")),
                RESULT: MetricRecord({"num-examples": 1, "train-loss": 0.0}),
                PARAMETERS: pack_parameters(sent),
            }
        )
        return Message(content, reply_to=message)

    return app
