"""Training and evaluation at one site: what is sent back, what stays, and that sites don't mix."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Message, RecordDict

from clients.app import build_app
from clients.egress import REASONS
from clients.evaluate import evaluate_order, site_counts, site_moments
from clients.memory import ALGORITHM, PRIVATE, memory_of
from clients.resident_model import worker_for
from clients.site import open_site, simulated
from clients.train import start_from, train_order
from fedcxr.algorithms.fedbn import batch_norm_tensors
from fedcxr.chain import UPDATE
from fedcxr.engines.local_worker import simulated_context
from fedcxr.errors import ConfigError, RunError
from fedcxr.parameters import Parameters, extract
from fedcxr.schema import COUNTERS, KNOWN, VECTOR
from fedcxr.wire import (
    ORDER,
    VECTORS,
    pack_order,
    pack_vectors,
    unpack_receipt,
    unpack_result,
    vectors_in,
)


@pytest.fixture
def at(sites, tmp_path):
    """Return the location of a site by its number."""
    return lambda index: simulated(sites, index, cache=sites / "cache", state=tmp_path / "state")


@pytest.fixture
def start(make_task):
    """The server's parameters: a copy, since the worker's model is overwritten."""
    worker = worker_for(make_task(), 1)
    first = extract(worker.model, worker.spec)
    return replace(first, vector=np.clip(first.vector, -1, 1).copy())


def named(parameters):
    return {VECTOR: parameters.vector, COUNTERS: parameters.counters}


def train(location, task, start, make_order, round_num=1, **more):
    """Let a site train; `more` are the algorithm's vectors in the order."""
    worker = worker_for(task, 1)
    order = make_order(task, worker.spec, round_num)
    site, vectors = open_site(location, task), named(start) | more
    return train_order(location, site, task, order, vectors=vectors, worker=worker)


def digest_of(result):
    """Return the digest of what a training made."""
    return Parameters(result.vectors[UPDATE], result.vectors[COUNTERS]).sha256()


def model_after(task, start, result):
    """Return the server's parameters moved by one site's update."""
    shared = worker_for(task, 1).schema(task).shared
    moved = shared.take(start).vector + result.vectors[UPDATE]
    return shared.put(Parameters(moved, result.vectors[COUNTERS]), start)


def evaluate(location, task, start, make_order, round_num=1):
    worker = worker_for(task, 1)
    order = make_order(task, worker.spec, round_num)
    site, vectors = open_site(location, task), named(start)
    return evaluate_order(location, site, task, order, vectors=vectors, worker=worker)


def answer(location, task, start, make_order, kind="train", **order):
    content = RecordDict(
        {
            ORDER: pack_order(make_order(task, worker_for(task, 1).spec, **order)),
            VECTORS: pack_vectors(named(start)),
        }
    )
    message = Message(content, dst_node_id=1, message_type=kind)
    return build_app(lambda context: location)(message, simulated_context(1, 1)).content


def test_training_moves_the_model_and_counts_the_images(at, make_task, start, make_order):
    result = train(at(0), make_task(), start, make_order)
    assert (result.num_examples, result.images_seen, result.num_steps) == (6, 6, 2)
    worker = worker_for(make_task(), 1)
    trained = extract(worker.model, worker.spec)  # the worker's model holds it still
    assert trained.sha256() != start.sha256()
    assert np.isfinite(trained.vector).all()
    np.testing.assert_array_equal(result.vectors[UPDATE], trained.vector - start.vector)
    np.testing.assert_array_equal(result.given, start.vector)
    # two steps at batch norm: every counter went from 0 to 2
    np.testing.assert_array_equal(result.vectors[COUNTERS], start.counters + 2)
    assert set(result.vectors) == {UPDATE, COUNTERS}


def test_the_model_of_a_process_is_overwritten_whole(at, make_task, start, make_order):
    task = make_task()
    alone = digest_of(train(at(1), task, start, make_order))
    train(at(0), task, start, make_order)
    after_another = digest_of(train(at(1), task, start, make_order))
    assert after_another == alone


def test_the_seed_the_site_and_the_round_change_the_training(at, make_task, start, make_order):
    task = make_task()
    digests = {
        digest_of(train(at(0), task, start, make_order)),
        digest_of(train(at(0), task, start, make_order, round_num=2)),
        digest_of(train(at(0), make_task(seed=1), start, make_order)),
        digest_of(train(at(1), task, start, make_order)),
    }
    assert len(digests) == 4


def test_a_process_keeps_one_model_for_a_task(make_task):
    assert worker_for(make_task(), 1) is worker_for(make_task(seed=5), 1)


def test_a_multi_class_label_has_an_output_more(make_task):
    policy = make_task().policy.model_copy(update={"uncertain_by_label": {"Edema": "multi_class"}})
    plain, three_way = worker_for(make_task(), 1), worker_for(make_task(policy=policy), 1)
    assert plain.spec.digest != three_way.spec.digest
    assert three_way.model.network.classifier.out_features == 3


@pytest.mark.parametrize("batch_norm", ["average", "local"])
def test_a_multi_class_label_trains_and_is_judged_by_its_own_column(
    batch_norm, at, make_task, make_order
):
    policy = make_task().policy.model_copy(update={"uncertain": "multi_class"})
    task = make_task(policy=policy, batch_norm=batch_norm)
    worker = worker_for(task, 1)
    first = extract(worker.model, worker.spec)
    result = train(at(0), task, first, make_order)
    assert result.num_examples == 6
    trained = model_after(task, first, result)
    assert np.isfinite(trained.vector).all()
    numbers = evaluate(at(0), task, trained, make_order)
    assert numbers["val-labels"] == 2


def test_parameters_of_another_model_are_refused(at, make_task, start, make_order):
    task = make_task()
    worker = worker_for(task, 1)
    order = make_order(task, worker.spec, schema_digest="another-digest")
    with pytest.raises(RunError, match="the server's model is not this site's"):
        start_from(memory_of(at(0).state, task.run, 1), worker.schema(task), order, start)


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_an_order_under_another_schema_is_refused(kind, at, make_task, start, make_order):
    # of the same vectors, so that only the digest tells
    changed = {"kind": kind, "schema_digest": "another-digest"}
    content = answer(at(0), make_task(), start, make_order, **changed)
    assert unpack_receipt(content).code == "failed"
    assert not content.array_records
    assert unpack_receipt(answer(at(0), make_task(), start, make_order, kind=kind)).code == "ok"


@pytest.mark.parametrize("index", [2, 3])
@pytest.mark.usefixtures("flower")
def test_a_site_with_0_or_1_images_is_skipped_with_its_reason(
    index, at, make_task, start, make_order
):
    # row 13 of the bad-input table
    content = answer(at(index), make_task(), start, make_order)
    receipt = unpack_receipt(content)
    assert receipt.code == "skipped"
    assert "fewer than 2 usable training images" in receipt.reason
    assert unpack_result(content) == {}  # no weight at all
    assert not content.array_records


@pytest.mark.usefixtures("flower")
def test_a_site_without_a_known_label_is_skipped(
    at, make_task, start, make_order, tmp_path, sites, site_records
):
    policy = make_task().policy.model_copy(update={"blank": "ignore"})
    task = make_task(labels=("Hollow", "Edema"), policy=policy)
    table = at(0).table.read_text().replace(",Fracture", ",Hollow")
    rows = [line.rsplit(",", 2)[0] + ",," for line in table.splitlines()[1:]]
    file = tmp_path / "blank.csv"
    file.write_text("\n".join([table.splitlines()[0], *rows]) + "\n")
    content = answer(replace(at(0), table=file), task, start, make_order)
    assert unpack_receipt(content).code == "skipped"
    assert "no training image has a known label" in unpack_receipt(content).reason


@pytest.mark.parametrize("kind", ["train", "evaluate", "query"])
@pytest.mark.parametrize(
    "changes", [{"loss": "of-a-plug-in"}, {"optimizer": "rprop"}, {"momentum": 0.5}]
)
@pytest.mark.usefixtures("flower")
def test_a_choice_that_the_site_does_not_know_is_refused_at_its_door(
    kind, changes, at, make_task, start, make_order, caplog
):
    task = make_task()
    task = task.model_copy(update={"train": task.train.model_copy(update=changes)})
    receipt = unpack_receipt(answer(at(0), task, start, make_order, kind))
    assert (receipt.code, receipt.reason) == ("failed", REASONS[ConfigError])
    assert f"train.{next(iter(changes))}" in caplog.text
    assert not (at(0).state / task.run).exists()


def test_a_last_batch_of_one_image_is_dropped(at, make_task, start, make_order):
    # row 13 of the bad-input table
    # 5 images in batches of 4: the fifth would be alone, and batch norm has no variance of one
    result = train(at(1), make_task(), start, make_order)
    assert (result.num_steps, result.images_seen) == (1, 4)


@pytest.mark.usefixtures("flower")
def test_a_trained_site_sends_weight_loss_and_update(at, make_task, start, make_order):
    task = make_task()
    content = answer(at(0), task, start, make_order)
    assert unpack_receipt(content).code == "ok"
    assert unpack_receipt(content).site_id == "site-00"
    result = unpack_result(content)
    assert result["num-examples"] == 6
    assert 0.0 < result["train-loss"] < 5.0
    declared = worker_for(task, 1).schema(task).reply
    assert len(vectors_in(content, declared)[UPDATE]) == len(start.vector)


@pytest.mark.usefixtures("flower")
def test_the_card_says_counts_labels_and_versions(at, make_task, start, make_order):
    content = answer(at(0), make_task(), start, make_order, kind="query")
    assert unpack_result(content) == {"num-patients": 9, "num-train": 6, "num-val": 3}
    card = content.config_records["card"]
    assert card["labels"] == ["Edema", "Fracture"]
    assert set(card) == {"labels", "code-digest", "fedcxr-version", "torch-version"}


@pytest.mark.usefixtures("flower")
def test_pixel_moments_are_sent_only_when_they_are_pooled(at, make_task, start, make_order):
    task = make_task(train={"normalization": "pooled"})
    result = unpack_result(answer(at(0), task, start, make_order, kind="query"))
    assert result["pixel-count"] == 6 * 32 * 32


def test_local_batch_norm_keeps_the_buffers_at_the_site(at, make_task, start, make_order):
    task = make_task(batch_norm="local")
    spec = worker_for(task, 1).spec
    made = train(at(0), task, start, make_order).vectors
    kept = memory_of(at(0).state, task.run, 2).read(PRIVATE)
    buffers = slice(spec.num_trainable, None)
    # what leaves: the update of the trained weights, and of buffers and counters nothing
    assert made[UPDATE].shape == (spec.num_trainable,)
    assert made[COUNTERS].shape == (0,)
    assert made[UPDATE].any()
    # what stays: the site's statistics
    assert kept[VECTOR].shape == start.vector[buffers].shape
    assert not np.array_equal(kept[VECTOR], start.vector[buffers])
    np.testing.assert_array_equal(kept[COUNTERS], start.counters + 2)


def test_local_batch_norm_starts_the_next_round_from_the_sites_buffers(
    at, make_task, start, make_order
):
    task = make_task(batch_norm="local")
    spec, schema = worker_for(task, 1).spec, worker_for(task, 1).schema(task)
    train(at(0), task, start, make_order)
    first, memory = (memory_of(at(0).state, task.run, n) for n in (1, 2))
    kept = memory.read(PRIVATE)
    second = start_from(memory, schema, make_order(task, spec, 2), start)
    np.testing.assert_array_equal(second.vector[spec.num_trainable :], kept[VECTOR])
    np.testing.assert_array_equal(second.counters, kept[COUNTERS])
    np.testing.assert_array_equal(
        second.vector[: spec.num_trainable], start.vector[: spec.num_trainable]
    )
    again = start_from(first, schema, make_order(task, spec, 1), start)
    assert again.sha256() == start.sha256()  # round 1 once more: as it was before round 1


def test_a_local_round_done_twice_gives_the_same_bits(at, make_task, start, make_order):
    task = make_task(batch_norm="local")
    train(at(0), task, start, make_order)
    second = digest_of(train(at(0), task, start, make_order, round_num=2))
    again = digest_of(train(at(0), task, start, make_order, round_num=2))
    assert again == second


def test_averaged_batch_norm_writes_no_state(at, make_task, start, make_order):
    train(at(0), make_task(), start, make_order)
    assert not at(0).state.exists()


def test_frozen_batch_norm_changes_no_buffer(at, make_task, start, make_order):
    task = make_task(batch_norm="frozen")
    made = train(at(0), task, start, make_order).vectors
    spec = worker_for(task, 1).spec
    assert len(made[UPDATE]) == spec.num_float > spec.num_trainable
    assert not made[UPDATE][spec.num_trainable :].any()
    assert made[UPDATE].any()
    np.testing.assert_array_equal(made[COUNTERS], start.counters)


def test_under_fedbn_every_batch_norm_stays_at_the_site(at, make_task, start, make_order):
    task = make_task(algorithm={"name": "fedbn"})
    worker = worker_for(task, 1)
    spec, schema = worker.spec, worker.schema(task)
    sizes = dict(zip(spec.names, spec.sizes, strict=True))
    own = sum(sizes[name] for name in batch_norm_tensors(spec.names))
    made = train(at(0), task, start, make_order).vectors
    assert len(made[UPDATE]) == spec.num_float + spec.num_counters - own < spec.num_trainable
    assert len(made[COUNTERS]) == 0
    memory = memory_of(at(0).state, task.run, 2)
    second = start_from(memory, schema, make_order(task, spec, 2), start)
    ours, theirs = schema.shared.take_private(second), schema.shared.take_private(start)
    np.testing.assert_array_equal(ours.vector, memory.read(PRIVATE)[VECTOR])
    assert not np.array_equal(ours.vector, theirs.vector)
    np.testing.assert_array_equal(
        schema.shared.take(second).vector, schema.shared.take(start).vector
    )


def test_what_an_algorithm_keeps_and_sends_goes_on_from_round_to_round(
    at, make_task, start, make_order
):
    # SCAFFOLD, option II: own⁺ = own − c + (x − y) / (K·η), sent is own⁺ − own; K = 2, η = 1e-3
    task = make_task(algorithm={"name": "scaffold"})
    weights = slice(worker_for(task, 1).schema(task).size)
    control = np.full(weights.stop, 0.5, np.float32)
    own = np.zeros(weights.stop)
    for round_num in (1, 2):
        result = train(at(0), task, start, make_order, round_num, control=control)
        change = -0.5 - result.vectors[UPDATE][weights].astype(np.float64) / (2 * 1e-3)
        np.testing.assert_allclose(result.vectors["control-change"], change, rtol=1e-6, atol=1e-6)
        own = own + change
        kept = memory_of(at(0).state, task.run, round_num + 1).read(ALGORITHM)
        np.testing.assert_allclose(kept["own-control"], own, rtol=1e-5, atol=1e-5)
    # round 2 once more starts from what round 1 kept, so it makes the same
    again = train(at(0), task, start, make_order, 2, control=control)
    assert digest_of(again) == digest_of(result)
    np.testing.assert_array_equal(again.vectors["control-change"], result.vectors["control-change"])


def test_known_training_targets_are_counted_where_the_server_asks(at, make_task, start, make_order):
    # Train of site-00 is rows 0 to 5: Edema known in all 6, Fracture 1, -1, blank, 1, -1, blank
    made = train(at(0), make_task(counts_known=True), start, make_order).vectors
    assert made[KNOWN].tolist() == [6, 4]
    assert made[KNOWN].dtype == np.int64


def test_evaluation_reports_loss_and_auroc_of_the_val_images(at, make_task, start, make_order):
    # Val of site-00 is rows 6, 7, 8: Edema 0, 1, 0 (defined), Fracture 1, -1, blank → 1, nan, 0
    numbers = evaluate(at(0), make_task(), start, make_order)
    assert numbers["num-examples"] == 3
    assert numbers["val-labels"] == 2
    assert 0.0 <= numbers["val-macro-auroc"] <= 1.0
    assert numbers["val-loss"] > 0.0


def test_an_auroc_that_is_not_defined_is_left_out(at, make_task, start, make_order):
    # Val of site-01 is rows 5, 6: Fracture is blank, 1 → with blank as ignore one class is left
    policy = make_task().policy.model_copy(update={"blank": "ignore"})
    task = make_task(labels=("Fracture",), policy=policy)
    first = extract(worker_for(task, 1).model, worker_for(task, 1).spec)
    numbers = evaluate(at(1), task, first, make_order)
    assert set(numbers) == {"num-examples", "val-loss"}


def test_a_site_without_val_images_reports_none(at, make_task, start, make_order):
    assert evaluate(at(3), make_task(), start, make_order) == {"num-examples": 0}


@pytest.mark.usefixtures("flower")
def test_a_loss_that_is_not_defined_is_left_out(
    tmp_path, sites, site_records, make_task, make_order
):
    # Val of site-02 is rows 0 and 1 of Fracture: 1 and -1; with row 1 alone nothing is known
    policy = make_task().policy.model_copy(update={"blank": "ignore"})
    lines = (sites / "sites" / "site-02.csv").read_text().splitlines()
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "site-02.csv").write_text(f"{lines[0]}\n{lines[2]}\n")
    location = simulated(tmp_path, 0, cache=sites / "cache", state=tmp_path)
    task = make_task(labels=("Fracture",), policy=policy)
    first = extract(worker_for(task, 1).model, worker_for(task, 1).spec)
    content = answer(location, task, first, make_order, kind="evaluate")
    assert unpack_receipt(content).code == "ok"
    assert unpack_result(content) == {"num-examples": 1}


def test_the_local_model_is_judged_with_the_sites_own_buffers(at, make_task, start, make_order):
    task = make_task(batch_norm="local")
    before = evaluate(at(0), task, start, make_order)
    train(at(0), task, start, make_order)
    after = evaluate(at(0), task, start, make_order)
    # the same parameters from the server, but now the site has statistics of its own
    assert after["val-loss"] != before["val-loss"]


def test_counts_are_those_of_the_table(at, make_task):
    site = open_site(at(1), make_task())
    assert site_counts(site) == {"num-patients": 7, "num-train": 5, "num-val": 2}


def test_pooled_moments_are_sums_over_the_training_pixels(at, make_task):
    site = open_site(at(0), make_task())
    pixels = np.asarray(site.images[site.train.rows], dtype=np.float64) / 255.0
    moments = site_moments(site)
    assert moments["pixel-count"] == pixels.size
    assert moments["pixel-sum"] == pytest.approx(pixels.sum(), rel=1e-12)
    assert moments["pixel-sum-of-squares"] == pytest.approx((pixels**2).sum(), rel=1e-12)
