"""Training and evaluation at one site: what is sent back, what stays, and that sites don't mix."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Message, RecordDict

from clients.app import build_app
from clients.egress import REASONS
from clients.evaluate import evaluate_order, site_counts, site_moments
from clients.site import open_site, simulated
from clients.state import read_state
from clients.train import start_from, train_order
from clients.worker import worker_for
from fedcxr.engines.worker import simulated_context
from fedcxr.errors import ConfigError, RunError
from fedcxr.parameters import extract
from fedcxr.wire import (
    ORDER,
    PARAMETERS,
    Order,
    pack_order,
    pack_parameters,
    unpack_parameters,
    unpack_receipt,
    unpack_result,
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


def train(location, task, start, make_order, round_num=1):
    worker = worker_for(task, 1)
    order = make_order(task, worker.spec, round_num)
    site = open_site(location, task)
    return train_order(location, site, task, order, parameters=start, worker=worker)


def evaluate(location, task, start, make_order, round_num=1):
    worker = worker_for(task, 1)
    order = make_order(task, worker.spec, round_num)
    site = open_site(location, task)
    return evaluate_order(location, site, task, order, parameters=start, worker=worker)


def answer(location, task, start, make_order, kind="train"):
    content = RecordDict(
        {
            ORDER: pack_order(make_order(task, worker_for(task, 1).spec)),
            PARAMETERS: pack_parameters(start),
        }
    )
    message = Message(content, dst_node_id=1, message_type=kind)
    return build_app(lambda context: location)(message, simulated_context(1, 1)).content


def test_training_moves_the_model_and_counts_the_images(at, make_task, start, make_order):
    result = train(at(0), make_task(), start, make_order)
    assert (result.num_examples, result.images_seen, result.num_steps) == (6, 6, 2)
    assert result.parameters.sha256() != start.sha256()
    assert np.isfinite(result.parameters.vector).all()
    # two steps at batch norm: every counter went from 0 to 2
    np.testing.assert_array_equal(result.parameters.counters, start.counters + 2)


def test_the_model_of_a_process_is_overwritten_whole(at, make_task, start, make_order):
    task = make_task()
    alone = train(at(1), task, start, make_order).parameters.sha256()
    train(at(0), task, start, make_order)
    after_another = train(at(1), task, start, make_order).parameters.sha256()
    assert after_another == alone


def test_the_seed_the_site_and_the_round_change_the_training(at, make_task, start, make_order):
    task = make_task()
    digests = {
        train(at(0), task, start, make_order).parameters.sha256(),
        train(at(0), task, start, make_order, round_num=2).parameters.sha256(),
        train(at(0), make_task(seed=1), start, make_order).parameters.sha256(),
        train(at(1), task, start, make_order).parameters.sha256(),
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
    assert np.isfinite(result.parameters.vector).all()
    numbers = evaluate(at(0), task, result.parameters, make_order)
    assert numbers["val-labels"] == 2


def test_parameters_of_another_model_are_refused(at, make_task, start):
    task = make_task()
    order = Order(task.run, 1, "n", "another-digest", task.to_text(), 1e-3)
    with pytest.raises(RunError, match="the server's model is not this site's"):
        start_from(at(0), task, order, start, worker_for(task, 1).spec)


@pytest.mark.parametrize("index", [2, 3])
@pytest.mark.usefixtures("flower")
def test_a_site_with_0_or_1_images_is_skipped_with_its_reason(
    index, at, make_task, start, make_order
):
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
    # 5 images in batches of 4: the fifth would be alone, and batch norm has no variance of one
    result = train(at(1), make_task(), start, make_order)
    assert (result.num_steps, result.images_seen) == (1, 4)


@pytest.mark.usefixtures("flower")
def test_a_trained_site_sends_weight_loss_and_parameters(at, make_task, start, make_order):
    content = answer(at(0), make_task(), start, make_order)
    assert unpack_receipt(content).code == "ok"
    assert unpack_receipt(content).site_id == "site-00"
    result = unpack_result(content)
    assert result["num-examples"] == 6
    assert 0.0 < result["train-loss"] < 5.0
    assert len(unpack_parameters(content).vector) == len(start.vector)


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
    sent = train(at(0), task, start, make_order).parameters
    kept = read_state(at(0).state, task.run, 2)
    buffers = slice(spec.num_trainable, None)
    # what leaves: trained weights and the server's own buffers
    np.testing.assert_array_equal(sent.vector[buffers], start.vector[buffers])
    np.testing.assert_array_equal(sent.counters, start.counters)
    assert not np.array_equal(sent.vector[: spec.num_trainable], start.vector[: spec.num_trainable])
    # what stays: the site's statistics
    assert not np.array_equal(kept.vector[buffers], start.vector[buffers])


def test_local_batch_norm_starts_the_next_round_from_the_sites_buffers(
    at, make_task, start, make_order
):
    task = make_task(batch_norm="local")
    spec = worker_for(task, 1).spec
    train(at(0), task, start, make_order)
    kept = read_state(at(0).state, task.run, 2)
    second = start_from(at(0), task, make_order(task, spec, 2), start, spec)
    buffers = slice(spec.num_trainable, None)
    np.testing.assert_array_equal(second.vector[buffers], kept.vector[buffers])
    np.testing.assert_array_equal(
        second.vector[: spec.num_trainable], start.vector[: spec.num_trainable]
    )
    again = start_from(at(0), task, make_order(task, spec, 1), start, spec)
    assert again.sha256() == start.sha256()  # round 1 once more: as it was before round 1


def test_a_local_round_done_twice_gives_the_same_bits(at, make_task, start, make_order):
    task = make_task(batch_norm="local")
    train(at(0), task, start, make_order)
    second = train(at(0), task, start, make_order, round_num=2).parameters.sha256()
    again = train(at(0), task, start, make_order, round_num=2).parameters.sha256()
    assert again == second


def test_averaged_batch_norm_writes_no_state(at, make_task, start, make_order):
    train(at(0), make_task(), start, make_order)
    assert not at(0).state.exists()


def test_frozen_batch_norm_changes_no_buffer(at, make_task, start, make_order):
    task = make_task(batch_norm="frozen")
    sent = train(at(0), task, start, make_order).parameters
    buffers = slice(worker_for(task, 1).spec.num_trainable, None)
    np.testing.assert_array_equal(sent.vector[buffers], start.vector[buffers])
    np.testing.assert_array_equal(sent.counters, start.counters)


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
