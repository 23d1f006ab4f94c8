"""Secure aggregation at the grid's edge: sites fall silent, and the sum stays exact."""

import numpy as np
import pytest
from flwr.app import Message, MetricRecord, RecordDict

from clients.secure_stages import secure_site
from fedcxr.config.task import SecureTask
from fedcxr.errors import QuorumError
from fedcxr.parameters import Parameters, ParameterSpec
from fedcxr.schema import COUNTERS, MASKED, VECTOR, WireSchema
from fedcxr.secagg.messages import StageOrder, read_message
from fedcxr.secagg.quantise import Numbers, to_words
from fedcxr.shared_part import SharedPart
from fedcxr.wire import (
    RECEIPT,
    RESULT,
    SECURE,
    VECTORS,
    Receipt,
    pack_receipt,
    pack_secure,
    pack_vectors,
    unpack_order,
    unpack_secure,
)
from server import secure_step
from server.bounds import Norms
from server.exchange import ExchangeLimits
from server.intake import Intake
from server.orders import Federation, OrderBook
from server.secure_round import SecureRound
from server.secure_step import aggregate_of, new_setup

pytestmark = pytest.mark.usefixtures("flower")

SPEC = ParameterSpec(
    ("w", "bn.running_var", "n"), ((40,), (3,), ()), ("trainable", "buffer", "counter")
)
COUNT = 10
SITES = tuple(f"site-{number:02d}" for number in range(COUNT))
GIVEN = Parameters(np.zeros(43, np.float32), np.int64([5]))
TASK = SecureTask(most_weight=1000, sites=COUNT, trained_range=0.1, buffer_range=1000.0)
STAGES = ("advertise", "share", "mask", "reveal")


class Grid:
    """Carries messages to sites that answer as the protocol says, but for those that are silent."""

    def __init__(self, place, schema, silent=(), tamper=None):
        self.place, self.schema, self.silent = place, schema, set(silent)
        self.tamper = tamper or (lambda site_id, stage, content: content)
        self.replies, self.stages = {}, []
        rng = np.random.default_rng(0)
        self.numbers = {
            n: Numbers(
                rng.normal(0, 0.02, 43).astype(np.float32),
                np.int64([number + 1]),
                0.5,
                10 + number,
            )
            for number, n in enumerate(SITES)
        }

    def get_node_ids(self):
        return range(COUNT)

    def push_messages(self, messages):
        ids = []
        for message in messages:
            number = str(len(self.replies))
            ids.append(number)
            self.replies[number] = self.answer(message, number)
        return ids

    def pull_messages(self, message_ids):
        return [self.replies.pop(m) for m in message_ids if self.replies.get(m) is not None]

    def answer(self, message, number):
        site_id = SITES[message.metadata.dst_node_id - 1000]
        order = unpack_order(message)
        said = read_message(StageOrder, unpack_secure(message.content))
        self.stages.append((site_id, said.stage))
        receipt = [order.run, order.round_num, order.nonce, order.schema_digest, site_id]
        if (site_id, said.stage) in self.silent:
            receipt[-1] = ""
            content = RecordDict({RECEIPT: pack_receipt(Receipt(*receipt, "failed", "it broke"))})
        else:
            content = RecordDict({RECEIPT: pack_receipt(Receipt(*receipt, "ok", ""))})
            content[RESULT] = MetricRecord({})
            site = secure_site(
                self.place / site_id, site_id, order.run, order.round_num, task=TASK, said=said
            )
            if said.stage == "mask":
                site.open()
                rng = np.random.default_rng(order.round_num)
                words = to_words(TASK.quantiser, self.schema.layout, self.numbers[site_id], rng)
                content[VECTORS] = pack_vectors({MASKED: site.mask(words)})
            else:
                content[SECURE] = pack_secure(site.answer().to_text())
            content = self.tamper(site_id, said.stage, content)
        message.metadata.__dict__["_message_id"] = number
        return Message(content, reply_to=message)


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Play a round and return its aggregate, its log and the grid."""
    monkeypatch.setattr(secure_step, "parse_task", lambda text: _Task())

    def played(silent=(), *, round_num=1, history=(), tamper=None, **changes):
        schema = WireSchema(SharedPart(SPEC), is_secure=True)
        fields = {
            "run": "a-run",
            "task": "{}",
            "schema": schema,
            "seed": 0,
            "node_by_site": {site: 1000 + n for n, site in enumerate(SITES)},
            "most_examples": dict.fromkeys(SITES, 100),
            "fraction": 1.0,
            "quorum": 0.5,
            "threads": 1,
            "advice": "Go on with it.",
        }
        book = OrderBook(Federation(**(fields | changes)))
        intake, grid = Intake(book), Grid(tmp_path, schema, silent, tamper)
        intake.history = history
        setup = new_setup(book, round_num)
        secure = SecureRound(book, grid, ExchangeLimits(COUNT, 5.0), intake, TASK, setup)
        arrays = pack_vectors({VECTOR: GIVEN.vector, COUNTERS: GIVEN.counters})
        played.grid = grid
        return aggregate_of(secure, secure.run(arrays), GIVEN), intake.log, grid

    return played


class _Task:
    class train:
        local_epochs = 2


def plain_mean(grid, sites):
    rows = [grid.numbers[n] for n in sites]
    total = sum(row.weight * row.update.astype(np.float64) for row in rows)
    return total / sum(row.weight for row in rows)


@pytest.mark.parametrize("stage", [None, *STAGES])
def test_with_three_of_ten_silent_at_a_stage_the_mean_is_that_of_the_others(play, stage):
    silent = [(n, stage) for n in SITES[3:6]] if stage else []
    found, report, grid = play(silent)
    left = SITES if stage in (None, "reveal") else (*SITES[:3], *SITES[6:])
    error = np.abs(found.update - plain_mean(grid, left))
    assert error[:40].max() < TASK.quantiser.step
    assert error[40:].max() < TASK.quantiser.buffer_step
    weights = [grid.numbers[n].weight for n in left]
    counters = sum(w * (SITES.index(n) + 1) for w, n in zip(weights, left, strict=True))
    assert found.counters.tolist() == [5 + int(np.ceil(counters / sum(weights)))]
    assert report.weight == sum(weights)
    assert report.images == 2 * sum(weights)
    assert report.train_loss == pytest.approx(0.5, abs=1e-6)
    assert sorted(row["site_id"] for row in report.accepted) == sorted(left)
    noted = [] if stage in (None, "reveal") else list(SITES[3:6])
    assert sorted(row["site_id"] for row in report.refused) == noted
    assert report.secure["silent_at_the_end"] == (list(SITES[3:6]) if stage == "reveal" else [])
    # Of sites that are in the sum alone no number is written down.
    assert {key for row in report.accepted for key in row} == {"site_id", "train_loss"}
    assert all(row["train_loss"] is None for row in report.accepted)


@pytest.mark.parametrize("stage", STAGES)
def test_with_too_many_silent_nothing_is_unmasked(play, stage):
    with pytest.raises(QuorumError, match=r"Nothing was unmasked.*Go on with it"):
        play([(n, stage) for n in SITES[:5]])
    if stage != "reveal":
        assert "reveal" not in {asked for _, asked in play.grid.stages}


def test_a_round_that_is_done_again_has_new_masks_and_the_same_sum(play):
    seen = []

    def keep(site_id, stage, content):
        if stage == "mask":
            seen.append(bytes(content[VECTORS][MASKED].data))
        return content

    first, again = play(tamper=keep)[0], play(tamper=keep)[0]
    np.testing.assert_array_equal(first.update, again.update)
    assert len(set(seen)) == 2 * COUNT


def test_a_wrong_answer_leaves_its_site_out(play):
    def tamper(site_id, stage, content):
        if site_id == "site-04" and stage == "mask":
            content[VECTORS] = pack_vectors({MASKED: np.zeros(3, np.uint32)})
        if site_id == "site-05" and stage == "share":
            content[SECURE] = pack_secure('{"stage": "share", "session": "other"}')
        if site_id == "site-06" and stage == "advertise":
            del content[SECURE]
        return content

    found, report, grid = play(tamper=tamper)
    left = [n for n in SITES if n not in ("site-04", "site-05", "site-06")]
    assert np.abs(found.update - plain_mean(grid, left))[:40].max() < TASK.quantiser.step
    reasons = {row["site_id"]: row["reason"] for row in report.refused}
    assert "has 3 numbers" in reasons["site-04"]
    assert "another session" in reasons["site-05"]
    assert "holds nothing of secure aggregation" in reasons["site-06"]


def test_a_mean_that_is_too_long_is_refused_or_cut(play):
    history = (Norms(1e-3, 1e3),)
    _, report, _ = play(history=history, norm_factor=2.0)
    assert "the mean of the sites' updates has the norms" in report.mean_refused
    found, report, _ = play(history=history, norm_factor=2.0, norm_policy="clip")
    assert report.mean_refused == ""
    assert np.linalg.norm(found.update[:40]) == pytest.approx(2e-3, rel=1e-4)
    _, report, _ = play(history=history, norm_factor=None)
    assert report.mean_refused == ""


def test_fewer_than_three_sites_are_no_round(play):
    with pytest.raises(QuorumError, match="2 sites are there, and secure aggregation needs 3"):
        play(node_by_site={"site-00": 1000, "site-01": 1001})
