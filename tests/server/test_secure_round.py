"""Secure aggregation at the grid's edge: sites fall silent, and the sum stays exact."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Message, MetricRecord, RecordDict

from clients.secure_stages import secure_site
from fedcxr.config.task import SecureTask
from fedcxr.deploy.node_keys import new_node_key
from fedcxr.errors import QuorumError, RunError
from fedcxr.parameters import Parameters, ParameterSpec
from fedcxr.schema import COUNTERS, MASKED, VECTOR, WireSchema
from fedcxr.secagg.messages import StageOrder, StageReply, read_message
from fedcxr.secagg.quantise import Numbers, to_words
from fedcxr.secagg.statement import Statement, check_identity, check_signature
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
        self.replies, self.stages, self.node_keys = {}, [], {}
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
                *(self.place / site_id, site_id, order.run, order.round_num),
                task=TASK,
                said=said,
                node_key=self.node_keys.get(site_id),
            )
            if said.stage == "mask":
                site.open()
                rng = np.random.default_rng(order.round_num)
                words = to_words(TASK.quantiser, self.schema.layout, self.numbers[site_id], rng)
                content[VECTORS] = pack_vectors({MASKED: site.mask(words)})
                said = site.signed(TASK.checks("none"), (1.0, 1.0))
                content[SECURE] = pack_secure(said.to_text())
            else:
                content[SECURE] = pack_secure(site.answer().to_text())
            content = self.tamper(site_id, said.stage, content)
        message.metadata.__dict__["_message_id"] = number
        return Message(content, reply_to=message)


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Play a round and return its aggregate, its log and the grid."""
    monkeypatch.setattr(secure_step, "parse_task", lambda text: _Task())

    def played(silent=(), *, round_num=1, history=(), tamper=None, kits=(None, {}), **changes):
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
        site_keys, grid.node_keys = kits
        setup = new_setup(book, round_num)
        secure = SecureRound(
            *(book, grid, ExchangeLimits(COUNT, 5.0), intake, TASK, setup), site_keys=site_keys
        )
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


def statements_hold(report, round_num=1):
    """Return the sites whose words on their checks a reader of the log can verify."""
    log = report.secure
    for site_id, row in log["statements"].items():
        names = "a-run", round_num, log["session"], site_id
        statement = Statement(*names, tuple(log["checks"]), row["masked_sha256"])
        public, signature = (bytes.fromhex(row[key]) for key in ("identity", "signature"))
        check_signature(public, statement, signature)
        with pytest.raises(RunError, match="signature is not one of its checks"):
            check_signature(public, replace(statement, round_num=round_num + 1), signature)
    return list(log["statements"])


def test_each_site_s_signed_word_on_its_checks_is_verified_and_kept(play):
    _, report, _ = play()
    assert statements_hold(report) == list(SITES)
    assert report.secure["checks"] == ["declared", "finite", "counters", "variances", "weight"]
    first = {n: row["identity"] for n, row in report.secure["statements"].items()}
    _, report, _ = play(round_num=2)  # the key is the run's
    assert statements_hold(report, 2) == list(SITES)
    assert {n: row["identity"] for n, row in report.secure["statements"].items()} == first
    assert len(set(first.values())) == COUNT


def test_words_without_a_right_statement_are_left_out_and_noted(play):
    kept = {}

    def keep(site_id, stage, content):
        if stage == "mask":
            kept[site_id] = read_message(StageReply, unpack_secure(content))
        return content

    play(tamper=keep)
    earlier = dict(kept)

    def tamper(site_id, stage, content):
        if stage != "mask":
            return content
        said = read_message(StageReply, unpack_secure(content))
        flipped = said.signature[:-1] + bytes([said.signature[-1] ^ 1])
        changes = {
            "site-02": {"signature": flipped},
            "site-03": {"signature": earlier[site_id].signature},  # of the round before
            "site-04": {"signature": None},
        }
        if site_id in changes:
            said = said.model_copy(update=changes[site_id])
            content[SECURE] = pack_secure(said.to_text())
        if site_id == "site-06":  # words that nobody signed
            words = np.zeros(len(content[VECTORS][MASKED].numpy()), np.uint32)
            content[VECTORS] = pack_vectors({MASKED: words})
        return content

    found, report, grid = play(tamper=tamper, round_num=2)
    left = [n for n in SITES if n not in ("site-02", "site-03", "site-04", "site-06")]
    reasons = {row["site_id"]: row["reason"] for row in report.refused}
    wrong = "stage mask: the site's signature is not one of its checks of these words"
    assert {n for n, reason in reasons.items() if reason.startswith(wrong)} == {
        "site-02",
        "site-03",
        "site-06",
    }
    assert "does not say by its signature" in reasons["site-04"]
    assert statements_hold(report, 2) == left
    assert np.abs(found.update - plain_mean(grid, left))[:40].max() < TASK.quantiser.step


def test_a_site_that_has_checked_less_than_the_run_asks_for_is_left_out(play):
    def tamper(site_id, stage, content):
        if (site_id, stage) == ("site-05", "mask"):
            said = read_message(StageReply, unpack_secure(content))
            less = said.model_copy(update={"checks": said.checks[1:]})
            content[SECURE] = pack_secure(less.to_text())
        if (site_id, stage) == ("site-06", "advertise"):
            said = read_message(StageReply, unpack_secure(content))
            content[SECURE] = pack_secure(said.model_copy(update={"identity": None}).to_text())
        return content

    _, report, _ = play(tamper=tamper)
    reasons = {row["site_id"]: row["reason"] for row in report.refused}
    assert "has checked other things" in reasons["site-05"]
    assert "shows no key to sign with" in reasons["site-06"]
    assert len(statements_hold(report)) == COUNT - 2


def test_where_sites_have_kits_the_kit_s_key_has_signed_theirs(play, tmp_path):
    keys = {n: new_node_key() for n in SITES}
    files = {}
    for site_id, key in keys.items():
        files[site_id] = tmp_path / f"{site_id}.key"
        files[site_id].write_bytes(key.private)
    known = {n: key.public for n, key in keys.items()}
    known["site-01"] = keys["site-00"].public  # not its own
    del files["site-02"]  # a site that has none
    _, report, _ = play(kits=(known, files))
    assert statements_hold(report) == [SITES[0], *SITES[3:]]
    for site_id, row in report.secure["statements"].items():  # a reader can tell whose key it is
        public, signature = (bytes.fromhex(row[key]) for key in ("identity", "kit_signature"))
        check_identity(keys[site_id].public, "a-run", site_id, public, signature)
        with pytest.raises(RunError, match="not signed by the key of its kit"):
            check_identity(keys[site_id].public, "another", site_id, public, signature)
    reasons = {row["site_id"]: row["reason"] for row in report.refused}
    assert set(reasons) == {"site-01", "site-02"}
    assert all("not signed by the key of its kit" in reason for reason in reasons.values())
