"""A Flower message as frames of bytes, for the socket between this process and a local worker.

The first frame is a list of the arrays, the second Flower's own protobuf of the message without
them; the arrays follow as they are, and are left out when the other side has them already. Nothing
is pickled. Arrays are received into memory maps of their own, which go back to the system the
moment the message is dropped: from the heap, 28 MB blocks were kept and fragmented, and the server
grew by six of them from 5 to 50 clients.
"""

import json
import mmap
import socket
import struct
from dataclasses import dataclass
from typing import Any

from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.common.serde import message_from_proto, message_to_proto, recorddict_to_proto
from flwr.common.serde_utils import metadata_to_proto
from flwr.proto.message_pb2 import Message as MessageProto

_LENGTH = struct.Struct("<Q")


@dataclass(slots=True)
class Memory:
    """The last arrays that crossed a socket in one direction, by record name."""

    token: int = 0
    records: dict[str, ArrayRecord] | None = None


def send_message(to: socket.socket, message: Message, token: int, memory: Memory) -> None:
    """Send a message; its arrays only if the other side's memory has another `token`.

    Args:
        to: the other process.
        message: with or without arrays.
        token: names the arrays; 0 = never remember them.
        memory: what the other side has, updated here.

    Raises:
        OSError: the other side is gone.
    """
    records = arrays_of(message)
    known = bool(token) and memory.token == token
    listed = [
        [name, key, array.dtype, list(array.shape), array.stype]
        for name, record in records.items()
        for key, array in record.items()
    ]
    _send(to, json.dumps({"arrays": listed, "known": known, "token": token}).encode())
    _send(to, _without_arrays(message).SerializeToString())
    if not known:
        for record in records.values():
            for array in record.values():
                _send(to, array.data)
    if token:
        memory.token = token


def arrays_of(message: Message) -> dict[str, ArrayRecord]:
    """Return a message's records of arrays.

    `content.array_records` would do, but the view that it makes is a reference cycle, which keeps
    the arrays in memory until the garbage collector comes by.
    """
    content = message.content if message.has_content() else RecordDict()
    return {name: record for name, record in content.items() if isinstance(record, ArrayRecord)}


def receive_message(source: socket.socket, memory: Memory) -> Message:
    """Return the next message; `EOFError` when the other side is gone."""
    head = json.loads(bytes(_receive(source)))
    message = message_from_proto(MessageProto.FromString(bytes(_receive(source))))
    if not head["arrays"]:
        return message
    received = memory.records if head["known"] else _receive_records(source, head["arrays"])
    if head["token"]:
        memory.token, memory.records = head["token"], received
    for name, record in (received or {}).items():
        message.content[name] = record
    return message


def _receive_records(source: socket.socket, listed: list[list[Any]]) -> dict[str, ArrayRecord]:
    records: dict[str, ArrayRecord] = {}
    for name, key, dtype, shape, stype in listed:
        array = Array(dtype=dtype, shape=tuple(shape), stype=stype, data=b"")
        array.data = _receive(source)  # type: ignore[assignment]  # bytes would copy it again
        records.setdefault(name, ArrayRecord())[key] = array
    return records


def _send(to: socket.socket, data: bytes | memoryview) -> None:
    to.sendall(_LENGTH.pack(len(data)))
    to.sendall(data)


def _receive(source: socket.socket) -> memoryview:
    (length,) = _LENGTH.unpack(_fill(source, memoryview(bytearray(_LENGTH.size))))
    return _fill(source, memoryview(mmap.mmap(-1, max(length, 1)))[:length])


def _fill(source: socket.socket, buffer: memoryview) -> memoryview:
    filled = 0
    while filled < len(buffer):
        got = source.recv_into(buffer[filled:])
        if got == 0:
            raise EOFError("the other process is gone")
        filled += got
    return buffer


def _without_arrays(message: Message) -> MessageProto:
    if not message.has_content():
        return message_to_proto(message)
    light = RecordDict({n: r for n, r in message.content.items() if not isinstance(r, ArrayRecord)})
    return MessageProto(
        metadata=metadata_to_proto(message.metadata), content=recorddict_to_proto(light)
    )
