"""Uncertain labels that a first model fills: when, with what, and that it stays at the site."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from flwr.app import Message, RecordDict

from clients.app import build_app
from clients.memory import PRIVATE, memory_of
from clients.resident_model import worker_for
from clients.self_training import FILE, filled_target
from clients.site import open_site, simulated
from clients.train import start_from, train_order
from fedcxr.chain import UPDATE
from fedcxr.engines.local_worker import simulated_context
from fedcxr.errors import ArtefactError, RunError
from fedcxr.models.architectures import build_model
from fedcxr.parameters import Parameters, extract, load_into, spec_of
from fedcxr.schema import COUNTERS, KNOWN, VECTOR
from fedcxr.seeding import derive_seed
from fedcxr.training.loop import train_site
from fedcxr.training.pool import ImagePool
from fedcxr.training.transforms import Normalization, normalize
from fedcxr.wire import ORDER, RESULT_KEYS, VECTORS, pack_order, pack_vectors, unpack_result

ASKED = ([1, 4], [1, 1])
"""Where site-00's table has -1 in train: Fracture of the second and the fifth image."""


@pytest.fixture
def at(sites, tmp_path):
    """Return the location of a site by its number."""
    return lambda index: simulated(sites, index, cache=sites / "cache", state=tmp_path / "state")


@pytest.fixture
def self_task(make_task):
    """Build a task whose uncertain labels are filled after round 1."""

    def make(after=1, **changes):
        update = {"uncertain": "self_trained", "self_train_after": after}
        policy = make_task().policy.model_copy(update=update)
        return make_task(policy=policy, **changes)

    return make


@pytest.fixture
def start(make_task):
    """The server's parameters at two times."""
    models = [build_model(make_task().model, 2, seed) for seed in (0, 1)]
    return [extract(model, spec_of(model)) for model in models]


def fill(location, task, parameters, make_order, round_num):
    """Return the targets of a round as the site makes them."""
    worker = worker_for(task, 1)
    order = make_order(task, worker.spec, round_num)
    memory = memory_of(location.state, task.run, round_num)
    start = start_from(memory, worker.schema(task), order, parameters)
    load_into(worker.model, worker.spec, start)
    return filled_target(location, open_site(location, task), task, order, worker)


def named(parameters):
    return {VECTOR: parameters.vector, COUNTERS: parameters.counters}


def train(location, task, parameters, make_order, round_num):
    """Return the vectors that a round at the site makes."""
    worker = worker_for(task, 1)
    order = make_order(task, worker.spec, round_num)
    site, vectors = open_site(location, task), named(parameters)
    return train_order(location, site, task, order, vectors=vectors, worker=worker).vectors


def trained(location, task, parameters, make_order, round_num):
    """Return the parameters after a round at the site, which keeps none of them to itself."""
    made = train(location, task, parameters, make_order, round_num)
    return Parameters(parameters.vector + made[UPDATE], made[COUNTERS])


def predicted(location, task, parameters):
    """Return the probabilities (N, L) of the site's training images, without our own predict."""
    worker = worker_for(task, 1)
    site = open_site(location, task)
    load_into(worker.model, worker.spec, parameters)
    images = torch.from_numpy(np.asarray(site.images[site.train.rows]))
    with torch.no_grad():
        logits = worker.model.eval()(
            normalize(images, Normalization("preset", task.train.mean, task.train.std))
        )
    return torch.sigmoid(logits).numpy()


def file_of(location, task):
    return location.state / task.run / FILE


def test_up_to_the_stated_round_the_uncertain_are_unknown(at, self_task, start, make_order):
    task = self_task(after=2)
    for round_num in (1, 2):
        target = fill(at(0), task, start[0], make_order, round_num)
        assert np.isnan(target[ASKED]).all()
    assert not at(0).state.exists()


def test_the_first_round_after_it_fills_them_with_the_given_models_prediction(
    at, self_task, start, make_order
):
    task = self_task()
    target = fill(at(0), task, start[0], make_order, 2)
    expected = predicted(at(0), task, start[0])
    np.testing.assert_allclose(target[ASKED], expected[ASKED], atol=1e-6)
    # nothing else has changed, not even in the site's own targets
    own = open_site(at(0), task).train.target
    assert np.isnan(own[ASKED]).all()
    others = ~np.isnan(own)
    np.testing.assert_array_equal(target[others], own[others])


def test_later_rounds_keep_the_first_predictions(at, self_task, start, make_order):
    task = self_task()
    first = fill(at(0), task, start[0], make_order, 2)
    later = fill(at(0), task, start[1], make_order, 3)
    np.testing.assert_array_equal(later, first)
    fresh = fill(replace(at(0), state=at(0).state / "elsewhere"), task, start[1], make_order, 3)
    assert not np.array_equal(fresh[ASKED], first[ASKED])


def test_a_site_that_sat_out_predicts_when_it_first_takes_part(at, self_task, start, make_order):
    task = self_task()
    target = fill(at(0), task, start[1], make_order, 7)
    np.testing.assert_allclose(target[ASKED], predicted(at(0), task, start[1])[ASKED], atol=1e-6)
    np.testing.assert_array_equal(fill(at(0), task, start[0], make_order, 8), target)


def test_a_round_asked_again_or_an_earlier_one_predicts_anew(at, self_task, start, make_order):
    task = self_task()
    first = fill(at(0), task, start[0], make_order, 3)
    kept = file_of(at(0), task).read_bytes()
    again = fill(at(0), task, start[0], make_order, 3)
    np.testing.assert_array_equal(again, first)
    assert file_of(at(0), task).read_bytes() == kept
    # the server went back behind it, and its model is another one now
    back = fill(at(0), task, start[1], make_order, 2)
    np.testing.assert_allclose(back[ASKED], predicted(at(0), task, start[1])[ASKED], atol=1e-6)
    np.testing.assert_array_equal(fill(at(0), task, start[0], make_order, 3), back)


def test_training_uses_the_filled_targets(at, self_task, start, make_order):
    task = self_task()
    made = train(at(0), task, start[0], make_order, 2)
    worker, site = worker_for(task, 1), open_site(at(0), task)
    target = fill(at(0), task, start[0], make_order, 3)
    load_into(worker.model, worker.spec, start[0])
    train_site(
        worker.model,
        ImagePool.of(site.images, site.train.rows, target),
        config=task.train,
        learning_rate=1e-3,
        normalization=Normalization(task.train.normalization, task.train.mean, task.train.std),
        precision=worker.precision,
        device="cpu",
        seed=derive_seed(0, "client", "site-00", 2),
    )
    after = extract(worker.model, worker.spec)
    np.testing.assert_array_equal(made[UPDATE], after.vector - start[0].vector)
    np.testing.assert_array_equal(made[COUNTERS], after.counters)


def test_what_was_filled_counts_as_known(at, self_task, start, make_order):
    # Edema of all six images; Fracture is uncertain in the two that a model fills after round 1
    task = self_task(counts_known=True)
    known = [train(at(0), task, start[0], make_order, n)[KNOWN].tolist() for n in (1, 2)]
    assert known == [[6, 4], [6, 6]]


def test_a_killed_round_ends_with_the_same_weights(at, self_task, start, make_order, tmp_path):
    task = self_task()
    second = trained(at(0), task, start[0], make_order, 2)
    whole = trained(at(0), task, second, make_order, 3).sha256()
    elsewhere = replace(at(0), state=tmp_path / "killed")
    fill(elsewhere, task, start[0], make_order, 2)  # killed after the file was written
    assert trained(elsewhere, task, start[0], make_order, 2).sha256() == second.sha256()
    assert trained(elsewhere, task, second, make_order, 3).sha256() == whole


def test_under_local_batch_norm_the_site_predicts_with_its_own_statistics(
    at, self_task, start, make_order
):
    task = self_task(batch_norm="local")
    train(at(0), task, start[0], make_order, 1)
    target = fill(at(0), task, start[1], make_order, 2)
    spec = worker_for(task, 1).spec
    own = memory_of(at(0).state, task.run, 2).read(PRIVATE)[VECTOR]
    mixed = np.concatenate([start[1].vector[: spec.num_trainable], own])
    expected = predicted(at(0), task, replace(start[1], vector=mixed))
    np.testing.assert_allclose(target[ASKED], expected[ASKED], atol=1e-6)
    assert not np.allclose(target[ASKED], predicted(at(0), task, start[1])[ASKED], atol=1e-6)


def test_each_run_predicts_for_itself(at, self_task, start, make_order):
    first = fill(at(0), self_task(), start[0], make_order, 2)
    other = fill(at(0), self_task(run="another-run"), start[1], make_order, 3)
    assert not np.array_equal(other[ASKED], first[ASKED])


def test_a_damaged_file_is_named_and_not_used(at, self_task, start, make_order):
    task = self_task()
    fill(at(0), task, start[0], make_order, 2)
    file = file_of(at(0), task)
    whole = file.read_bytes()
    file.write_bytes(whole[:-4] + b"\x00\x00\x80\x3f")  # the last probability becomes 1
    with pytest.raises(ArtefactError, match=r"self-trained\.safetensors: damaged\. Delete it"):
        fill(at(0), task, start[0], make_order, 3)
    file.write_bytes(whole[:-4])
    with pytest.raises(ArtefactError, match="truncated"):
        fill(at(0), task, start[0], make_order, 3)


def test_predictions_of_other_images_are_refused(at, self_task, start, make_order):
    task = self_task()
    fill(at(0), task, start[0], make_order, 2)
    stranger = replace(at(1), state=at(0).state)
    with pytest.raises(ArtefactError, match="made for other images or labels than the site has"):
        fill(stranger, task, start[0], make_order, 3)


def test_predictions_that_are_not_finite_stop_the_round(at, self_task, start, make_order):
    wild = replace(start[0], vector=np.full_like(start[0].vector, np.nan))
    with pytest.raises(RunError, match=r"predictions are not finite; lower train\.learning_rate"):
        fill(at(0), self_task(), wild, make_order, 2)
    assert not file_of(at(0), self_task()).exists()


@pytest.mark.usefixtures("flower")
def test_no_prediction_leaves_the_site(at, self_task, start, make_order):
    task = self_task()
    order = make_order(task, worker_for(task, 1).spec, 2)
    content = RecordDict({ORDER: pack_order(order), VECTORS: pack_vectors(named(start[0]))})
    message = Message(content, dst_node_id=1, message_type="train")
    app = build_app(lambda context: at(0))
    reply = app(message, simulated_context(1, 1)).content
    assert set(unpack_result(reply)) <= RESULT_KEYS
    assert set(reply) == {"receipt", "result", "vectors"}
    assert set(reply["vectors"]) == {"update", "counters"}
    assert file_of(at(0), task).is_file()


def test_a_federation_with_mixed_policies_stays_finite(at, make_task, make_order):
    policy = make_task().policy.model_copy(
        update={"uncertain_by_label": {"Edema": "multi_class", "Fracture": "self_trained"}}
    )
    task = make_task(policy=policy)
    model = build_model(task.model, 3, seed=0)
    parameters = extract(model, spec_of(model))
    for round_num in (1, 2, 3):
        own = [trained(at(index), task, parameters, make_order, round_num) for index in (0, 1)]
        mean = np.average([p.vector for p in own], axis=0, weights=[6, 5]).astype(np.float32)
        parameters = replace(own[0], vector=mean)
    assert np.isfinite(parameters.vector).all()
    assert file_of(at(1), task).is_file()
