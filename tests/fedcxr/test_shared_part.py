"""The shared part of a model: by hand, and by the laws of cutting out and putting back."""

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from fedcxr.parameters import Parameters, ParameterSpec
from fedcxr.shared_part import SharedPart

SPEC = ParameterSpec(
    names=("w", "bn.weight", "head", "bn.running_mean", "bn.running_var", "bn.n", "other.n"),
    shapes=((2, 2), (2,), (3,), (2,), (2,), (), (2,)),
    kinds=("trainable", "trainable", "trainable", "buffer", "buffer", "counter", "counter"),
)
# positions: w 0–3, bn.weight 4–5, head 6–8, running_mean 9–10, running_var 11–12; counters 0, 1–2
STATISTICS = frozenset({"bn.running_mean", "bn.running_var", "bn.n"})
BATCH_NORM = STATISTICS | {"bn.weight"}


def state(start=0):
    return Parameters(np.arange(13, dtype=np.float32) + start, np.arange(3) + start)


def lists(parameters):
    return parameters.vector.tolist(), parameters.counters.tolist()


def test_what_is_shared_has_a_layout_of_its_own():
    spec = SharedPart(SPEC, BATCH_NORM).spec
    assert spec.names == ("w", "head", "other.n")
    assert spec.shapes == ((2, 2), (3,), (2,))
    assert spec.kinds == ("trainable", "trainable", "counter")
    assert (spec.num_trainable, spec.num_float, spec.num_counters) == (7, 7, 2)
    assert SharedPart(SPEC, STATISTICS).spec.num_trainable == SPEC.num_trainable


def test_tensors_are_cut_out_and_the_rest_moves_up():
    part = SharedPart(SPEC, BATCH_NORM)
    assert lists(part.take(state())) == ([0, 1, 2, 3, 6, 7, 8], [1, 2])
    assert lists(part.take_private(state())) == ([4, 5, 9, 10, 11, 12], [0])


def test_they_are_put_back_where_they_were():
    part = SharedPart(SPEC, BATCH_NORM)
    shared = Parameters(np.full(7, -1, np.float32), np.int64([-1, -1]))
    private = Parameters(np.full(6, -2, np.float32), np.int64([-2]))
    assert lists(part.put(shared, state())) == (
        [-1, -1, -1, -1, 4, 5, -1, -1, -1, 9, 10, 11, 12],
        [0, -1, -1],
    )
    assert lists(part.put_private(private, state())) == (
        [0, 1, 2, 3, -2, -2, 6, 7, 8, -2, -2, -2, -2],
        [-2, 1, 2],
    )


PRIVATE = st.sets(st.sampled_from(SPEC.names)).map(frozenset)


@drawn(PRIVATE)
def test_what_is_taken_and_put_back_is_as_it_was(private):
    part, one, two = SharedPart(SPEC, private), state(), state(100)
    assert part.put(part.take(one), one).sha256() == one.sha256()
    assert part.put_private(part.take_private(one), one).sha256() == one.sha256()
    # the shared part of one and the private of the other, whichever is put first
    mixed = part.put(part.take(one), two)
    assert mixed.sha256() == part.put_private(part.take_private(two), one).sha256()
    assert part.take(mixed).sha256() == part.take(one).sha256()
    assert part.take_private(mixed).sha256() == part.take_private(two).sha256()


@drawn(PRIVATE)
def test_both_parts_together_are_the_whole(private):
    part = SharedPart(SPEC, private)
    taken, kept = part.take(state()), part.take_private(state())
    assert sorted([*taken.vector, *kept.vector]) == state().vector.tolist()
    assert sorted([*taken.counters, *kept.counters]) == state().counters.tolist()
    assert len(taken.vector) == part.spec.num_float
    assert len(taken.counters) == part.spec.num_counters
    assert (taken.vector.dtype, taken.counters.dtype) == (np.float32, np.int64)
    assert (kept.vector.dtype, kept.counters.dtype) == (np.float32, np.int64)


@drawn(PRIVATE)
def test_a_shared_tensor_lies_where_the_shared_layout_says(private):
    part, taken = SharedPart(SPEC, private), SharedPart(SPEC, private).take(state())
    for name, offset, size, kind in zip(
        part.spec.names, part.spec.offsets, part.spec.sizes, part.spec.kinds, strict=True
    ):
        at = SPEC.names.index(name)
        whole = slice(SPEC.offsets[at], SPEC.offsets[at] + size)
        of_part, of_whole = (
            (x.counters if kind == "counter" else x.vector) for x in (taken, state())
        )
        np.testing.assert_array_equal(of_part[offset : offset + size], of_whole[whole])


def test_where_nothing_is_private_nothing_is_copied():
    part, whole, other = SharedPart(SPEC), state(), state(100)
    assert part.spec is SPEC
    assert part.take(whole) is whole
    assert part.put(other, whole) is other
    assert lists(part.take_private(whole)) == ([], [])
    assert part.put_private(part.take_private(other), whole) is whole


def test_putting_back_changes_neither_of_the_two():
    part, whole = SharedPart(SPEC, BATCH_NORM), state()
    for array in (whole.vector, whole.counters):
        array.setflags(write=False)  # as it comes off the wire
    before = whole.sha256()
    mixed = part.put(part.take(state(100)), whole)
    assert whole.sha256() == before
    assert not np.shares_memory(mixed.vector, whole.vector)
    assert mixed.vector.flags.writeable


def test_everything_may_be_private():
    part = SharedPart(SPEC, frozenset(SPEC.names))
    assert (part.spec.num_float, part.spec.num_counters) == (0, 0)
    assert lists(part.take(state())) == ([], [])
    assert part.put_private(state(100), state()).sha256() == state(100).sha256()


@pytest.mark.parametrize(
    ("private", "own"),
    [
        ((), False),
        ({"head"}, False),
        ({"bn.weight", "bn.n"}, False),
        ({"bn.running_var"}, True),
        (BATCH_NORM, True),
    ],
)
def test_statistics_of_its_own_are_private_buffers(private, own):
    assert SharedPart(SPEC, frozenset(private)).owns_buffers is own
