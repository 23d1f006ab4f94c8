"""Updates at the server: decoded against what was sent, and refused whatever is wrong with them."""

import io
import tracemalloc

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict

from fedcxr.codecs import Codec, Encoded, encode
from fedcxr.errors import RunError
from fedcxr.parameters import Parameters, ParameterSpec
from fedcxr.wire import (
    PARAMETERS,
    RECEIPT,
    RESULT,
    Order,
    Receipt,
    pack_parameters,
    pack_receipt,
    pack_update,
    payload_bytes,
)
from server.check import check_encoded, check_update
from server.decoder import Decoder

pytestmark = pytest.mark.usefixtures("flower")

SPEC = ParameterSpec(
    ("w", "b", "bn.running_var", "n"),
    ((2, 2), (2,), (2,), ()),
    ("trainable", "trainable", "buffer", "counter"),
)
GIVEN = np.float32([10, 20, 30, 40, 50, 60, 1, 2])
COUNTERS = np.int64([5])
ORDER = Order("a-run", 3, "a-nonce", SPEC.digest, "{}", 0.1)
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


def update(codec, **changed):
    return Encoded(codec.name, {**GOOD[codec.name], **changed}, COUNTERS)


def content_of(arrays):
    said = Receipt("a-run", 3, "a-nonce", SPEC.digest, "site-01", "ok", "")
    return RecordDict(
        {
            RECEIPT: pack_receipt(said),
            RESULT: MetricRecord({"num-examples": 4, "train-loss": 0.5}),
            PARAMETERS: arrays,
        }
    )


def decoder(codec):
    made = Decoder(codec, SPEC)
    made.begin(Parameters(GIVEN, COUNTERS))
    return made


def check(codec, arrays):
    message = Message(content_of(arrays), dst_node_id=0, message_type="train")
    read = decoder(codec).read
    given = Parameters(GIVEN, COUNTERS)
    return check_update(
        message, "site-01", ORDER, spec=SPEC, most_examples=9, given=given, read=read
    )


@pytest.mark.parametrize(
    ("codec", "expected"),
    [
        (FP16, [11, 22, 33, 44, 55, 66, 8, 10]),
        (INT8, [11, 22, 33, 44, 100, 120, 701, 802]),
        (TOPK, [17, 20, 38, 40, 50, 69, 2, 4]),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_an_update_is_added_to_what_the_site_was_given(codec, expected):
    arrays = pack_update(update(codec))
    found = check(codec, arrays)
    assert found.parameters.vector.tolist() == expected
    assert found.parameters.counters.tolist() == [5]
    assert found.payload_bytes == payload_bytes(arrays)


def test_without_a_codec_the_parameters_are_taken_in_place():
    arrays = pack_parameters(Parameters(GIVEN + 1, COUNTERS))
    found = check(Codec(), arrays)
    assert found.parameters.vector.tolist() == (GIVEN + 1).tolist()
    assert not found.parameters.vector.flags.owndata


def test_all_replies_are_decoded_in_the_same_memory():
    reader = decoder(INT8)
    one = reader.read(content_of(pack_update(update(INT8))))
    two = reader.read(content_of(pack_update(update(INT8, steps=np.int8([0] * 8)))))
    assert two.vector is one.vector
    assert two.vector.tolist() == GIVEN.tolist()


def test_what_the_site_encodes_never_makes_a_variance_negative_at_the_server():
    wanted = -GIVEN * np.float32(1.01)
    for codec in (FP16, INT8, TOPK):
        arrays = encode(codec, wanted, GIVEN, SPEC)
        check(codec, pack_update(Encoded(codec.name, arrays, COUNTERS)))


@pytest.mark.parametrize("codec", [FP16, INT8, TOPK], ids=lambda c: c.name)
@pytest.mark.parametrize("other", ["none", "fp16", "int8", "topk"])
def test_another_codec_than_the_run_s_is_refused(codec, other):
    if other == codec.name:
        return
    arrays = {
        "none": pack_parameters(Parameters(GIVEN, COUNTERS)),
        **{c.name: pack_update(update(c)) for c in (FP16, INT8, TOPK)},
    }[other]
    words = f"not hold exactly the arrays of the codec {codec.name}"
    with pytest.raises(RunError, match=words):
        check(codec, arrays)


def test_an_update_in_a_run_without_a_codec_is_refused():
    with pytest.raises(RunError, match="exactly the arrays 'vector' and 'counters'"):
        check(Codec(), pack_update(update(INT8)))


def test_an_array_too_many_or_too_few_is_refused():
    good = pack_update(update(INT8))
    for record in (
        ArrayRecord({**good, "more": good["scales"]}),
        ArrayRecord({"steps": good["steps"], "scales": good["scales"]}),
    ):
        with pytest.raises(RunError, match="exactly the arrays of the codec int8"):
            check(INT8, record)


@pytest.mark.parametrize(
    ("codec", "changed", "words"),
    [
        (FP16, {"halves": np.float32([0] * 8)}, "is float32 with 1 dimensions, expected float16"),
        (FP16, {"halves": np.float16([[0] * 8])}, "is float16 with 2 dimensions"),
        (INT8, {"steps": np.uint8([0] * 8)}, "is uint8 with 1 dimensions, expected int8"),
        (INT8, {"scales": np.float64([1, 1, 1])}, "is float64 with 1 dimensions"),
        (TOPK, {"indices": np.int64([0, 2, 5])}, "is int64 with 1 dimensions, expected int32"),
        (FP16, {"halves": np.float16([0] * 7)}, "the update has 7 halves, expected 8"),
        (FP16, {"halves": np.float16([0] * 9)}, "the update has 9 halves, expected 8"),
        (INT8, {"steps": np.int8([])}, "the update has 0 steps, expected 8"),
        (INT8, {"scales": np.float32([1])}, "the update has 1 scales, expected 3"),
        (TOPK, {"indices": np.int32([])}, "the update has 0 indices, expected 3"),
        (TOPK, {"indices": np.int32([0, 1, 2, 3])}, "the update has 4 indices, expected 3"),
        (TOPK, {"values": np.float32([1])}, "the update has 1 values, expected 3"),
        (TOPK, {"buffers": np.float16([1] * 3)}, "the update has 3 buffers, expected 2"),
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
        check(codec, pack_update(update(codec, **changed)))


@pytest.mark.parametrize("counters", [[], [1, 2]])
def test_an_update_with_other_counters_is_refused(counters):
    sent = Encoded("int8", GOOD["int8"], np.int64(counters))
    with pytest.raises(RunError, match=f"there are {len(counters)} counters, expected 1"):
        check(INT8, pack_update(sent))


def test_an_update_that_claims_a_terabyte_takes_no_memory():
    header = io.BytesIO()
    claim = {"descr": "|i1", "fortran_order": False, "shape": (2**40,)}
    np.lib.format.write_array_header_1_0(header, claim)
    good = pack_update(update(INT8))
    steps = Array("int8", (2**40,), "numpy.ndarray", header.getvalue() + b"\0" * 8)
    tracemalloc.start()
    try:
        with pytest.raises(RunError, match="shorter or longer than it says"):
            check(INT8, ArrayRecord({**good, "steps": steps}))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_good_update_passes_alone():
    for codec in (FP16, INT8, TOPK):
        check_encoded(update(codec), codec, SPEC)
