"""A Flower message between this process and a local worker: a socket, and shared memory for arrays.

A packet is Flower's own protobuf of the message without its arrays, a list of where the arrays lie,
and the file descriptors of blocks that the other side has not seen yet. Nothing is pickled. Arrays
that do not fit the block which the server set aside for a reply follow over the socket.
"""

import json
import mmap
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.common.serde import message_from_proto, message_to_proto, recorddict_to_proto
from flwr.common.serde_utils import metadata_to_proto
from flwr.proto.message_pb2 import Message as MessageProto

from fedcxr.engines.shared import Bytes
from fedcxr.packing import aligned

_LENGTHS = struct.Struct("<QQ")
_MAX_DESCRIPTORS = 8

Records = dict[str, ArrayRecord]
Listed = Sequence[Sequence[Any]]
"""Name, key, dtype, shape, kind and length of each array, in the order they lie in."""


@dataclass(slots=True)
class Packet:
    """What crosses a socket at once."""

    head: dict[str, Any]
    """Numbers of blocks, and what the arrays are (`describe`)."""
    message: Message
    """Without arrays."""
    descriptors: list[int] = field(default_factory=list)


def send_packet(to: socket.socket, packet: Packet, inline: Bytes | None = None) -> None:
    """Send a packet, then what lies in no block.

    Raises:
        OSError: the other process is gone.
    """
    head = json.dumps(packet.head).encode()
    body = without_arrays(packet.message).SerializeToString()
    socket.send_fds(to, [_LENGTHS.pack(len(head), len(body))], packet.descriptors)
    to.sendall(head + body)
    if inline is not None:
        to.sendall(inline.data)


def receive_packet(source: socket.socket) -> Packet:
    """Return the next packet; `EOFError` when the other side is gone."""
    lengths = bytearray(_LENGTHS.size)
    start, descriptors, _, _ = socket.recv_fds(source, _LENGTHS.size, _MAX_DESCRIPTORS)
    if not start:
        raise EOFError("the other process is gone")
    lengths[: len(start)] = start
    receive_into(source, memoryview(lengths)[len(start) :])
    head_length, body_length = _LENGTHS.unpack(lengths)
    data = memoryview(bytearray(head_length + body_length))
    receive_into(source, data)
    message = message_from_proto(MessageProto.FromString(bytes(data[head_length:])))
    return Packet(json.loads(bytes(data[:head_length])), message, descriptors)


def arrays_of(message: Message) -> Records:
    """Return a message's records of arrays.

    `content.array_records` would do, but the view that it makes is a reference cycle, which keeps
    the arrays in memory until the garbage collector comes by.
    """
    content = message.content if message.has_content() else RecordDict()
    return {name: record for name, record in content.items() if isinstance(record, ArrayRecord)}


def size_of(listed: Listed) -> int:
    """Return the bytes that the arrays take in a block."""
    return sum(aligned(row[-1]) for row in listed)


def describe(records: Records) -> Listed:
    """Return what the arrays are, without them."""
    return [
        [name, key, found.dtype, list(found.shape), found.stype, len(found.data)]
        for name, record in records.items()
        for key, found in record.items()
    ]


def write_arrays(records: Records, into: Bytes) -> None:
    """Write the arrays one after another, each at a multiple of 64 bytes, where not there yet."""
    start = 0
    todo: list[tuple[Bytes, Bytes]] = []
    for record in records.values():
        for found in record.values():
            data = np.frombuffer(found.data, np.uint8)
            place = into[start : start + len(data)]
            start += aligned(len(data))
            if data.ctypes.data != place.ctypes.data:
                todo.append((place, data.copy() if np.may_share_memory(data, into) else data))
    for place, data in todo:
        place[:] = data


def attach_arrays(message: Message, listed: Listed, data: Bytes) -> None:
    """Put the arrays that lie in `data` into the message, without a copy."""
    records: Records = {}
    start = 0
    for name, key, dtype, shape, stype, length in listed:
        found = Array(dtype=dtype, shape=tuple(shape), stype=stype, data=b"")
        # Flower has bytes here, which would be a copy.
        found.data = data[start : start + length].data  # type: ignore[assignment]
        records.setdefault(name, ArrayRecord())[key] = found
        start += aligned(length)
    for name, record in records.items():
        message.content[name] = record


def receive_inline(source: socket.socket, listed: Listed) -> Bytes:
    """Return the arrays that follow a packet, in memory that goes back to the system with them.

    From the heap, arrays of 28 MB were kept and fragmented.
    """
    length = size_of(listed)
    data = np.frombuffer(mmap.mmap(-1, max(length, 1)), np.uint8, length)
    receive_into(source, data.data)
    return data


def receive_into(source: socket.socket, buffer: memoryview) -> None:
    """Fill the buffer; `EOFError` when the other side is gone."""
    filled = 0
    while filled < len(buffer):
        got = source.recv_into(buffer[filled:])
        if got == 0:
            raise EOFError("the other process is gone")
        filled += got


def without_arrays(message: Message) -> MessageProto:
    """Return Flower's protobuf of a message, its records of arrays left out."""
    if not message.has_content():
        return message_to_proto(message)
    light = RecordDict({n: r for n, r in message.content.items() if not isinstance(r, ArrayRecord)})
    return MessageProto(
        metadata=metadata_to_proto(message.metadata), content=recorddict_to_proto(light)
    )
