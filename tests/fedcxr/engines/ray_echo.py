"""Clients for the tests of the Ray engine; imported by its actors, so without torch and pytest."""

import os
import time
from pathlib import Path

import numpy as np
import ray
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

SIZE = 1_000_000
"""Bytes of an array: over 100 kB, or Ray would not put it into its object store."""


def order_of(node, value=3, *, do="echo", at=0, machine="", mark="/dev/null", size=SIZE):
    record = ArrayRecord({"vector": Array(np.full(size, value, np.uint8))})
    order = ConfigRecord({"do": do, "node": at, "machine": machine, "mark": str(mark)})
    content = RecordDict({"order": order, "parameters": record})
    return Message(content, dst_node_id=node, message_type="train")


def echo_app():
    """Return an app that sends back twice what it got, after what the order says to do first.

    It does so at the order's node (0 = every node) and machine (empty = every machine), and adds a
    line to the file `mark` each time.
    """
    app = ClientApp()

    @app.train()
    def train(message, context):
        order = message.content["order"]
        if order["node"] in (0, context.node_id) and order["machine"] in ("", machine()):
            with Path(order["mark"]).open("a") as mark:
                mark.write(f"{os.getpid()}\n")
            if order["do"] == "die":
                os._exit(9)
            if order["do"] == "hang":
                time.sleep(120)
            if order["do"] == "run out" and len(Path(order["mark"]).read_text().split()) == 1:
                receipt = ConfigRecord({"code": "out-of-memory"})
                return Message(RecordDict({"receipt": receipt}), reply_to=message)
        sent = {key: Array(array.numpy() * np.uint8(2)) for key, array in arrays_of(message)}
        said = ConfigRecord({"pid": os.getpid(), "machine": machine()})
        content = RecordDict({"said": said, "parameters": ArrayRecord(sent)})
        return Message(content, reply_to=message)

    return app


def broken_app():
    """Fail as a machine does where a package is missing."""
    raise ImportError("no such thing here")


def arrays_of(message):
    return message.content["parameters"].items()


def machine():
    """Return Ray's id of this machine."""
    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else "none"
