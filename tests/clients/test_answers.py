"""What a site answers an order to train with: its update, whole or made small by a codec."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Message, RecordDict

import clients.train
from clients.app import build_app
from clients.egress import REASONS
from clients.memory import ALGORITHM, PRIVATE, memory_of
from clients.resident_model import worker_for
from clients.site import open_site, simulated
from clients.train import train_order
from fedcxr.chain import LOST, UPDATE
from fedcxr.config.kit import SiteLimits
from fedcxr.engines.local_worker import simulated_context
from fedcxr.errors import LimitError, RunError
from fedcxr.parameters import extract
from fedcxr.schema import COUNTERS, KNOWN, VECTOR
from fedcxr.training.loop import TrainResult
from fedcxr.wire import (
    ORDER,
    VECTORS,
    pack_order,
    pack_vectors,
    unpack_receipt,
    unpack_result,
    vectors_in,
)

pytestmark = pytest.mark.usefixtures("flower")

DESCENT = {"optimizer": "sgd", "momentum": 0.0}
"""What SCAFFOLD needs of a site."""
ARRAYS = {
    "fp16": {"halves": "<f2"},
    "int8": {"steps": "|i1", "scales": "<f4"},
    "topk": {"indices": "<i4", "values": "<f4", "buffers": "<f2"},
}


@pytest.fixture
def at(sites, tmp_path):
    return simulated(sites, 0, cache=sites / "cache", state=tmp_path / "state")


@pytest.fixture
def start(make_task):
    worker = worker_for(make_task(), 1)
    first = extract(worker.model, worker.spec)
    return {VECTOR: np.clip(first.vector, -1, 1), COUNTERS: first.counters}


def schema_for(task):
    return worker_for(task, 1).schema(task)


def answer(location, task, start, order, kind="train"):
    content = RecordDict({ORDER: pack_order(order), VECTORS: pack_vectors(start)})
    message = Message(content, dst_node_id=1, message_type=kind)
    return build_app(lambda context: location)(message, simulated_context(1, 1)).content


def sent_in(content, task):
    return vectors_in(content, schema_for(task).reply)


def made_in(content, task):
    """Return the vectors before the chain, as the server has them."""
    schema = schema_for(task)
    out = np.empty(schema.shared.spec.num_float, np.float32)
    return schema.chain.invert(sent_in(content, task), schema.shared.spec, out)


def trained(location, task, start, order):
    """Return what the site makes of an order before the chain, without leaving a trace of it."""
    other = replace(location, state=location.state.parent / "other")
    site, worker = open_site(other, task), worker_for(task, 1)
    return train_order(other, site, task, order, vectors=start, worker=worker).vectors


@pytest.mark.parametrize("batch_norm", ["average", "local"])
def test_without_a_codec_the_update_leaves_as_it_is(batch_norm, at, make_task, make_order, start):
    task = make_task(batch_norm=batch_norm)
    order = make_order(task, worker_for(task, 1).spec)
    sent = sent_in(answer(at, task, start, order), task)
    expected = trained(at, task, start, order)
    assert set(sent) == {UPDATE, COUNTERS}
    for name, vector in sent.items():
        np.testing.assert_array_equal(vector, expected[name])
    assert memory_of(at.state, task.run, 2).read(LOST) is None


@pytest.mark.parametrize("batch_norm", ["average", "local"])
@pytest.mark.parametrize("codec", ARRAYS)
def test_a_site_answers_an_order_with_its_update(
    codec, batch_norm, at, make_task, make_order, start
):
    task = make_task(codec=codec, batch_norm=batch_norm, topk=0.2)
    spec = worker_for(task, 1).spec
    content = answer(at, task, start, make_order(task, spec))
    assert unpack_receipt(content).code == "ok"
    assert unpack_result(content)["num-examples"] == 6
    sent = sent_in(content, task)
    dtypes = {name: vector.dtype.str for name, vector in sent.items()}
    assert dtypes == {**ARRAYS[codec], COUNTERS: "<i8"}
    plain = make_task(batch_norm=batch_norm)
    expected = trained(at, plain, start, make_order(plain, spec))
    made = made_in(content, task)
    lost = memory_of(at.state, task.run, 2).read(LOST)[LOST]
    np.testing.assert_allclose(made[UPDATE] + lost, expected[UPDATE], atol=1e-7)
    np.testing.assert_array_equal(made[COUNTERS], expected[COUNTERS])
    if batch_norm == "local":  # the site's statistics stay; nothing of them is sent or owed
        assert len(made[UPDATE]) == len(lost) == spec.num_trainable
        assert len(made[COUNTERS]) == 0
    else:
        assert made[UPDATE][spec.num_trainable :].any()


@pytest.mark.parametrize("codec", ["none", "int8"])
@pytest.mark.parametrize(
    ("algorithm", "batch_norm"),
    [("fedavg", "local"), ("fedbn", "average"), ("scaffold", "average"), ("scaffold", "local")],
)
def test_an_order_done_again_is_answered_with_the_same_bytes(
    codec, algorithm, batch_norm, at, make_task, make_order, start
):
    train = DESCENT if algorithm == "scaffold" else {}
    task = make_task(codec=codec, batch_norm=batch_norm, algorithm={"name": algorithm}, train=train)
    spec, schema = worker_for(task, 1).spec, schema_for(task)
    more = {name: np.full(schema.size, 0.1, np.float32) for name in schema.rules.to_sites}
    for round_num in (1, 2):
        content = answer(at, task, start | more, make_order(task, spec, round_num))
    again = answer(at, task, start | more, make_order(task, spec, 2))
    one, two = (sent_in(x, task) for x in (content, again))
    assert {n: a.tobytes() for n, a in one.items()} == {n: a.tobytes() for n, a in two.items()}


@pytest.mark.parametrize("codec", ["none", "int8", "topk"])
def test_what_an_algorithm_and_a_site_add_leaves_beside_a_small_update(
    codec, at, make_task, make_order, start
):
    task = make_task(
        codec=codec, algorithm={"name": "scaffold"}, train=DESCENT, counts_known=True, topk=0.2
    )
    order = make_order(task, worker_for(task, 1).spec)
    start = start | {"control": np.full(schema_for(task).size, 0.1, np.float32)}
    made = made_in(answer(at, task, start, order), task)
    expected = trained(at, task, start, order)
    assert set(made) == {UPDATE, COUNTERS, KNOWN, "control-change"}
    for name in (COUNTERS, KNOWN, "control-change"):  # no codec touches them
        np.testing.assert_array_equal(made[name], expected[name])
    if codec == "none":
        np.testing.assert_array_equal(made[UPDATE], expected[UPDATE])


def test_an_update_that_overflows_is_told_and_does_not_leave(
    at, make_task, make_order, start, monkeypatch
):
    # 3e38 − (−3e38) is more than float32 holds
    low, high = (np.full_like(start[VECTOR], value) for value in (-3e38, 3e38))
    done = TrainResult(num_examples=6, train_loss=0.5, num_steps=2, images_seen=6)
    monkeypatch.setattr(clients.train, "train_site", lambda *args, **options: done)
    extracted = extract(worker_for(make_task(), 1).model, worker_for(make_task(), 1).spec)
    monkeypatch.setattr(clients.train, "extract", lambda *args: replace(extracted, vector=high))
    for codec in ("none", "fp16", "int8", "topk"):
        task = make_task(codec=codec)
        order = make_order(task, worker_for(task, 1).spec)
        content = answer(at, task, start | {VECTOR: low}, order)
        assert unpack_receipt(content).code == "failed"
        assert unpack_receipt(content).reason == REASONS[RunError]
        assert not content.array_records
        assert memory_of(at.state, task.run, 2).read(LOST) is None


def test_the_site_s_own_model_and_what_it_owes_lie_side_by_side(at, make_task, make_order, start):
    task = make_task(
        codec="int8", batch_norm="local", algorithm={"name": "scaffold"}, train=DESCENT
    )
    start = start | {"control": np.zeros(schema_for(task).size, np.float32)}
    content = answer(at, task, start, make_order(task, worker_for(task, 1).spec))
    assert unpack_receipt(content).code == "ok"
    names = sorted(path.name for path in (at.state / task.run).iterdir())
    assert names == [f"{kind}-00001.safetensors" for kind in sorted((ALGORITHM, LOST, PRIVATE))]


def test_a_site_with_nothing_to_train_on_owes_nothing(at, sites, make_task, make_order, start):
    location = simulated(sites, 3, cache=sites / "cache", state=at.state)
    task = make_task(codec="int8")
    content = answer(location, task, start, make_order(task, worker_for(task, 1).spec))
    assert unpack_receipt(content).code == "skipped"
    assert not location.state.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda vectors: vectors | {"more": vectors[VECTOR]},
        lambda vectors: vectors | {"control": vectors[VECTOR]},
        lambda vectors: {VECTOR: vectors[VECTOR]},
        lambda vectors: vectors | {VECTOR: vectors[VECTOR][:-1]},
        lambda vectors: vectors | {VECTOR: vectors[VECTOR].astype(np.float64)},
        lambda vectors: vectors | {COUNTERS: vectors[COUNTERS].astype(np.int32)},
    ],
)
def test_an_order_of_other_vectors_than_declared_is_not_begun(
    change, at, make_task, make_order, start, monkeypatch
):
    monkeypatch.setattr(clients.app, "train_order", lambda *args, **options: pytest.fail("begun"))
    task = make_task()
    content = answer(at, task, change(start), make_order(task, worker_for(task, 1).spec))
    assert unpack_receipt(content).code == "failed"
    assert unpack_receipt(content).reason == REASONS[RunError]


def test_an_order_beyond_the_owners_limits_is_not_begun(at, make_task, make_order, start):
    task = make_task(train={"local_epochs": 3})
    order = make_order(task, worker_for(task, 1).spec)
    limited = replace(at, limits=SiteLimits(local_epochs=2))
    assert unpack_receipt(answer(limited, task, start, order)).reason == REASONS[LimitError]
    allowed = replace(at, limits=SiteLimits(local_epochs=3))
    assert unpack_receipt(answer(allowed, task, start, order)).code == "ok"


def test_an_owner_limits_the_steps_of_a_round_and_its_fewest_sites(
    at, make_task, make_order, start
):
    # 6 images in batches of 4, 2 epochs: 4 steps
    task = make_task(train={"local_epochs": 2, "batch_size": 4})
    order = make_order(task, worker_for(task, 1).spec, num_sites=3)

    def code(**limits):
        limited = replace(at, limits=SiteLimits(**limits))
        return unpack_receipt(answer(limited, task, start, order)).code

    assert (code(steps=3), code(min_sites=4)) == ("failed", "failed")
    assert (code(steps=4), code(min_sites=3)) == ("ok", "ok")


def test_a_site_that_keeps_its_scores_trains_and_tells_none(at, make_task, make_order, start):
    task = make_task()
    order = make_order(task, worker_for(task, 1).spec)
    start = start | {VECTOR: np.zeros_like(start[VECTOR])}
    quiet = replace(at, limits=SiteLimits(scores=False))
    refused = answer(quiet, task, start, order, kind="evaluate")
    assert unpack_receipt(refused).reason == REASONS[LimitError]
    assert unpack_result(refused) == {}
    assert "val-loss" in unpack_result(answer(at, task, start, order, kind="evaluate"))
    assert unpack_receipt(answer(quiet, task, start, order)).code == "ok"
