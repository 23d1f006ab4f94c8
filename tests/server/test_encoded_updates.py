"""Updates at the server: decoded against what was sent, and refused whatever is wrong with them."""

import io
import tracemalloc

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict

from fedcxr.chain import UPDATE, chain_of
from fedcxr.codecs import Codec, encode
from fedcxr.errors import RunError
from fedcxr.parameters import Parameters, ParameterSpec
from fedcxr.schema import COUNTERS, WireSchema
from fedcxr.shared_part import SharedPart
from fedcxr.wire import (
    RECEIPT,
    RESULT,
    VECTORS,
    Order,
    Receipt,
    pack_receipt,
    pack_vectors,
    payload_bytes,
)
from server.check import check_update

pytestmark = pytest.mark.usefixtures("flower")

SPEC = ParameterSpec(
    ("w", "b", "bn.running_var", "n"),
    ((2, 2), (2,), (2,), ()),
    ("trainable", "trainable", "buffer", "counter"),
)
GIVEN = np.float32([10, 20, 30, 40, 50, 60, 1, 2])
COUNTS = np.int64([5])
FP16, INT8, TOPK = Codec("fp16"), Codec("int8"), Codec("topk", 0.5)
GOOD = {
    "fp16": {"halves": np.float16([1, 2, 3, 4, 5, 6, 7, 8])},
    "int8": {"steps": np.int8([1, 2, 3, 4, 5, 6, 7, 8]), "scales": np.float32([1, 10, 100])},
    "topk": {
        "indices": np.int32([0, 2, 5]),
        "values": np.float32([7, 8, 9]),
        "buffers": np.float16([1, 2]),
    },
}


def update(codec, counters=COUNTS, **changed):
    return pack_vectors({**GOOD[codec.name], **changed, COUNTERS: counters})


def schema_of(codec):
    return WireSchema(SharedPart(SPEC), chain=chain_of(codec))


def check(codec, arrays, decoded=None):
    schema = schema_of(codec)
    said = Receipt("a-run", 3, "a-nonce", schema.digest, "site-01", "ok", "")
    content = RecordDict(
        {
            RECEIPT: pack_receipt(said),
            RESULT: MetricRecord({"num-examples": 4, "train-loss": 0.5}),
            VECTORS: arrays,
        }
    )
    return check_update(
        Message(content, dst_node_id=0, message_type="train"),
        "site-01",
        Order("a-run", 3, "a-nonce", schema.digest, "{}", 0.1),
        schema=schema,
        most_examples=9,
        given=Parameters(GIVEN, COUNTS),
        decoded=np.empty(8, np.float32) if decoded is None else decoded,
    )


@pytest.mark.parametrize(
    ("codec", "expected"),
    [
        (FP16, [1, 2, 3, 4, 5, 6, 7, 8]),
        (INT8, [1, 2, 3, 4, 50, 60, 700, 800]),
        (TOPK, [7, 0, 8, 0, 0, 9, 1, 2]),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_an_update_is_decoded_to_what_is_to_be_added(codec, expected):
    arrays = update(codec)
    found = check(codec, arrays)
    assert found.update.tolist() == expected
    assert found.counters.tolist() == [5]
    assert found.payload_bytes == payload_bytes(arrays)


def test_without_a_codec_the_update_is_taken_in_place():
    arrays = pack_vectors({UPDATE: GIVEN + 1, COUNTERS: COUNTS})
    found = check(Codec(), arrays)
    assert found.update.tolist() == (GIVEN + 1).tolist()
    assert not found.update.flags.owndata


def test_all_replies_are_decoded_in_the_same_memory():
    room = np.empty(8, np.float32)
    one = check(INT8, update(INT8), room)
    two = check(INT8, update(INT8, steps=np.int8([0] * 8)), room)
    assert two.update is one.update is room
    assert not two.update.any()


def test_what_the_site_encodes_never_makes_a_variance_negative_at_the_server():
    wanted = -GIVEN * np.float32(1.01)
    for codec in (FP16, INT8, TOPK):
        arrays = encode(codec, wanted, GIVEN, SPEC)
        check(codec, pack_vectors({**arrays, COUNTERS: COUNTS}))


@pytest.mark.parametrize("codec", [FP16, INT8, TOPK], ids=lambda c: c.name)
@pytest.mark.parametrize("other", ["none", "fp16", "int8", "topk"])
def test_another_codec_than_the_run_s_is_refused(codec, other):
    if other == codec.name:
        return
    arrays = {
        "none": pack_vectors({UPDATE: GIVEN, COUNTERS: COUNTS}),
        **{c.name: update(c) for c in (FP16, INT8, TOPK)},
    }[other]
    with pytest.raises(RunError, match="the record's vectors are not those declared"):
        check(codec, arrays)


def test_an_update_in_a_run_without_a_codec_is_refused():
    with pytest.raises(RunError, match="vectors are not those declared: 'scales' is not"):
        check(Codec(), update(INT8))


def test_an_array_too_many_or_too_few_is_refused():
    good = update(INT8)
    for record in (
        ArrayRecord({**good, "more": good["scales"]}),
        ArrayRecord({"steps": good["steps"], "scales": good["scales"]}),
    ):
        with pytest.raises(RunError, match="the record's vectors are not those declared"):
            check(INT8, record)


@pytest.mark.parametrize(
    ("codec", "changed", "words"),
    [
        (FP16, {"halves": np.float32([0] * 8)}, "is float32 with 1 dimensions, expected float16"),
        (FP16, {"halves": np.float16([[0] * 8])}, "is float16 with 2 dimensions"),
        (INT8, {"steps": np.uint8([0] * 8)}, "is uint8 with 1 dimensions, expected int8"),
        (INT8, {"scales": np.float64([1, 1, 1])}, "is float64 with 1 dimensions"),
        (TOPK, {"indices": np.int64([0, 2, 5])}, "is int64 with 1 dimensions, expected int32"),
        (FP16, {"halves": np.float16([0] * 7)}, "'halves' has 7 numbers, expected 8"),
        (FP16, {"halves": np.float16([0] * 9)}, "'halves' has 9 numbers, expected 8"),
        (INT8, {"steps": np.int8([])}, "'steps' has 0 numbers, expected 8"),
        (INT8, {"scales": np.float32([1])}, "'scales' has 1 numbers, expected 3"),
        (TOPK, {"indices": np.int32([])}, "'indices' has 0 numbers, expected 3"),
        (TOPK, {"indices": np.int32([0, 1, 2, 3])}, "'indices' has 4 numbers, expected 3"),
        (TOPK, {"values": np.float32([1])}, "'values' has 1 numbers, expected 3"),
        (TOPK, {"buffers": np.float16([1] * 3)}, "'buffers' has 3 numbers, expected 2"),
        (INT8, {"scales": np.float32([1, -1, 1])}, "a scale of the update is negative or not"),
        (INT8, {"scales": np.float32([1, np.nan, 1])}, "is negative or not finite"),
        (INT8, {"scales": np.float32([1, np.inf, 1])}, "is negative or not finite"),
        (TOPK, {"indices": np.int32([0, 2, 2])}, "the update's indices do not rise"),
        (TOPK, {"indices": np.int32([0, 5, 2])}, "the update's indices do not rise"),
        (TOPK, {"indices": np.int32([2, 0, 5])}, "the update's indices do not rise"),
        (TOPK, {"indices": np.int32([-1, 0, 5])}, "the update's indices are not from 0 to 5"),
        (TOPK, {"indices": np.int32([0, 2, 6])}, "the update's indices are not from 0 to 5"),
        (TOPK, {"indices": np.int32([0, 2**31 - 1, -(2**31)])}, "are not from 0 to 5"),
        (FP16, {"halves": np.float16([0, np.nan, *[0] * 6])}, "1 numbers are not finite.* w$"),
        (FP16, {"halves": np.float16([0] * 7 + [np.inf])}, "not finite.*bn.running_var"),
        (INT8, {"scales": np.float32([3e38, 0, 0])}, "3 numbers are not finite"),
        (TOPK, {"values": np.float32([1, np.nan, 1])}, "1 numbers are not finite"),
        (TOPK, {"values": np.float32([1, -np.inf, 1])}, "1 numbers are not finite"),
        (FP16, {"halves": np.float16([0] * 7 + [-2.002])}, "a variance is negative in bn"),
        (INT8, {"steps": np.int8([0] * 7 + [-1])}, "a variance is negative in bn.running_var"),
        (TOPK, {"buffers": np.float16([-1.001, 0])}, "a variance is negative in bn.running_var"),
    ],
)
def test_a_hostile_update_is_refused_in_words(codec, changed, words):
    with pytest.raises(RunError, match=words):
        check(codec, update(codec, **changed))


@pytest.mark.parametrize("counters", [[], [1, 2]])
def test_an_update_with_other_counters_is_refused(counters):
    with pytest.raises(RunError, match=f"'counters' has {len(counters)} numbers, expected 1"):
        check(INT8, update(INT8, np.int64(counters)))


def test_an_update_that_claims_a_terabyte_takes_no_memory():
    header = io.BytesIO()
    claim = {"descr": "|i1", "fortran_order": False, "shape": (2**40,)}
    np.lib.format.write_array_header_1_0(header, claim)
    good = update(INT8)
    steps = Array("int8", (2**40,), "numpy.ndarray", header.getvalue() + b"\0" * 8)
    tracemalloc.start()
    try:
        with pytest.raises(RunError, match="shorter or longer than it says"):
            check(INT8, ArrayRecord({**good, "steps": steps}))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
