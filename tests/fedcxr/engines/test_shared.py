"""Blocks of memory that two processes see."""

import gc
import os

import numpy as np
import pytest

from fedcxr.engines.shared import PAGE, Attached, Blocks


@pytest.fixture
def blocks():
    made = Blocks(keep=2)
    yield made
    made.close()


def attach(lease):
    """Return the block as a worker would see it, through a descriptor of its own."""
    attached = Attached()
    attached.add(lease.block.number, os.dup(lease.block.descriptor))
    return attached


def test_what_one_side_writes_the_other_side_reads(blocks):
    lease = blocks.lease(10)
    theirs = attach(lease).at(lease.block.number)
    lease.data[:] = 7
    assert theirs[:10].tolist() == [7] * 10
    theirs[3] = 9
    assert lease.data[3] == 9


def test_a_block_is_whole_pages_and_a_lease_as_long_as_asked(blocks):
    lease = blocks.lease(PAGE + 1)
    assert lease.data.shape == (PAGE + 1,)
    assert attach(lease).at(0).shape == (2 * PAGE,)


def test_two_leases_at_once_are_two_blocks(blocks):
    first, second = blocks.lease(10), blocks.lease(10)
    assert first.block.number != second.block.number
    first.data[:], second.data[:] = 1, 2
    assert first.data.tolist() == [1] * 10


def test_a_block_is_used_again_once_the_last_array_of_it_is_gone(blocks):
    lease = blocks.lease(100)
    view = np.frombuffer(lease.data[8:].data, np.uint8)[4:]  # a view of a memoryview of a view
    number = lease.block.number
    del lease
    assert blocks.lease(100).block.number != number  # still looked into
    del view
    gc.collect()
    taken = {blocks.lease(100).block.number for _ in range(2)}
    assert number in taken


def test_a_hundred_leases_in_turn_need_one_block(blocks):
    numbers = {blocks.lease(1000).block.number for _ in range(100)}
    assert numbers == {0}


def test_a_block_that_is_too_small_is_left_for_another(blocks):
    small = blocks.lease(10).block.number
    large = blocks.lease(PAGE * 3)
    assert large.block.number != small
    assert blocks.lease(PAGE).block.number == small


def test_an_empty_lease_is_a_block_too(blocks):
    assert blocks.lease(0).data.shape == (0,)


def test_no_more_free_blocks_are_kept_than_asked_for(blocks):
    leases = [blocks.lease(10) for _ in range(5)]
    assert blocks.numbers == {0, 1, 2, 3, 4}
    del leases
    assert len(blocks.numbers) == 2
    again = [blocks.lease(10), blocks.lease(10)]
    assert {lease.block.number for lease in again} == blocks.numbers


def test_a_worker_forgets_a_block(blocks):
    attached = attach(blocks.lease(10))
    attached.drop(0)
    with pytest.raises(KeyError):
        attached.at(0)


def test_closing_closes_every_descriptor_and_keeps_what_is_still_read(blocks):
    lease = blocks.lease(10)
    lease.data[:] = 5
    blocks.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(lease.block.descriptor)
    assert lease.data.tolist() == [5] * 10
