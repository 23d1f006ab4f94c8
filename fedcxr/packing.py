"""A NumPy vector as Flower's array and back, with as few copies as can be.

Flower's bytes are those of an npy file. `np.save` into a buffer makes three copies of a vector and
`np.load` one: here it is one, and none.
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from flwr.app import Array
from numpy.typing import NDArray

from fedcxr.errors import RunError

_NPY_HEAD = 4096
"""More bytes than the npy header of a vector has."""


def pack_array(array: NDArray[np.generic]) -> Array:
    """Return Flower's array of a vector, whose values are copied once."""
    values = np.ascontiguousarray(array)
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, np.lib.format.header_data_from_array_1_0(values))
    head = buffer.getvalue()
    room = _ROOM.take(len(head) + values.nbytes) if _ROOM is not None else None
    if room is None:
        data = b"".join((head, values.data.cast("B")))
        return Array(str(values.dtype), values.shape, "numpy.ndarray", data)
    room[: len(head)] = np.frombuffer(head, np.uint8)
    room[len(head) :] = values.view(np.uint8)
    packed = Array(str(values.dtype), values.shape, "numpy.ndarray", b"")
    packed.data = room.data  # type: ignore[assignment]  # bytes, as Flower has it, would be a copy
    return packed


def unpack_array(array: Array, dtype: str) -> NDArray[np.generic]:
    """Return the vector in Flower's npy bytes, in place.

    Raises:
        RunError: not npy, another dtype or byte order, not a vector, or of another length.
    """
    data = memoryview(array.data)
    buffer = io.BytesIO(bytes(data[:_NPY_HEAD]))
    try:
        version = np.lib.format.read_magic(buffer)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, found = read_header(buffer)
    except Exception as err:  # numpy reads a header as Python: a bad one can raise almost anything
        raise RunError("an array of the reply is not in npy format") from err
    if found != np.dtype(dtype) or len(shape) != 1:
        raise RunError(
            f"an array of the reply is {found} with {len(shape)} dimensions, "
            f"expected {np.dtype(dtype)} with 1"
        )
    if len(data) - buffer.tell() != shape[0] * found.itemsize:
        raise RunError("an array of the reply is shorter or longer than it says")
    return np.frombuffer(data, dtype=found, offset=buffer.tell())


@contextlib.contextmanager
def packing_into(block: NDArray[np.uint8]) -> Iterator[None]:
    """While this is open, arrays are packed one after another into a block of memory.

    For a worker process, whose replies lie in memory that the server sees: a copy of 28 MB less.
    What does not fit is packed as bytes.
    """
    global _ROOM
    _ROOM = _Room(block)
    try:
        yield
    finally:
        _ROOM = None


@dataclass(slots=True)
class _Room:
    block: NDArray[np.uint8]
    used: int = 0

    def take(self, size: int) -> NDArray[np.uint8] | None:
        """Return the next `size` bytes; None if there are not as many left."""
        start = self.used
        if start + size > len(self.block):
            return None
        self.used += aligned(size)
        return self.block[start : start + size]


_ROOM: _Room | None = None


def aligned(size: int) -> int:
    """Return the bytes between the starts of two arrays in a block: a multiple of 64."""
    return -(-size // 64) * 64
