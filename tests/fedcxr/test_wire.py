import io
import warnings
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedcxr.errors import RunError
from fedcxr.vectors import VectorSpec
from fedcxr.wire import (
    CARD,
    ORDER,
    RECEIPT,
    RESULT,
    VECTORS,
    Order,
    Receipt,
    arrays_in,
    pack_order,
    pack_receipt,
    pack_vectors,
    payload_bytes,
    unpack_card_texts,
    unpack_order,
    unpack_receipt,
    unpack_result,
    unpack_vectors,
    vectors_in,
)

ORDER_SENT = Order("a-run", 3, "a-nonce", "a-digest", '{"a": "é"}', 3e-4)
RECEIPT_SENT = Receipt("a-run", 3, "a-nonce", "a-digest", "site-01", "skipped", "too few")


DECLARED = {"vector": VectorSpec("<f4", 2), "counters": VectorSpec("<i8", 1)}


def vectors(floats=5, counters=2):
    return {
        "vector": np.linspace(-1, 1, floats, dtype=np.float32),
        "counters": np.arange(counters, dtype=np.int64),
    }


def declared_of(vectors):
    return {name: VectorSpec(vector.dtype.str, len(vector)) for name, vector in vectors.items()}


def there_and_back(vectors):
    content = RecordDict({VECTORS: pack_vectors(vectors)})
    return vectors_in(content, declared_of(vectors))


def bits(vectors):
    return {name: (vector.dtype, vector.tobytes()) for name, vector in vectors.items()}


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_with_header(header):
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def record_of(vector=None, counters=None):
    """A record whose arrays hold the given bytes."""
    good = {"vector": npy(np.zeros(2, np.float32)), "counters": npy(np.zeros(1, np.int64))}
    given = {"vector": vector, "counters": counters}
    return ArrayRecord(
        {
            key: Array(dtype="float32", shape=(2,), stype="numpy.ndarray", data=data or good[key])
            for key, data in given.items()
        }
    )


@pytest.mark.parametrize(("floats", "counters"), [(5, 2), (1, 0), (0, 0), (300_001, 3)])
def test_vectors_come_back_bit_for_bit(floats, counters):
    sent = vectors(floats, counters)
    got = there_and_back(sent)
    assert bits(got) == bits(sent)
    assert (got["vector"].dtype, got["counters"].dtype) == (np.float32, np.int64)


def test_what_comes_back_lies_where_flower_has_it():
    record = pack_vectors(vectors())
    got = unpack_vectors(record, declared_of(vectors()))
    for name, vector in got.items():
        assert np.shares_memory(vector, np.frombuffer(record[name].data, np.uint8))
        assert not vector.flags.writeable


def test_nan_and_negative_zero_cross_unchanged():
    # Checking values is the server's work; the wire must not change a bit.
    sent = {"vector": np.float32([np.nan, -0.0, np.inf]), "counters": np.int64([-1])}
    assert bits(there_and_back(sent)) == bits(sent)


@pytest.mark.parametrize(
    "arrays",
    [
        {"halves": np.float16([1, -0.0, 65504])},
        {"steps": np.int8([-128, 0, 127]), "scales": np.float32([0.1])},
        {
            "indices": np.int32([0, 2**31 - 1]),
            "values": np.float32([1, np.nan]),
            "buffers": np.float16([]),
        },
    ],
    ids=["fp16", "int8", "topk"],
)
def test_an_encoded_update_comes_back_bit_for_bit(arrays):
    sent = {**arrays, "counters": np.int64([-1, 2**62])}
    got = there_and_back(sent)
    assert got["counters"].tolist() == [-1, 2**62]
    assert bits(got) == bits(sent)


def test_payload_is_the_arrays_bytes():
    # 5 × 4 and 2 × 8 bytes, each behind an npy header of 128
    assert payload_bytes(pack_vectors(vectors())) == 20 + 16 + 2 * 128


def test_a_strided_vector_is_sent_in_its_own_order():
    got = there_and_back({"vector": np.arange(10, dtype=np.float32)[::2]})
    np.testing.assert_array_equal(got["vector"], [0, 2, 4, 6, 8])


@pytest.mark.usefixtures("flower")
def test_an_order_comes_back():
    content = RecordDict({ORDER: pack_order(ORDER_SENT)})
    message = Message(content, dst_node_id=1, message_type="train")
    assert unpack_order(message) == ORDER_SENT


def test_a_receipt_comes_back():
    assert unpack_receipt(RecordDict({RECEIPT: pack_receipt(RECEIPT_SENT)})) == RECEIPT_SENT


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("run", 3, "'run' is not a text"),
        ("task", "x" * 200_001, "'task' is not a text"),
        ("round", 1.0, "'round' is not a whole number"),
        ("round", True, "'round' is not a whole number"),
        ("num-sites", True, "'num-sites' is not a whole number"),
        ("nonce", b"bytes", "'nonce' is not a text"),
        ("learning-rate", float("nan"), "'learning-rate' is not a finite number"),
        ("learning-rate", "fast", "'learning-rate' is not a finite number"),
    ],
)
def test_an_order_with_a_wrong_field_is_refused(key, value, words):
    record = pack_order(ORDER_SENT)
    record[key] = value
    message = Message(RecordDict({ORDER: record}), dst_node_id=1, message_type="train")
    with pytest.raises(RunError, match=words):
        unpack_order(message)


@pytest.mark.usefixtures("flower")
def test_a_message_without_an_order_is_refused():
    with pytest.raises(RunError, match="holds no order"):
        unpack_order(Message(RecordDict(), dst_node_id=1, message_type="train"))


@pytest.mark.parametrize(
    "key", ["run", "round", "nonce", "schema-digest", "site-id", "code", "reason"]
)
def test_a_receipt_without_a_field_is_refused(key):
    fields = {k: v for k, v in pack_receipt(RECEIPT_SENT).items() if k != key}
    with pytest.raises(RunError, match=f"'{key}' is not a"):
        unpack_receipt(RecordDict({RECEIPT: ConfigRecord(fields)}))


def test_a_reply_without_a_receipt_is_refused():
    with pytest.raises(RunError, match="holds no receipt"):
        unpack_receipt(RecordDict())


def test_results_are_known_finite_numbers():
    sent = MetricRecord({"num-examples": 7, "train-loss": 0.5})
    assert unpack_result(RecordDict({RESULT: sent})) == {"num-examples": 7, "train-loss": 0.5}
    assert unpack_result(RecordDict()) == {}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("patient", 1, "unknown number 'patient'"),
        ("train-loss", float("nan"), "'train-loss' is not a finite number"),
        ("train-loss", float("inf"), "'train-loss' is not a finite number"),
        ("seconds", [1.0, 2.0], "'seconds' is not a finite number"),
    ],
)
def test_a_strange_number_is_refused(key, value, words):
    with pytest.raises(RunError, match=words):
        unpack_result(RecordDict({RESULT: MetricRecord({key: value})}))


def test_the_texts_of_a_card_come_back_cut_to_a_line():
    sent = {"labels": ["Edema", "x" * 999], "code-digest": "y" * 999}
    got = unpack_card_texts(RecordDict({CARD: ConfigRecord(sent)}))
    assert got == {"labels": ["Edema", "x" * 200], "code-digest": "y" * 200}
    assert unpack_card_texts(RecordDict()) == {}


@pytest.mark.parametrize("texts", [{"path": "a"}, {"labels": 3}, {"labels": [1]}, {"labels": b"a"}])
def test_a_card_with_anything_but_known_texts_is_refused(texts):
    with pytest.raises(RunError, match="is not a known text"):
        unpack_card_texts(RecordDict({CARD: ConfigRecord(texts)}))


def test_arrays_under_other_names_are_refused():
    record = pack_vectors(vectors(2, 1))
    record["weights"] = record.pop("vector")
    with pytest.raises(RunError, match="not those declared: 'weights' is not declared"):
        unpack_vectors(record, DECLARED)


def test_an_array_too_many_or_too_few_is_refused_by_its_name():
    good = pack_vectors(vectors(2, 1))
    extra = ArrayRecord({**good, "patients": good["vector"]})
    with pytest.raises(RunError, match="not those declared: 'patients' is not declared"):
        unpack_vectors(extra, DECLARED)
    with pytest.raises(RunError, match="not those declared: 'counters' is missing"):
        unpack_vectors(ArrayRecord({"vector": good["vector"]}), DECLARED)
    with pytest.raises(RunError, match="not those declared: 'counters' is missing"):
        unpack_vectors(ArrayRecord(), DECLARED)


def test_of_a_stranger_s_name_no_more_than_a_line_is_said():
    record = pack_vectors({**vectors(2, 1), "x" * 5000: np.zeros(1, np.float32)})
    with pytest.raises(RunError, match=f": '{'x' * 40}' is not declared$"):
        unpack_vectors(record, DECLARED)


@pytest.mark.parametrize(("floats", "counters"), [(0, 1), (1, 1), (3, 1), (2, 0), (2, 2)])
def test_a_vector_of_another_length_is_refused(floats, counters):
    wrong = f"'vector' has {floats} numbers, expected 2"
    if floats == 2:
        wrong = f"'counters' has {counters} numbers, expected 1"
    with pytest.raises(RunError, match=wrong):
        unpack_vectors(pack_vectors(vectors(floats, counters)), DECLARED)


def test_a_missing_or_extra_record_of_arrays_is_refused():
    with pytest.raises(RunError, match="exactly one record of arrays"):
        vectors_in(RecordDict(), DECLARED)
    record = pack_vectors(vectors(2, 1))
    for content in ({VECTORS: record, "more": record}, {"more": record}):
        with pytest.raises(RunError, match="exactly one record of arrays"):
            vectors_in(RecordDict(content), DECLARED)
    assert arrays_in(RecordDict({VECTORS: record})) == record


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(2, np.float64), "is float64 with 1 dimensions, expected float32 with 1"),
        (np.zeros(2, np.int32), "is int32 with 1"),
        (np.zeros(2, ">f4"), "is >f4 with 1"),
        (np.zeros((1, 2), np.float32), "is float32 with 2 dimensions"),
        (np.float32(1), "is float32 with 0 dimensions"),
        (np.zeros(2, np.complex64), "is complex64"),
        (np.array(["a", "b"]), "is <U1"),
    ],
)
def test_an_array_of_another_dtype_shape_or_byte_order_is_refused(array, words):
    with pytest.raises(RunError, match=words):
        unpack_vectors(record_of(vector=npy(array)), DECLARED)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (npy(np.zeros(8, np.float32))[:-3], "shorter or longer than it says"),
        (npy(np.zeros(8, np.float32)) + b"\0", "shorter or longer than it says"),
        (npy(np.zeros(8, np.float32))[:20], "not in npy format"),
        (b"PK\x03\x04", "not in npy format"),
        (b"\x93NUMPY\x09\x00", "not in npy format"),
        (b"\x80\x04K\x01.", "not in npy format"),
    ],
)
def test_bytes_that_are_no_whole_npy_array_are_refused(data, words):
    with pytest.raises(RunError, match=words):
        unpack_vectors(record_of(vector=data), DECLARED)


def test_an_array_of_objects_is_refused_and_never_unpickled():
    data = npy_with_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n")
    with pytest.raises(RunError, match="is object"):
        unpack_vectors(record_of(vector=data + b"\x80\x04K\x01."), DECLARED)


@pytest.mark.parametrize(
    "header",
    [
        "(",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)",
        "  x\n y\n",
        "-" * 3000 + "1",
        "(" * 3000,
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2L,), }",
        "{'descr': 'no such', 'fortran_order': False, 'shape': (2,), }",
        "{'descr': [('a', 3)], 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }",
        "\x00",
    ],
)
def test_a_header_made_to_break_the_parser_is_refused(header):
    # One such reply must not end the run for all sites.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns of headers of Python 2
        with pytest.raises(RunError):
            unpack_vectors(record_of(vector=npy_with_header(header)), DECLARED)


def test_counters_are_int64():
    with pytest.raises(RunError, match="is float32 with 1 dimensions, expected int64 with 1"):
        unpack_vectors(record_of(counters=npy(np.zeros(1, np.float32))), DECLARED)


def test_a_receipt_may_be_compared_and_changed():
    assert replace(RECEIPT_SENT, code="ok") != RECEIPT_SENT
