"""Safetensors files, read with suspicion: the header is checked before any tensor is touched.

Nothing here unpickles. A file that is not safetensors (a `.pt`, a pickle, a zip) is refused by its
first bytes; a header that promises more than the file holds is refused before it is read.
"""

import json
import struct
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from fedcxr.atomic import write_bytes_atomically
from fedcxr.errors import ArtefactError

MAX_HEADER_BYTES = 16 * 2**20
"""The header of 700 tensors takes 0.1 MB; sixteen is far beyond any model here."""

_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"\x1f\x8b")


def write_tensor_file(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write the tensors as safetensors, atomically; the same content gives the same bytes."""
    data = safetensors.torch.save(tensors)
    (length,) = struct.unpack("<Q", data[:8])
    # the library writes metadata in the order of a randomly seeded hash table; here it is sorted
    header = {"__metadata__": metadata, **json.loads(data[8 : 8 + length])}
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # values start at a multiple of eight, as the format wants
    write_bytes_atomically(path, struct.pack("<Q", len(text)) + text + data[8 + length :])


def read_tensor_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file and its metadata.

    Raises:
        ArtefactError: the file is missing, of another format, truncated or malformed.
    """
    metadata = _check_header(path)
    try:
        return safetensors.torch.load(path.read_bytes()), metadata
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as err:
        raise ArtefactError(f"{path}: damaged safetensors file: {err}. {_MEND}") from err


_MEND = "Use another checkpoint or fetch the file again."


def _check_header(path: Path) -> dict[str, str]:
    """Return the header's metadata after checking that every offset lies in the file, in order."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = _header_length(path, start, size)
            raw = file.read(length)
    except OSError as err:
        raise ArtefactError(f"{path}: cannot be read: {err.strerror}. Check the path.") from err
    try:
        header: dict[str, Any] = json.loads(raw)
        metadata = header.pop("__metadata__", {})
        spans = sorted(tuple(entry["data_offsets"]) for entry in header.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        raise ArtefactError(f"{path}: the safetensors header is damaged. {_MEND}") from err
    end = 0
    for begin, stop in spans:
        if begin != end or stop < begin:
            raise ArtefactError(f"{path}: the tensors overlap or leave gaps. {_MEND}")
        end = stop
    if 8 + length + end != size:
        raise ArtefactError(
            f"{path}: holds {size} bytes, its header says {8 + length + end}: truncated. {_MEND}"
        )
    return {str(key): str(value) for key, value in metadata.items()}


def _header_length(path: Path, start: bytes, size: int) -> int:
    """Return the header's length, if the first eight bytes can be those of a safetensors file."""
    if start.startswith(_PICKLE_STARTS):
        raise ArtefactError(
            f"{path}: a pickle or zip (.pt, .pth), not safetensors. fedcxr never unpickles, for a "
            f"pickle can run code: convert it with safetensors.torch.save_file where that is safe."
        )
    length = int(struct.unpack("<Q", start)[0]) if len(start) == 8 else 0
    if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
        raise ArtefactError(
            f"{path}: not a safetensors file (header of {length} bytes in {size}). {_MEND}"
        )
    return length
