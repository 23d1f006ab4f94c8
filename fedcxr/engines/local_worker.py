"""A persistent local worker: it answers messages with a ClientApp until its socket ends.

It is forked by `fedcxr.engines.fork_server`, never by the process that computes: a copy of one that
has used PyTorch's threads can hang.
"""

import logging
import socket

import numpy as np
from flwr.app import Context, Error, Message, RecordDict, UserConfig
from flwr.clientapp import ClientApp

from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.frames import (
    Packet,
    arrays_of,
    attach_arrays,
    describe,
    receive_packet,
    send_packet,
    size_of,
    write_arrays,
)
from fedcxr.engines.shared import Attached, Bytes
from fedcxr.packing import packing_into

log = logging.getLogger(__name__)

BROKE_OFF = 2
"""Flower's code for a ClientApp that raised."""


def serve(source: socket.socket, app: ClientApp) -> None:
    """Answer messages until the other end of the socket is closed."""
    blocks = Attached()
    contexts: dict[int, Context] = {}
    while True:
        try:
            order = receive_packet(source)
            for number in order.head["gone"]:
                blocks.drop(number)
            for number, descriptor in zip(order.head["new"], order.descriptors, strict=True):
                blocks.add(number, descriptor)
            if order.head["arrays"]:
                given = blocks.at(order.head["block"])
                given.flags.writeable = False  # it is every worker's
                attach_arrays(order.message, order.head["arrays"], given)
            number = order.head["reply"]
            room = np.zeros(0, np.uint8) if number is None else blocks.at(number)
            with packing_into(room):
                reply = answer(app, order.message, contexts)
            _reply(source, reply, room)
            del order, reply  # what looks into a block keeps its memory
        except (EOFError, OSError):
            return


def _reply(to: socket.socket, message: Message, room: Bytes) -> None:
    """Send a message whose arrays go into the room that the order named, or after it."""
    records = arrays_of(message)
    listed = describe(records)
    inline = size_of(listed) > len(room) or len(room) == 0
    if inline:
        room = np.zeros(size_of(listed), np.uint8)
    write_arrays(records, room)
    packet = Packet({"arrays": listed, "inline": inline}, message)
    send_packet(to, packet, room if inline else None)


def answer(app: ClientApp, message: Message, contexts: dict[int, Context]) -> Message:
    """Return the app's reply, or an error reply without any text of the exception."""
    node_id = message.metadata.dst_node_id
    context = contexts.setdefault(node_id, simulated_context(message.metadata.run_id, node_id))
    try:
        return app(message, context)
    except Exception:  # the door of last resort: our own app answers errors itself
        log.exception("the client app broke off")
        return Message(Error(BROKE_OFF, "the client app broke off"), reply_to=message)


def simulated_context(run_id: int, node_id: int) -> Context:
    """Return the context of a simulated node: node ids are 1 + the partition's number."""
    return Context(
        run_id=run_id,
        node_id=node_id,
        node_config=UserConfig({"partition-id": node_id - 1}),
        state=RecordDict(),
        run_config=UserConfig(),
    )


def run(source: socket.socket, app: str) -> None:
    """Make the app of an `AppRef`'s text and serve."""
    serve(source, AppRef.from_text(app).load())
