"""The client's side of the Ray engine: an actor that holds one ClientApp and answers one by one.

A message crosses as Flower's protobuf of it without arrays, and the arrays' bytes as numpy arrays:
Ray's object store holds those once a machine, and every actor there reads them in place.
"""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message
from flwr.clientapp import ClientApp
from flwr.common.serde import message_from_proto
from flwr.proto.message_pb2 import Message as MessageProto

from fedcxr.engines.app_ref import AppRef
from fedcxr.engines.frames import Listed, arrays_of, describe, without_arrays
from fedcxr.engines.local_worker import answer
from fedcxr.engines.shared import Bytes

Carried = tuple[Listed, list[Bytes]]
"""What each array of a message is, and its bytes."""

PULSE_S = 10.0
"""Between two notes of how much processor time an actor has used."""


def carried(message: Message) -> Carried:
    """Return a message's arrays as they cross, without a copy."""
    records = arrays_of(message)
    found = [array for record in records.values() for array in record.values()]
    return describe(records), [np.frombuffer(array.data, np.uint8) for array in found]


def put_together(body: bytes, arrays: Carried) -> Message:
    """Return the message of a protobuf without arrays, with `arrays` in it, without a copy."""
    message = message_from_proto(MessageProto.FromString(body))
    records: dict[str, ArrayRecord] = {}
    for (name, key, dtype, shape, stype, _), data in zip(*arrays, strict=True):
        array = Array(dtype=dtype, shape=tuple(shape), stype=stype, data=b"")
        array.data = data.data  # type: ignore[assignment]  # bytes would be a copy
        records.setdefault(name, ArrayRecord())[key] = array
    for name, record in records.items():
        message.content[name] = record
    return message


class RayClient:
    """What a Ray actor runs; it works without Ray as well."""

    def __init__(self, app: str, log_level: int) -> None:
        self._ref = AppRef.from_text(app)
        self._log_level = log_level
        self._app: ClientApp | None = None
        self._contexts: dict[int, Context] = {}

    def open(self, must_see: Sequence[str], pulse: str) -> str:
        """Make the app; return in a phrase what is wrong with this machine, or nothing.

        Args:
            must_see: files and folders that all machines of the cluster share.
            pulse: a file in one of them, into which this process writes now and then how much
                processor time it has used: a busy actor answers no question.
        """
        logging.basicConfig(level=self._log_level)
        for path in must_see:
            if not Path(path).exists():
                return f"{socket.gethostname()} does not see {path}"
        try:
            self._app = self._ref.load()
        except Exception as err:  # the server says it; as a Ray error it would be a page long
            return f"{socket.gethostname()}: {type(err).__name__}: {err}"
        threading.Thread(target=_keep_pulse, args=(Path(pulse),), daemon=True).start()
        return ""

    def answer(self, body: bytes, arrays: Carried) -> tuple[bytes, Carried]:
        """Return the app's reply to a message, both in the parts that cross."""
        assert self._app is not None, "open() comes first"
        reply = answer(self._app, put_together(body, arrays), self._contexts)
        return without_arrays(reply).SerializeToString(), carried(reply)


def read_pulse(file: Path) -> float | None:
    """Return the processor time that an actor last noted, seconds; None where it has not yet."""
    try:
        return float(file.read_text())
    except (OSError, ValueError):
        return None


def _keep_pulse(file: Path) -> None:
    new = file.with_name(f"{file.name}.new")
    while True:
        with contextlib.suppress(OSError):  # a disk that is away for a while; the actor works on
            new.write_text(f"{time.process_time():.3f}")
            new.replace(file)
        time.sleep(PULSE_S)
