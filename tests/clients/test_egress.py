"""The door out of a site: what may pass, and that no text of an exception does."""

import inspect
import logging
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Message, RecordDict
from flwr.common.serde import message_to_proto

import clients.app
from clients.app import build_app
from clients.egress import (
    REASONS,
    SENTENCES,
    UNEXPECTED,
    Outgoing,
    redact_errors,
    redacted,
    site_reply,
    skipped,
)
from clients.private_training import SPENT, WITHHELD
from clients.resident_model import worker_for
from clients.site import simulated
from clients.train import Trained
from fedcxr import errors
from fedcxr.engines.local_worker import simulated_context
from fedcxr.errors import ConfigError, DataError, FedCxrError, RecordError, RunError
from fedcxr.training import loop
from fedcxr.training.loop import TOO_FEW
from fedcxr.vectors import VectorSpec
from fedcxr.wire import (
    CARD_TEXT_KEYS,
    FAILED,
    ORDER,
    OUT_OF_MEMORY,
    RESULT_KEYS,
    SKIPPED,
    VECTORS,
    Order,
    pack_order,
    pack_vectors,
    unpack_receipt,
    unpack_result,
    vectors_in,
)

pytestmark = pytest.mark.usefixtures("flower")

SECRET = "CheXpert-v1.0/train/patient64541/study1/view1_frontal.jpg"
ALLOWED = {*REASONS.values(), UNEXPECTED}


class _Odd(Exception):
    """Says a patient's path however it is asked."""

    def __repr__(self):
        return SECRET

    __str__ = __repr__


OURS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
RAISED = [
    *[kind(f"{SECRET}: row 3 is wrong") for kind in OURS],
    ValueError(SECRET),
    KeyError(SECRET),
    MemoryError(SECRET),
    RuntimeError(SECRET),
    FileNotFoundError(2, "No such file or directory", SECRET),
    PermissionError(13, SECRET, SECRET),
    UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET),
    ExceptionGroup(SECRET, [ValueError(SECRET)]),
    _Odd(SECRET),
]


def bytes_of(message):
    return message_to_proto(message).SerializeToString()


MODEL = {"vector": VectorSpec("<f4", 3), "counters": VectorSpec("<i8", 0)}


def zeros(declared):
    return {name: np.zeros(spec.length, spec.dtype) for name, spec in declared.items()}


def message_for(order, kind="train", declared=MODEL):
    content = RecordDict({ORDER: pack_order(order), VECTORS: pack_vectors(zeros(declared))})
    return Message(content, dst_node_id=1, message_type=kind)


@pytest.fixture(autouse=True)
def log_can_be_read(monkeypatch):
    """A simulation's app turns the clients' log away from the terminal, for the whole process."""
    monkeypatch.setattr(logging.getLogger("clients"), "propagate", True)


@pytest.fixture
def order():
    return Order("a-run", 1, "a-nonce", "a-digest", "{}", 0.1)


@pytest.fixture
def real_order(make_task):
    return Order("a-run", 1, "a-nonce", "a-digest", make_task().to_text(), 0.1)


@pytest.mark.parametrize("err", RAISED, ids=lambda err: type(err).__name__)
@pytest.mark.parametrize("kind", ["train", "evaluate", "query"])
def test_no_text_of_an_error_leaves_any_handler(kind, err, real_order, caplog):
    def locate(context):
        raise err from ValueError(SECRET)

    with caplog.at_level(logging.ERROR):
        reply = build_app(locate)(message_for(real_order, kind), simulated_context(1, 1))
    assert b"patient64541" not in bytes_of(reply)
    assert not reply.has_error()
    receipt = unpack_receipt(reply.content)
    assert receipt.code == (OUT_OF_MEMORY if isinstance(err, MemoryError) else FAILED)
    assert receipt.reason in ALLOWED
    assert SECRET in caplog.text  # the site's own log has it


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        ("train", "train_order"),
        ("evaluate", "evaluate_order"),
        ("query", "site_counts"),
        ("train", "vectors_in"),
        ("evaluate", "vectors_in"),
        ("train", "memory_of"),
        ("train", "site_reply"),
        ("query", "code_digest"),
    ],
)
def test_no_text_of_an_error_leaves_from_deep_inside_a_handler(
    kind, step, monkeypatch, make_task, real_order, sites, tmp_path
):
    def broken(*args, **kwargs):
        raise OSError(5, SECRET, SECRET)

    location = simulated(sites, 0, cache=sites / "cache", state=tmp_path)
    monkeypatch.setattr(clients.app, step, broken)
    schema = worker_for(make_task(), 1).schema(make_task())
    if step in ("site_reply", "memory_of"):
        made = Trained(1, 0.0, 1, 1, 0.0, vectors=zeros(schema.made))
        monkeypatch.setattr(clients.app, "train_order", lambda *a, **k: made)
    reply = build_app(lambda context: location)(
        message_for(real_order, kind, schema.model), simulated_context(1, 1)
    )
    assert b"patient64541" not in bytes_of(reply)
    assert unpack_receipt(reply.content).code == FAILED
    assert unpack_receipt(reply.content).reason == UNEXPECTED


@pytest.mark.parametrize("kind", ["train", "evaluate", "query"])
def test_a_message_without_an_order_is_answered_with_a_code(kind):
    message = Message(RecordDict(), dst_node_id=1, message_type=kind)
    reply = build_app(lambda context: None)(message, simulated_context(1, 1))
    assert unpack_receipt(reply.content).code == FAILED


def test_a_task_that_is_none_is_answered_with_a_code(order):
    message = message_for(replace(order, task='{"run": "patient64541"}'))
    reply = build_app(lambda context: None)(message, simulated_context(1, 1))
    assert unpack_receipt(reply.content).reason == REASONS[ConfigError]
    assert b"patient64541" not in bytes_of(reply)


def test_an_interrupt_is_no_error_and_passes(order):
    @redact_errors
    def handler(message, context):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        handler(message_for(order), None)


def test_a_number_that_is_not_on_the_list_stays_inside(order):
    with pytest.raises(RunError, match=r"not on the list .*\['age-of-patient'\]"):
        site_reply(message_for(order), order, site_id="a", numbers={"age-of-patient": 61})


def test_a_text_that_is_not_on_the_list_stays_inside(order):
    with pytest.raises(RunError, match=r"not on the list .*\['path'\]"):
        site_reply(message_for(order), order, site_id="a", texts={"path": SECRET})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_stays_inside(number, order):
    with pytest.raises(RunError, match=r"not finite may not leave a site: \['train-loss'\]"):
        site_reply(message_for(order), order, site_id="a", numbers={"train-loss": number})


@pytest.mark.parametrize("numbers", [{"patient64541": 1}, {"train-loss": float("nan")}])
def test_what_the_door_refuses_is_answered_with_a_code(numbers, order):
    @redact_errors
    def handler(message, context):
        return site_reply(message, order, site_id="a", numbers=numbers)

    reply = handler(message_for(order), None)
    assert unpack_receipt(reply.content).code == FAILED
    assert unpack_receipt(reply.content).reason == REASONS[RunError]
    assert unpack_result(reply.content) == {}
    assert b"patient64541" not in bytes_of(reply)


def test_every_number_and_text_on_the_list_may_leave(order):
    numbers = dict.fromkeys(RESULT_KEYS, 1.0)
    texts = {**dict.fromkeys(CARD_TEXT_KEYS, "x"), "labels": ["Edema"]}
    reply = site_reply(message_for(order), order, site_id="a", numbers=numbers, texts=texts)
    assert unpack_result(reply.content) == numbers
    assert dict(reply.content.config_records["card"]) == texts


def test_a_good_reply_repeats_the_order_and_holds_the_vectors(order):
    declared = {"update": VectorSpec("<f4", 2), "counters": VectorSpec("<i8", 1)}
    sent = {"update": np.float32([1, 2]), "counters": np.int64([3])}
    outgoing = Outgoing(sent, declared)
    reply = site_reply(message_for(order), order, site_id="site-07", outgoing=outgoing)
    receipt = unpack_receipt(reply.content)
    assert (receipt.run, receipt.round_num, receipt.nonce) == ("a-run", 1, "a-nonce")
    assert (receipt.schema_digest, receipt.site_id, receipt.code) == ("a-digest", "site-07", "ok")
    assert receipt.reason == ""
    assert list(reply.content.array_records) == [VECTORS]
    found = vectors_in(reply.content, declared)
    assert {name: vector.tolist() for name, vector in found.items()} == {
        "update": [1, 2],
        "counters": [3],
    }


def test_a_skipped_site_weighs_nothing_and_says_why(order):
    reply = skipped(message_for(order), order, "site-02", TOO_FEW)
    assert unpack_receipt(reply.content).code == SKIPPED
    assert unpack_receipt(reply.content).reason == TOO_FEW
    assert unpack_result(reply.content) == {}
    assert not reply.content.array_records


def test_the_sentence_follows_the_kind_of_error():
    assert redacted(RecordError("x")) == REASONS[DataError]
    assert redacted(FedCxrError("x")) == REASONS[FedCxrError]
    assert redacted(MemoryError("x")) == "the site ran out of memory"
    assert redacted(OSError("x")) == UNEXPECTED


def test_a_reason_that_is_none_of_the_fixed_sentences_stays_inside(order):
    with pytest.raises(RunError, match="not one of the fixed sentences"):
        skipped(message_for(order), order, "site-02", f"{SECRET} is black")


def test_the_fixed_sentences_name_nobody():
    assert {*REASONS.values(), UNEXPECTED, *loop.REASONS, SPENT, WITHHELD, ""} == SENTENCES
    assert not any(sign in text for text in SENTENCES for sign in "/{%")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_update_that_is_not_finite_stays_inside(value, order):
    wild = Outgoing({"update": np.float32([1, value])}, {"update": VectorSpec("<f4", 2)})
    with pytest.raises(RunError, match="parameters that are not finite may not leave"):
        site_reply(message_for(order), order, site_id="a", outgoing=wild)


HALVES, STEPS, COUNTERS = np.float16([1, 2]), np.int8([1, 2]), np.int64([3])
SENT = {
    "none": {"update": np.float32([1, 2]), "counters": COUNTERS},
    "fp16": {"halves": HALVES, "counters": COUNTERS},
    "int8": {"steps": STEPS, "scales": np.float32([0.5]), "counters": COUNTERS},
    "topk": {
        "indices": np.int32([0]),
        "values": np.float32([1]),
        "buffers": HALVES,
        "counters": COUNTERS,
    },
    "scaffold": {
        "update": np.float32([1, 2]),
        "counters": COUNTERS,
        "control-change": np.float32([1, 2]),
        "known-targets": np.int64([6, 4]),
    },
}
DECLARED = {
    run: {name: VectorSpec(vector.dtype.str, len(vector)) for name, vector in vectors.items()}
    for run, vectors in SENT.items()
}
"""By the codec, or the algorithm, that makes them."""


@pytest.mark.parametrize("run", SENT)
def test_what_is_declared_may_leave(run, order):
    sent = Outgoing(SENT[run], DECLARED[run])
    reply = site_reply(message_for(order), order, site_id="a", outgoing=sent)
    assert set(reply.content.array_records[VECTORS]) == set(SENT[run])


@pytest.mark.parametrize(
    ("run", "vectors", "words"),
    [
        ("fp16", {**SENT["fp16"], "patients": STEPS}, "'patients' is not declared"),
        ("fp16", {"steps": STEPS, "counters": COUNTERS}, "'halves' is missing"),
        ("int8", {"steps": STEPS, "counters": COUNTERS}, "'scales' is missing"),
        ("int8", {**SENT["int8"], "steps": np.float32([0.5])}, "'steps' is float32"),
        ("int8", {**SENT["int8"], "steps": np.int8([1])}, "'steps' has 1 numbers, expected 2"),
        ("none", {"vector": np.float32([1]), "counters": COUNTERS}, "'update' is missing"),
        ("none", SENT["scaffold"], "'control-change' is not declared"),
        ("none", {**SENT["none"], "update": np.float32([[1, 2]])}, "float32 with 2 dimensions"),
        ("none", {**SENT["none"], "update": np.float64([1, 2])}, "'update' is float64"),
        ("none", {"update": np.float32([1, 2])}, "'counters' is missing"),
        ("none", {}, "'counters' is missing"),
    ],
)
def test_what_is_not_declared_stays_inside(run, vectors, words, order):
    sent = Outgoing(vectors, DECLARED[run])
    with pytest.raises(RunError, match=f"not on the list of what may leave a site: .*{words}"):
        site_reply(message_for(order), order, site_id="a", outgoing=sent)


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("none", "update"),
        ("fp16", "halves"),
        ("int8", "scales"),
        ("topk", "values"),
        ("topk", "buffers"),
        ("scaffold", "control-change"),
    ],
)
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_every_vector_of_a_reply_is_finite(run, name, value, order):
    vectors = SENT[run]
    vectors = {**vectors, name: vectors[name] * vectors[name].dtype.type(value)}
    sent = Outgoing(vectors, DECLARED[run])
    with pytest.raises(RunError, match="parameters that are not finite may not leave"):
        site_reply(message_for(order), order, site_id="a", outgoing=sent)


def test_where_patients_are_protected_no_number_leaves(order):
    with pytest.raises(RunError, match=r"not noised, .*\['num-train'\]"):
        site_reply(message_for(order), order, site_id="a", numbers={"num-train": 61}, protects=True)
