"""Messages between this process and a worker: packets on a socket, arrays in a block or behind."""

import socket
import threading

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict

from fedcxr.engines.frames import (
    Packet,
    arrays_of,
    attach_arrays,
    describe,
    receive_inline,
    receive_packet,
    send_packet,
    size_of,
    write_arrays,
)
from fedcxr.packing import packing_into
from fedcxr.vectors import VectorSpec
from fedcxr.wire import VECTORS, arrays_in, pack_vectors, unpack_vectors

pytestmark = pytest.mark.usefixtures("flower")


@pytest.fixture
def line():
    left, right = socket.socketpair()
    yield left, right
    left.close()
    right.close()


def carry(line, message, descriptors=()):
    """Send on one side and receive on the other, in a thread: a socket holds little."""
    left, right = line
    listed = describe(arrays_of(message))
    data = np.zeros(size_of(listed), np.uint8)
    write_arrays(arrays_of(message), data)
    packet = Packet({"arrays": listed}, message, list(descriptors))
    sender = threading.Thread(target=send_packet, args=(left, packet, data))
    sender.start()
    got = receive_packet(right)
    attach_arrays(got.message, got.head["arrays"], receive_inline(right, got.head["arrays"]))
    sender.join()
    return got


def message_of(*records, text="x"):
    content = RecordDict({"order": ConfigRecord({"run": text}), "result": MetricRecord({"n": 3})})
    for number, record in enumerate(records):
        content[VECTORS if number == 0 else f"more-{number}"] = record
    return Message(content, dst_node_id=5, message_type="train", group_id="7")


def arrays(value, size=10):
    return pack_vectors({"vector": np.full(size, value, np.float32), "counters": np.int64([1, 2])})


def vector_in(record):
    dtypes = {"vector": "<f4", "counters": "<i8"}
    declared = {n: VectorSpec(dtype, *record[n].shape) for n, dtype in dtypes.items()}
    return unpack_vectors(record, declared)["vector"]


def vector_of(message):
    return vector_in(arrays_in(message.content))


def test_a_message_arrives_as_it_was_sent(line):
    sent = message_of(arrays(1.5), text="é\u2028")
    sent.metadata.__dict__["_message_id"] = "42"
    got = carry(line, sent).message
    assert got.metadata == sent.metadata
    assert got.content["order"] == sent.content["order"]
    assert got.content["result"] == sent.content["result"]
    np.testing.assert_array_equal(vector_of(got), np.full(10, 1.5, np.float32))
    record = got.content[VECTORS]
    assert list(record) == ["vector", "counters"]
    for key, array in record.items():
        original = sent.content[VECTORS][key]
        assert (array.dtype, array.shape, array.stype) == (
            original.dtype,
            original.shape,
            original.stype,
        )
        assert bytes(array.data) == original.data


def test_a_message_without_arrays_arrives(line):
    got = carry(line, message_of()).message
    assert got.content["order"]["run"] == "x"
    assert not arrays_of(got)


def test_an_error_message_passes(line):
    error = Message(Error(2, "the client app broke off"), reply_to=message_of())
    got = carry(line, error).message
    assert got.has_error()
    assert (got.error.code, got.error.reason) == (2, "the client app broke off")


def test_arrays_of_several_megabytes_arrive_whole(line):
    rng = np.random.default_rng(0)
    vector = rng.normal(size=1_000_000).astype(np.float32)
    record = pack_vectors({"vector": vector, "counters": np.int64([])})
    np.testing.assert_array_equal(vector_of(carry(line, message_of(record)).message), vector)


def test_an_empty_array_arrives(line):
    assert vector_of(carry(line, message_of(arrays(0.0, size=0))).message).shape == (0,)
    bare = ArrayRecord({"none": Array(dtype="float32", shape=(0,), stype="raw", data=b"")})
    got = carry(line, message_of(bare)).message
    assert bytes(got.content[VECTORS]["none"].data) == b""


def test_several_records_keep_their_names_and_values(line):
    got = carry(line, message_of(arrays(1.0, size=3), arrays(2.0))).message
    assert sorted(arrays_of(got)) == ["more-1", VECTORS]
    assert vector_in(got.content[VECTORS]).tolist() == [1.0] * 3
    assert vector_in(got.content["more-1"]).tolist() == [2.0] * 10


def test_every_array_starts_at_a_multiple_of_64_bytes():
    # npy heads of 128 bytes: 3 floats end at 140, so the counters start at 192, and end at 336
    records = arrays_of(message_of(arrays(1.0, size=3)))
    listed = describe(records)
    assert [row[-1] for row in listed] == [140, 144]
    assert size_of(listed) == 192 + 192
    data = np.zeros(size_of(listed), np.uint8)
    write_arrays(records, data)
    assert bytes(data[192:198]) == b"\x93NUMPY"


def test_arrays_that_lie_in_a_block_are_looked_at_and_not_copied():
    sent = message_of(arrays(1.0))
    listed = describe(arrays_of(sent))
    block = np.zeros(10_000, np.uint8)
    write_arrays(arrays_of(sent), block)
    got = message_of()
    attach_arrays(got, listed, block)
    assert np.shares_memory(vector_of(got), block)


def test_descriptors_cross_with_the_packet_that_names_them(line, tmp_path):
    with (tmp_path / "x").open("wb+") as file:
        file.write(b"hello")
        file.flush()
        got = carry(line, message_of(), [file.fileno()])
    (descriptor,) = got.descriptors
    with open(descriptor, "rb") as theirs:
        theirs.seek(0)
        assert theirs.read() == b"hello"


def test_a_line_that_ends_is_the_end(line):
    left, right = line
    left.close()
    with pytest.raises(EOFError, match="the other process is gone"):
        receive_packet(right)


def test_a_line_that_ends_within_a_packet_is_the_end(line):
    left, right = line
    left.sendall(bytes(7))
    left.close()
    with pytest.raises(EOFError, match="the other process is gone"):
        receive_packet(right)


def test_arrays_packed_into_the_block_stay_where_they_are():
    block = np.zeros(10_000, np.uint8)
    with packing_into(block):
        sent = message_of(arrays(1.5, size=3))
    assert np.shares_memory(vector_of(sent), block)
    before = block.copy()
    write_arrays(arrays_of(sent), block)
    np.testing.assert_array_equal(block, before)
    got = message_of()
    attach_arrays(got, describe(arrays_of(sent)), block)
    assert vector_of(got).tolist() == [1.5, 1.5, 1.5]


def test_arrays_packed_in_another_order_than_they_are_sent_in_arrive_whole():
    block = np.zeros(10_000, np.uint8)
    with packing_into(block):
        first, second = arrays(1.0, size=3), arrays(2.0, size=3)
    sent = message_of(second, first)  # the first place is the other's
    listed = describe(arrays_of(sent))
    write_arrays(arrays_of(sent), block)
    got = message_of()
    attach_arrays(got, listed, block)
    assert vector_in(got.content[VECTORS]).tolist() == [2.0, 2.0, 2.0]
    assert vector_in(got.content["more-1"]).tolist() == [1.0, 1.0, 1.0]


def test_what_does_not_fit_the_block_is_packed_as_bytes():
    block = np.zeros(100, np.uint8)
    with packing_into(block):
        sent = message_of(arrays(1.5))
    assert isinstance(sent.content[VECTORS]["vector"].data, bytes)
    assert vector_of(sent)[0] == 1.5
