"""Blocks of memory that this process and its workers both see, so that arrays cross without a copy.

The server owns the blocks: one holds a round's parameters for all workers, and each order names one
that its reply is written into. A block goes back for the next use when the last array that looks
into it is gone. A worker gets a block's file descriptor over its socket, once, and keeps the
mapping, so its pages are made once and not for every message.
"""

import itertools
import mmap
import os
import tempfile
import weakref
from collections.abc import Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

PAGE = mmap.PAGESIZE


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One block, as the process sees it that made it."""

    number: int
    descriptor: int
    memory: mmap.mmap


@dataclass(frozen=True, slots=True, eq=False)
class Lease:
    """A block in use, for as long as `data` or anything made from it is there."""

    block: Block
    data: Bytes


class Blocks:
    """The server's blocks: made when needed, used again when free.

    Args:
        keep: most free blocks to keep; those beyond go back to the system.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._numbers = itertools.count()
        self._all: dict[int, Block] = {}
        self._free: list[Block] = []

    @property
    def numbers(self) -> Set[int]:
        """Return the numbers of the blocks that there are."""
        return self._all.keys()

    def lease(self, size: int) -> Lease:
        """Return a block of at least `size` bytes; what it held before is still in it."""
        block = next((b for b in self._free if len(b.memory) >= size), None)
        if block is None:
            block = self._make(size)
        else:
            self._free.remove(block)
        data = np.frombuffer(block.memory, np.uint8, size)
        weakref.finalize(data, self._release, block).atexit = False
        return Lease(block, data)

    def close(self) -> None:
        """Close the descriptors; memory that is still looked into stays until it is not."""
        for block in self._all.values():
            os.close(block.descriptor)
        self._all, self._free = {}, []

    def _make(self, size: int) -> Block:
        length = max(PAGE, -(-size // PAGE) * PAGE)
        descriptor = _anonymous_file()
        os.ftruncate(descriptor, length)
        block = Block(next(self._numbers), descriptor, mmap.mmap(descriptor, length))
        self._all[block.number] = block
        return block

    def _release(self, block: Block) -> None:
        if block.number not in self._all:
            return  # closed meanwhile
        if len(self._free) < self._keep:
            self._free.append(block)
        else:
            os.close(self._all.pop(block.number).descriptor)


class Attached:
    """The server's blocks as a worker sees them."""

    def __init__(self) -> None:
        self._memory: dict[int, mmap.mmap] = {}

    def add(self, number: int, descriptor: int) -> None:
        """Map a block and close its descriptor, which the mapping does not need."""
        self._memory[number] = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        os.close(descriptor)

    def drop(self, number: int) -> None:
        """Forget a block that the server has given back."""
        self._memory.pop(number, None)

    def at(self, number: int) -> Bytes:
        """Return the whole block."""
        return np.frombuffer(self._memory[number], np.uint8)


def _anonymous_file() -> int:
    """Return a descriptor of memory without a name: nothing is left behind by a crash."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("fedcxr")
    with tempfile.TemporaryFile() as file:  # macOS
        return os.dup(file.fileno())
