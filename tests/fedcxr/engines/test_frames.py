import socket
import threading

import numpy as np
import pytest
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)

from fedcxr.engines import frames
from fedcxr.engines.frames import Memory, receive_message, send_message
from fedcxr.parameters import Parameters
from fedcxr.wire import pack_parameters, unpack_parameters

pytestmark = pytest.mark.usefixtures("flower")


class Line:
    """Both ends of a socket, and what each side remembers."""

    def __init__(self):
        self.left, self.right = socket.socketpair()
        self.sent, self.received = Memory(), Memory()

    def carry(self, message, token=0):
        """Send on one side and receive on the other, in a thread: a socket holds little."""
        sender = threading.Thread(target=send_message, args=(self.left, message, token, self.sent))
        sender.start()
        got = receive_message(self.right, self.received)
        sender.join()
        return got

    def close(self):
        """Close both ends."""
        self.left.close()
        self.right.close()


@pytest.fixture
def line():
    made = Line()
    yield made
    made.close()


def message_of(*records, text="x"):
    content = RecordDict({"order": ConfigRecord({"run": text}), "result": MetricRecord({"n": 3})})
    for number, record in enumerate(records):
        content["parameters" if number == 0 else f"more-{number}"] = record
    return Message(content, dst_node_id=5, message_type="train", group_id="7")


def arrays(value, size=10):
    return pack_parameters(Parameters(np.full(size, value, np.float32), np.int64([1, 2])))


def vector_of(message):
    return unpack_parameters(message.content).vector


def test_a_message_arrives_as_it_was_sent(line):
    sent = message_of(arrays(1.5), text="é\u2028")
    sent.metadata.__dict__["_message_id"] = "42"
    got = line.carry(sent)
    assert got.metadata == sent.metadata
    assert got.content["order"] == sent.content["order"]
    assert got.content["result"] == sent.content["result"]
    np.testing.assert_array_equal(vector_of(got), np.full(10, 1.5, np.float32))
    record = got.content["parameters"]
    assert list(record) == ["vector", "counters"]
    for key, array in record.items():
        original = sent.content["parameters"][key]
        assert (array.dtype, array.shape, array.stype) == (
            original.dtype,
            original.shape,
            original.stype,
        )
        assert bytes(array.data) == original.data


def test_a_message_without_arrays_arrives(line):
    got = line.carry(message_of())
    assert got.content["order"]["run"] == "x"
    assert not got.content.array_records


def test_an_error_message_passes(line):
    error = Message(Error(2, "the client app broke off"), reply_to=message_of())
    got = line.carry(error)
    assert got.has_error()
    assert (got.error.code, got.error.reason) == (2, "the client app broke off")


def test_arrays_of_several_megabytes_arrive_whole(line):
    rng = np.random.default_rng(0)
    vector = rng.normal(size=1_000_000).astype(np.float32)
    record = pack_parameters(Parameters(vector, np.int64([])))
    np.testing.assert_array_equal(vector_of(line.carry(message_of(record))), vector)


def test_an_empty_array_arrives(line):
    got = line.carry(message_of(arrays(0.0, size=0)))
    assert vector_of(got).shape == (0,)
    bare = ArrayRecord({"none": Array(dtype="float32", shape=(0,), stype="raw", data=b"")})
    assert bytes(line.carry(message_of(bare)).content["parameters"]["none"].data) == b""


def test_several_records_keep_their_names(line):
    got = line.carry(message_of(arrays(1.0), arrays(2.0)))
    assert sorted(got.content.array_records) == ["more-1", "parameters"]


def test_known_arrays_cross_once(line, monkeypatch):
    crossed = []
    original = frames._send
    monkeypatch.setattr(
        frames, "_send", lambda to, data: (crossed.append(len(data)), original(to, data))[1]
    )
    record = arrays(1.0, size=50_000)
    for number in range(3):
        got = line.carry(message_of(record, text=str(number)), token=9)
        assert got.content["order"]["run"] == str(number)
        np.testing.assert_array_equal(vector_of(got), np.ones(50_000, np.float32))
    # 50,000 floats are 200,000 bytes: they cross with the first message and with no other
    assert sum(length > 100_000 for length in crossed) == 1


def test_another_token_brings_other_arrays(line):
    line.carry(message_of(arrays(1.0)), token=1)
    assert vector_of(line.carry(message_of(arrays(2.0)), token=2))[0] == 2.0
    assert vector_of(line.carry(message_of(arrays(3.0)), token=1))[0] == 3.0  # 1 was forgotten


def test_a_message_without_arrays_between_forgets_nothing(line):
    record = arrays(4.0)
    line.carry(message_of(record), token=3)
    line.carry(message_of())
    assert vector_of(line.carry(message_of(record), token=3))[0] == 4.0


def test_arrays_without_a_token_are_not_remembered(line):
    line.carry(message_of(arrays(1.0)))
    assert line.received.records is None
    assert vector_of(line.carry(message_of(arrays(2.0))))[0] == 2.0


@pytest.mark.parametrize("half", [b"", b"\x10\0\0", b"\x10\0\0\0\0\0\0\0{"])
def test_a_side_that_is_gone_is_the_end(line, half):
    line.left.sendall(half)
    line.left.close()
    with pytest.raises(EOFError, match="the other process is gone"):
        receive_message(line.right, line.received)
