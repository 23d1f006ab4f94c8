"""What the intake counts, and what it writes down of the rest."""

import numpy as np
import pytest
from flwr.app import Message, MessageType, MetricRecord, RecordDict

from fedcxr.chain import UPDATE, chain_of
from fedcxr.codecs import Codec
from fedcxr.config.server import ServerConfig
from fedcxr.errors import QuorumError
from fedcxr.parameters import Parameters, ParameterSpec
from fedcxr.schema import COUNTERS, VECTOR, WireSchema
from fedcxr.shared_part import SharedPart
from fedcxr.wire import (
    RECEIPT,
    RESULT,
    VECTORS,
    Receipt,
    pack_receipt,
    pack_vectors,
    payload_bytes,
    unpack_order,
)
from server.aggregate.aggregator import AggregatorPlace
from server.aggregate.known_aggregators import aggregator_registry
from server.bounds import Norms
from server.exchange import Reply
from server.intake import Intake
from server.orders import Federation, OrderBook
from server.step import aggregate_round

pytestmark = pytest.mark.usefixtures("flower")

SPEC = ParameterSpec(
    ("w", "bn.running_var", "n"), ((2,), (1,), ()), ("trainable", "buffer", "counter")
)
SITES = ("site-00", "site-01", "site-02", "site-03")
START = Parameters(np.float32([0, 0, 1]), np.int64([0]))


class Server:
    """Orders, intake and the mean of one round after another."""

    def __init__(
        self, place, *, codec="none", on_site=None, observers=(), aggregator="mean", **changes
    ):
        schema = WireSchema(SharedPart(SPEC), chain=chain_of(Codec(codec)))
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
        }
        self.book = OrderBook(Federation(**(fields | changes)))
        told = {} if on_site is None else {"on_site": on_site}
        self.intake = Intake(self.book, observers=observers, **told)
        self.aggregator = aggregator_registry().get(aggregator)
        self.place = AggregatorPlace(schema, (), 4, place / "spool", ServerConfig(byzantine=0))
        self.start = START

    def order_round(self, round_num=1, start=START):
        """Make the messages of a round, as they are made when sent; return their orders."""
        self.start = start
        arrays = pack_vectors({VECTOR: start.vector, COUNTERS: start.counters})
        cohort = self.book.cohort(round_num)
        made = self.book.orders(MessageType.TRAIN, cohort, round_num, arrays)
        return {site: unpack_order(make()) for site, make in made}

    def aggregate(self, round_num, replies):
        """Return the model after the round."""
        found, _ = aggregate_round(
            self.intake,
            replies,
            round_num=round_num,
            aggregator=self.aggregator,
            place=self.place,
            parameters=self.start,
            state={},
        )
        return found

    @property
    def log(self):
        return self.intake.log


@pytest.fixture
def make_server(tmp_path):
    return lambda **changes: Server(tmp_path, **changes)


@pytest.fixture
def server(make_server):
    return make_server()


def reply(site, order, value=1.0, *, examples=10, loss=0.5, images=20, update=None, **receipt):
    fields = {"site_id": site, "code": "ok", "reason": ""} | receipt
    said = Receipt(order.run, order.round_num, order.nonce, order.schema_digest, **fields)
    update = np.float32([value, value, 0]) if update is None else np.float32(update)
    numbers = {"num-examples": examples, "train-loss": loss, "images-seen": images, "seconds": 1.23}
    content = RecordDict(
        {
            RECEIPT: pack_receipt(said),
            RESULT: MetricRecord(numbers),
            VECTORS: pack_vectors({UPDATE: update, COUNTERS: np.int64([4])}),
        }
    )
    return Reply(site, Message(content, dst_node_id=0, message_type="train"))


def test_the_mean_is_weighted_by_the_sites_images(server):
    orders = server.order_round()
    replies = [
        reply("site-00", orders["site-00"], 1.0, examples=10, loss=1.0, images=20),
        reply("site-01", orders["site-01"], 4.0, examples=30, loss=2.0, images=60),
    ]
    mean = server.aggregate(1, replies)
    # (10·1 + 30·4) / 40 = 3.25 and (10·1 + 30·2) / 40 = 1.75
    assert mean.vector.tolist() == [3.25, 3.25, 1.0]
    assert mean.counters.tolist() == [4]
    assert server.log.train_loss == 1.75
    assert server.log.images == 80
    assert server.log.accepted[1] == {
        "site_id": "site-01",
        "num_examples": 30,
        "train_loss": 2.0,
        "seconds": 1.23,
        # from 0 to (4, 4): 4 · √2; the statistics stay as they were
        "update_norm": 5.65685,
        "buffer_norm": 0.0,
    }


def test_one_nan_reply_is_refused_by_name_and_does_not_spoil_the_mean(server):
    # row 15 of the bad-input table
    orders = server.order_round()
    replies = [
        reply("site-00", orders["site-00"], 1.0),
        reply("site-01", orders["site-01"], update=[0.0, np.nan, 0.0]),
        reply("site-02", orders["site-02"], 3.0),
    ]
    mean = server.aggregate(1, replies)
    assert mean.vector.tolist() == [2.0, 2.0, 1.0]
    assert server.log.refused == [
        {"site_id": "site-01", "reason": "1 numbers are not finite, the first in w"}
    ]
    assert [s["site_id"] for s in server.log.accepted] == ["site-00", "site-02"]


def test_missing_sites_are_written_down_with_their_reason(server):
    orders = server.order_round()
    replies = [
        reply("site-00", orders["site-00"]),
        Reply("site-01", None, "no answer within 5 s"),
        reply("site-02", orders["site-02"]),
    ]
    server.aggregate(1, replies)
    assert server.log.missing == [{"site_id": "site-01", "reason": "no answer within 5 s"}]
    assert server.log.refused == []


def test_a_skipped_site_is_missing_with_its_own_reason(server):
    orders = server.order_round()
    why = "fewer than 2 usable training images"
    replies = [
        reply("site-00", orders["site-00"]),
        reply("site-01", orders["site-01"], code="skipped", reason=why),
    ]
    server.aggregate(1, replies)
    assert server.log.missing == [{"site_id": "site-01", "reason": f"skipped: {why}"}]
    assert server.log.refused == []


def test_the_quorum_is_of_the_sites_that_had_something_to_train_on(make_server):
    server = make_server(quorum=1.0)
    orders = server.order_round()
    replies = [reply(s, orders[s]) for s in SITES[:2]]
    replies += [reply(s, orders[s], code="skipped", reason="too few") for s in SITES[2:]]
    server.aggregate(1, replies)
    assert len(server.log.accepted) == 2


def test_a_round_in_which_every_site_skipped_is_no_round(server):
    orders = server.order_round()
    replies = [reply(s, orders[s], code="skipped", reason="too few") for s in SITES]
    with pytest.raises(QuorumError, match=r"1 are needed.*site-00: skipped: too few"):
        server.aggregate(1, replies)


def test_a_second_reply_of_a_site_is_refused(server):
    # row 19 of the bad-input table
    orders = server.order_round()
    once = reply("site-00", orders["site-00"], 1.0)
    mean = server.aggregate(1, [once, once, reply("site-01", orders["site-01"], 3.0)])
    assert mean.vector.tolist() == [2.0, 2.0, 1.0]
    (refused,) = server.log.refused
    assert refused["reason"] == "the site was not asked, or has answered already"


def test_a_reply_of_the_round_before_is_refused(server):
    # row 19 of the bad-input table
    before = server.order_round(1)
    now = server.order_round(2)
    replies = [reply("site-00", before["site-00"]), reply("site-01", now["site-01"])]
    server.aggregate(2, replies)
    assert server.log.refused == [
        {"site_id": "site-00", "reason": "the reply is for round 1, not 2"}
    ]


def test_a_reply_under_another_sites_name_is_refused(server):
    orders = server.order_round()
    stolen = reply("site-00", orders["site-00"], site_id="site-03")
    server.aggregate(1, [stolen, reply("site-01", orders["site-01"])])
    assert server.log.refused[0]["reason"] == "the reply is signed by another site"


def test_a_site_that_was_not_asked_does_not_count(server):
    orders = server.order_round()
    asked = reply("site-01", orders["site-01"])
    del server.book.open["site-00"]
    server.aggregate(1, [reply("site-00", orders["site-00"]), asked])
    assert [s["site_id"] for s in server.log.accepted] == ["site-01"]


def test_a_weight_above_the_plans_is_refused(make_server):
    # row 14 of the bad-input table
    server = make_server(most_examples={**dict.fromkeys(SITES, 100), "site-01": 5})
    orders = server.order_round()
    replies = [reply(s, orders[s], examples=10) for s in ("site-00", "site-01")]
    server.aggregate(1, replies)
    assert "weight 10 is not a whole number from 1 to 5" in server.log.refused[0]["reason"]


def test_too_few_right_answers_end_the_run_with_every_reason(make_server):
    # row 21 of the bad-input table
    server = make_server(advice="Ask somebody.")
    orders = server.order_round()
    replies = [
        reply("site-00", orders["site-00"]),
        reply("site-01", orders["site-01"], update=[0.0, 0.0, -2.0]),
        Reply("site-02", None, "no answer within 5 s"),
        Reply("site-03", None, "the site's client broke off (code 2)"),
    ]
    with pytest.raises(QuorumError) as caught:
        server.aggregate(4, replies)
    words = str(caught.value)
    assert "Round 4: 1 of 4 sites answered rightly, 2 are needed" in words
    assert "site-01: a variance is negative in bn.running_var" in words
    assert "site-02: no answer within 5 s" in words
    assert words.endswith("(code 2). Ask somebody.")


def test_a_round_with_fewer_updates_than_its_aggregator_needs_ends_the_run(make_server):
    server = make_server(aggregator="krum", advice="Ask somebody.")
    orders = server.order_round()
    replies = [
        reply("site-00", orders["site-00"], 1.0),
        reply("site-01", orders["site-01"], update=[0.0, np.nan, 0.0]),
        reply("site-02", orders["site-02"], 3.0),
    ]
    with pytest.raises(QuorumError) as caught:
        server.aggregate(4, replies)
    words = str(caught.value)
    assert words.startswith("Round 4: of the updates that passed, krum with server.byzantine=0")
    assert "needs at least 2·0 + 3 = 3 updates a round, and there are 2." in words
    assert words.endswith("Ask somebody.")
    assert not server.place.folder.exists()


def test_half_of_the_cohort_is_a_quorum_of_one_half(server):
    orders = server.order_round()
    replies = [reply(s, orders[s]) for s in SITES[:2]] + [Reply(s, None, "x") for s in SITES[2:]]
    server.aggregate(1, replies)
    assert len(server.log.accepted) == 2


@pytest.mark.parametrize(("quorum", "needed"), [(0.01, 1), (0.5, 2), (0.51, 3), (1.0, 4)])
def test_the_quorum_is_rounded_up(make_server, quorum, needed):
    for right in range(5):
        server = make_server(quorum=quorum)
        orders = server.order_round()
        replies = [
            reply(s, orders[s]) if n < right else Reply(s, None, "gone")
            for n, s in enumerate(SITES)
        ]
        if right >= needed:
            server.aggregate(1, replies)
        else:
            with pytest.raises(QuorumError, match=f"{needed} are needed"):
                server.aggregate(1, replies)


def test_each_site_is_told_of_as_it_answers(make_server):
    told = []
    server = make_server(on_site=lambda *what: told.append(what))
    orders = server.order_round()
    replies = [
        reply("site-00", orders["site-00"], images=33),
        reply("site-01", orders["site-01"], update=[np.inf, 0, 0]),
        Reply("site-02", None, "gone"),
        reply("site-03", orders["site-03"], images=7),
    ]
    server.aggregate(1, replies)
    assert told == [
        ("site-00", "done", 33),
        ("site-01", "refused", 0),
        ("site-02", "missing", 0),
        ("site-03", "done", 7),
    ]


def test_replies_are_taken_one_at_a_time(server):
    # The stream must not be listed first: at each step only the sites before have been counted.
    orders = server.order_round()
    counted = []

    def stream():
        for site in SITES:
            counted.append(len(server.log.accepted))
            yield reply(site, orders[site])

    server.aggregate(1, stream())
    assert counted == [0, 1, 2, 3]


def test_the_log_of_a_round_starts_empty(server):
    for round_num in (1, 2):
        orders = server.order_round(round_num)
        replies = [reply(s, orders[s]) for s in SITES[:3]] + [Reply("site-03", None, "gone")]
        server.aggregate(round_num, replies)
        assert len(server.log.accepted) == 3
        assert len(server.log.missing) == 1


def encoded_reply(site, order, steps, *, examples=10):
    sent = reply(site, order, examples=examples)
    arrays = {"steps": np.int8(steps), "scales": np.float32([1, 1]), COUNTERS: np.int64([4])}
    sent.message.content[VECTORS] = pack_vectors(arrays)
    return sent


def test_encoded_updates_are_averaged_upon_what_the_round_began_with(make_server):
    server = make_server(codec="int8")
    begun = Parameters(np.float32([100, 200, 1]), np.int64([0]))
    orders = server.order_round(start=begun)
    replies = [
        encoded_reply("site-00", orders["site-00"], [4, 8, 0], examples=10),
        encoded_reply("site-01", orders["site-01"], [-8, 0, 4], examples=30),
        encoded_reply("site-02", orders["site-02"], [1, 1, -2]),
        reply("site-03", orders["site-03"]),
    ]
    mean = server.aggregate(1, replies)
    # (10·104 + 30·92) / 40 = 95, (10·208 + 30·200) / 40 = 202, (10·1 + 30·5) / 40 = 4
    assert mean.vector.tolist() == [95, 202, 4]
    assert server.log.refused == [
        {"site_id": "site-02", "reason": "a variance is negative in bn.running_var"},
        {
            "site_id": "site-03",
            "reason": "the record's vectors are not those declared: 'update' is not declared",
        },
    ]


def test_the_bytes_of_the_accepted_replies_are_counted(server):
    orders = server.order_round()
    good = [reply(s, orders[s]) for s in SITES[:2]]
    wild = reply("site-02", orders["site-02"], update=[np.nan, 0, 0])
    size = payload_bytes(good[0].message.content[VECTORS])
    server.aggregate(1, [*good, wild, Reply("site-03", None, "gone")])
    # 3 · 4 bytes and 1 · 8, each behind a header of 128
    assert (size, server.log.bytes_up) == (276, 2 * 276)


def test_a_site_that_moves_the_model_too_far_is_refused_with_its_norm_and_the_round_goes_on(
    make_server,
):
    # row 16 of the bad-input table
    server = make_server(norm_factor=10.0)
    server.intake.history = (Norms(1.0, 0.5),)
    orders = server.order_round(2)
    replies = [
        reply("site-00", orders["site-00"], 1.0),
        reply("site-01", orders["site-01"], update=[3e38, -3e38, 0.0]),
        reply("site-02", orders["site-02"], 3.0),
        reply("site-03", orders["site-03"], 2.0),
    ]
    mean = server.aggregate(2, replies)
    assert mean.vector.tolist() == [2.0, 2.0, 1.0]
    (refused,) = server.log.refused
    assert refused["site_id"] == "site-01"
    assert refused["update_norm"] == pytest.approx(3e38 * 2**0.5, rel=1e-5)
    assert "has the norm 4.24e+38, and by the rounds before 10 is allowed" in refused["reason"]
    assert server.log.usual.trained == pytest.approx(2 * 2**0.5, rel=1e-5)


def test_where_long_updates_are_clipped_the_mean_has_them_at_the_limit(make_server):
    # row 16 of the bad-input table
    server = make_server(norm_factor=2.0, norm_policy="clip")
    server.intake.history = (Norms(2**0.5, 1.0),)
    orders = server.order_round(2)
    # (100, 100) from (0, 0) at twice the usual √2: (2, 2)
    replies = [reply("site-00", orders["site-00"], 100.0), reply("site-01", orders["site-01"], 1.0)]
    mean = server.aggregate(2, replies)
    np.testing.assert_allclose(mean.vector, [1.5, 1.5, 1.0], rtol=1e-5)
    assert server.log.accepted[0]["clipped"] is True
    assert "clipped" not in server.log.accepted[1]


def test_observers_see_each_accepted_update_with_its_order_before_it_is_added(make_server):
    seen = []
    server = make_server(observers=[lambda order, update: seen.append((order, update.site_id))])
    orders = server.order_round()
    replies = [
        reply("site-00", orders["site-00"], 1.0),
        reply("site-01", orders["site-01"], update=[np.nan, 0, 0]),
        reply("site-02", orders["site-02"], 3.0),
    ]
    server.aggregate(1, replies)
    assert seen == [(orders["site-00"], "site-00"), (orders["site-02"], "site-02")]


def test_an_observer_may_store_what_it_saw(make_server, tmp_path):
    def store(order, update):
        np.save(tmp_path / f"{order.round_num}-{update.site_id}.npy", update.update)

    server = make_server(observers=[store])
    orders = server.order_round()
    server.aggregate(1, [reply(s, orders[s], float(n)) for n, s in enumerate(SITES)])
    assert np.load(tmp_path / "1-site-03.npy").tolist() == [3, 3, 0]
