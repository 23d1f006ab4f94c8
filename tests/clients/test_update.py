"""What leaves a site under a codec, and what it keeps of each update for the next."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Message, RecordDict

from clients.app import build_app
from clients.site import open_site, simulated
from clients.state import read_state
from clients.train import train_order
from clients.update import encode_update
from clients.worker import worker_for
from fedcxr.codecs import DTYPES, Encoded, decode
from fedcxr.engines.local_worker import simulated_context
from fedcxr.errors import ArtefactError, RunError
from fedcxr.parameters import Parameters, ParameterSpec, extract
from fedcxr.wire import (
    ORDER,
    PARAMETERS,
    pack_order,
    pack_parameters,
    unpack_receipt,
    unpack_result,
    unpack_update,
)

SPEC = ParameterSpec(
    ("w", "bn.running_var", "n"), ((2,), (1,), ()), ("trainable", "buffer", "counter")
)
CODECS = ("fp16", "int8", "topk")


def parameters(*values, counter=0):
    return Parameters(np.float32(values), np.int64([counter]))


def sent(update, spec=SPEC):
    out = np.empty(spec.num_float, np.float32)
    decode(update, spec, out)
    return out


@pytest.fixture
def step(tmp_path, make_task):
    """Let a site send what it trained in a round, given zeros."""

    def make(round_num, trained, codec="int8", given=(0, 0, 1), **task):
        return encode_update(
            tmp_path / "state",
            make_task(codec=codec, **task),
            round_num,
            given=parameters(*given),
            trained=trained,
            spec=SPEC,
        )

    return make


def owed(tmp_path, before):
    kept = read_state(tmp_path / "state", "a-run", before, "lost")
    return None if kept is None else kept.vector.tolist()


def test_without_a_codec_the_parameters_leave_as_they_are_and_nothing_is_kept(step, tmp_path):
    trained = parameters(1, 2, 3)
    assert step(1, trained, codec="none") is trained
    assert not (tmp_path / "state").exists()


def test_the_update_leaves_and_what_it_lost_stays(step, tmp_path):
    # 127 / 127 = 1 a step: of (127, 2.25) the 0.25 stays; the variance went from 1 to 1
    update = step(1, parameters(127, 2.25, 1, counter=7))
    assert isinstance(update, Encoded)
    assert sent(update).tolist() == [127, 2, 0]
    assert update.counters.tolist() == [7]
    assert owed(tmp_path, 2) == [0, 0.25, 0]


def test_what_was_lost_is_added_to_the_next_update(step, tmp_path):
    # 0.25 + 2.25 = 2.5 → 2 and owes 0.5; then 2.25 + 0.5 = 2.75 → 3 and owes −0.25
    for round_num, arrives, remains in [(1, 2, 0.25), (2, 2, 0.5), (3, 3, -0.25)]:
        update = step(round_num, parameters(127, 2.25, 1))
        assert sent(update)[1] == arrives
        assert owed(tmp_path, round_num + 1)[1] == remains


def test_a_round_done_again_gives_the_same_bits_and_goes_on_as_if_done_once(step, tmp_path):
    # The server went down in round 3, after this site had answered, and orders round 3 again.
    rng = np.random.default_rng(0)
    trained = [parameters(*rng.normal(0, 1, 2), 1) for _ in range(5)]
    whole = [step(n, x, seed=1, run="whole") for n, x in enumerate(trained, 1)]
    for n in (1, 2, 3, 3, 4, 4, 5):
        update = step(n, trained[n - 1])
        assert sent(update).tolist() == sent(whole[n - 1]).tolist()


def test_a_round_done_again_may_have_been_trained_otherwise(step, tmp_path):
    step(1, parameters(127, 2.25, 1))
    step(2, parameters(127, 40, 1))
    step(2, parameters(127, 2.25, 1))
    assert owed(tmp_path, 3) == [0, 0.5, 0]


def test_a_server_that_goes_back_too_far_is_told(step):
    for round_num in (1, 2, 3, 4):
        step(round_num, parameters(1, 2, 3))
    with pytest.raises(ArtefactError, match=r"none from before round 2\. The server went back"):
        step(2, parameters(1, 2, 3))


def test_a_site_that_sat_out_still_owes(step):
    step(1, parameters(127, 2.25, 1))
    assert sent(step(9, parameters(127, 2.25, 1)))[1] == 2


@pytest.mark.parametrize("codec", CODECS)
def test_over_the_rounds_everything_arrives(step, tmp_path, codec):
    rng = np.random.default_rng(0)
    trained = rng.normal(0, 1, (60, 3)).astype(np.float32)
    trained[:, 2] = np.abs(trained[:, 2])
    total = np.zeros(3)
    for round_num, values in enumerate(trained, 1):
        total += sent(step(round_num, parameters(*values), codec=codec, topk=0.5))
    updates = (trained - np.float32([0, 0, 1])).astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(total + owed(tmp_path, 61), updates, atol=1e-4)
    # half of the weights sent: at most sqrt(0.5) / (1 - sqrt(0.5)) = 2.4 times the largest update
    most = {"fp16": 0.01, "int8": 0.05, "topk": 2.42 * np.linalg.norm(trained, axis=1).max()}[codec]
    assert np.abs(owed(tmp_path, 61)).max() < most


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_update_that_is_not_finite_is_told_and_kept_nowhere(step, tmp_path, value):
    with pytest.raises(RunError, match=r"the update is not finite; lower train\.learning_rate"):
        step(1, parameters(1, value, 1))
    assert owed(tmp_path, 2) is None


def test_an_update_that_overflows_is_told(step):
    with pytest.raises(RunError, match="the update is not finite"):
        step(1, parameters(3e38, 0, 1), given=(-3e38, 0, 1))


def test_the_site_s_own_model_and_what_it_owes_lie_side_by_side(step, tmp_path):
    step(1, parameters(1, 2, 3))
    assert read_state(tmp_path / "state", "a-run", 2) is None
    assert [p.name for p in (tmp_path / "state/a-run").iterdir()] == ["lost-00001.safetensors"]


@pytest.fixture
def at(sites, tmp_path):
    return simulated(sites, 0, cache=sites / "cache", state=tmp_path / "state")


@pytest.fixture
def start(make_task):
    worker = worker_for(make_task(), 1)
    first = extract(worker.model, worker.spec)
    return replace(first, vector=np.clip(first.vector, -1, 1).copy())


def answer(location, task, start, order):
    content = RecordDict({ORDER: pack_order(order), PARAMETERS: pack_parameters(start)})
    message = Message(content, dst_node_id=1, message_type="train")
    return build_app(lambda context: location)(message, simulated_context(1, 1)).content


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize("batch_norm", ["average", "local"])
@pytest.mark.parametrize("codec", CODECS)
def test_a_site_answers_an_order_with_its_update(
    codec, batch_norm, at, make_task, make_order, start
):
    task = make_task(codec=codec, batch_norm=batch_norm, topk=0.2)
    spec = worker_for(task, 1).spec
    order = make_order(task, spec)
    content = answer(at, task, start, order)
    assert unpack_receipt(content).code == "ok"
    assert unpack_result(content)["num-examples"] == 6
    update = unpack_update(content, codec)
    assert {name: array.dtype.str for name, array in update.arrays.items()} == DTYPES[codec]
    plain = make_task(batch_norm=batch_norm)
    trained = train_order(
        replace(at, state=at.state.parent / "other"),
        open_site(at, plain),
        plain,
        make_order(plain, spec),
        parameters=start,
        worker=worker_for(plain, 1),
    ).parameters
    kept = read_state(at.state, task.run, 2, "lost")
    arrived = sent(update, spec) + kept.vector
    np.testing.assert_allclose(arrived, trained.vector - start.vector, atol=1e-7)
    np.testing.assert_array_equal(update.counters, trained.counters)
    buffers = slice(spec.num_trainable, None)
    if batch_norm == "local":  # the site's statistics stay; nothing of them is sent or owed
        assert not sent(update, spec)[buffers].any()
        assert not kept.vector[buffers].any()
    else:
        assert sent(update, spec)[buffers].any()


@pytest.mark.usefixtures("flower")
def test_an_order_done_again_is_answered_with_the_same_bytes(at, make_task, make_order, start):
    task = make_task(codec="int8", batch_norm="local")
    spec = worker_for(task, 1).spec
    for round_num in (1, 2):
        content = answer(at, task, start, make_order(task, spec, round_num))
    again = answer(at, task, start, make_order(task, spec, 2))
    one, two = (unpack_update(x, "int8") for x in (content, again))
    assert {n: a.tobytes() for n, a in one.arrays.items()} == {
        n: a.tobytes() for n, a in two.arrays.items()
    }


@pytest.mark.usefixtures("flower")
def test_a_site_with_nothing_to_train_on_owes_nothing(at, sites, make_task, make_order, start):
    location = simulated(sites, 3, cache=sites / "cache", state=at.state)
    task = make_task(codec="int8")
    content = answer(location, task, start, make_order(task, worker_for(task, 1).spec))
    assert unpack_receipt(content).code == "skipped"
    assert not location.state.exists()
