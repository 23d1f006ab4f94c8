"""What the strategy asks, what it counts, and what it writes down of the rest."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Message, MetricRecord, RecordDict

from fedcxr.codecs import Codec, Encoded
from fedcxr.errors import QuorumError
from fedcxr.parameters import Parameters, ParameterSpec
from fedcxr.wire import (
    PARAMETERS,
    RECEIPT,
    RESULT,
    Receipt,
    pack_parameters,
    pack_receipt,
    pack_update,
    payload_bytes,
    unpack_order,
    unpack_parameters,
    unpack_vectors,
)
from server.bounds import Norms
from server.exchange import Reply
from server.strategy import CheckedFedAvg, Federation

pytestmark = pytest.mark.usefixtures("flower")

SPEC = ParameterSpec(
    ("w", "bn.running_var", "n"), ((2,), (1,), ()), ("trainable", "buffer", "counter")
)
SITES = ("site-00", "site-01", "site-02", "site-03")
START = pack_parameters(Parameters(np.float32([0, 0, 1]), np.int64([0])))


def federation(**changes):
    fields = {
        "run": "a-run",
        "task": "{}",
        "spec": SPEC,
        "seed": 0,
        "node_by_site": {site: 1000 + n for n, site in enumerate(SITES)},
        "most_examples": dict.fromkeys(SITES, 100),
        "fraction": 1.0,
        "quorum": 0.5,
        "threads": 1,
    }
    return Federation(**(fields | changes))


@pytest.fixture
def strategy():
    return CheckedFedAvg(federation())


def order_round(strategy, round_num=1):
    """Make the messages of a round, as they are made when sent; return their orders."""
    return {s: unpack_order(make()) for s, make in strategy.train_orders(round_num, START)}


def reply(site, order, value=1.0, *, examples=10, loss=0.5, images=20, vector=None, **receipt):
    fields = {"site_id": site, "code": "ok", "reason": ""} | receipt
    said = Receipt(order.run, order.round_num, order.nonce, order.spec_digest, **fields)
    vector = np.float32([value, value, 1]) if vector is None else np.float32(vector)
    numbers = {"num-examples": examples, "train-loss": loss, "images-seen": images, "seconds": 1.23}
    content = RecordDict(
        {
            RECEIPT: pack_receipt(said),
            RESULT: MetricRecord(numbers),
            PARAMETERS: pack_parameters(Parameters(vector, np.int64([4]))),
        }
    )
    return Reply(site, Message(content, dst_node_id=0, message_type="train"))


def test_every_site_of_the_cohort_gets_an_order_of_its_own(strategy):
    strategy.learning_rate = 0.25
    messages = dict(strategy.train_orders(7, START))
    made = {site: messages[site]() for site in messages}
    assert list(made) == list(SITES)
    assert [m.metadata.dst_node_id for m in made.values()] == [1000, 1001, 1002, 1003]
    orders = [unpack_order(m) for m in made.values()]
    assert len({order.nonce for order in orders}) == 4
    assert {(o.run, o.round_num, o.spec_digest, o.learning_rate) for o in orders} == {
        ("a-run", 7, SPEC.digest, 0.25)
    }
    for message in made.values():
        # one record shared by all messages, not a copy for each
        assert message.content[PARAMETERS] is START
        assert message.metadata.group_id == "7"


def test_flowers_own_way_of_configuring_a_round_gives_the_same_messages(strategy):
    messages = strategy.configure_train(2, START, None, None)
    assert [m.metadata.dst_node_id for m in messages] == [1000, 1001, 1002, 1003]
    assert unpack_parameters(messages[0].content).vector.tolist() == [0, 0, 1]


def test_an_evaluation_can_be_ordered_without_parameters(strategy):
    ((_, make),) = strategy.orders_for("query", ["site-02"], 0, None)
    message = make()
    assert message.metadata.message_type == "query"
    assert not message.content.array_records


def test_the_cohort_follows_site_ids_and_not_node_ids():
    other = federation(node_by_site={s: 9_000 - n for n, s in enumerate(reversed(SITES))})
    one = CheckedFedAvg(replace(federation(), fraction=0.5))
    two = CheckedFedAvg(replace(other, fraction=0.5))
    for round_num in range(1, 20):
        assert one.cohort(round_num) == two.cohort(round_num)
        assert len(one.cohort(round_num)) == 2


def test_the_mean_is_weighted_by_the_sites_images(strategy):
    orders = order_round(strategy)
    replies = [
        reply("site-00", orders["site-00"], 1.0, examples=10, loss=1.0, images=20),
        reply("site-01", orders["site-01"], 4.0, examples=30, loss=2.0, images=60),
    ]
    mean, metrics = strategy.aggregate_train(1, replies)
    # (10·1 + 30·4) / 40 = 3.25 and (10·1 + 30·2) / 40 = 1.75
    assert unpack_vectors(mean).vector.tolist() == [3.25, 3.25, 1.0]
    assert unpack_vectors(mean).counters.tolist() == [4]
    assert metrics["train-loss"] == 1.75
    assert strategy.round_log.images == 80
    assert strategy.round_log.accepted[1] == {
        "site_id": "site-01",
        "num_examples": 30,
        "train_loss": 2.0,
        "seconds": 1.23,
        # from 0 to (4, 4): 4 · √2; the statistics stay as they were
        "update_norm": 5.65685,
        "buffer_norm": 0.0,
    }


def test_one_nan_reply_is_refused_by_name_and_does_not_spoil_the_mean(strategy):
    orders = order_round(strategy)
    replies = [
        reply("site-00", orders["site-00"], 1.0),
        reply("site-01", orders["site-01"], vector=[0.0, np.nan, 1.0]),
        reply("site-02", orders["site-02"], 3.0),
    ]
    mean, _ = strategy.aggregate_train(1, replies)
    assert unpack_vectors(mean).vector.tolist() == [2.0, 2.0, 1.0]
    assert strategy.round_log.refused == [
        {"site_id": "site-01", "reason": "1 numbers are not finite, the first in w"}
    ]
    assert [s["site_id"] for s in strategy.round_log.accepted] == ["site-00", "site-02"]


def test_missing_sites_are_written_down_with_their_reason(strategy):
    orders = order_round(strategy)
    replies = [
        reply("site-00", orders["site-00"]),
        Reply("site-01", None, "no answer within 5 s"),
        reply("site-02", orders["site-02"]),
    ]
    strategy.aggregate_train(1, replies)
    assert strategy.round_log.missing == [{"site_id": "site-01", "reason": "no answer within 5 s"}]
    assert strategy.round_log.refused == []


def test_a_skipped_site_is_missing_with_its_own_reason(strategy):
    orders = order_round(strategy)
    why = "fewer than 2 usable training images"
    replies = [
        reply("site-00", orders["site-00"]),
        reply("site-01", orders["site-01"], code="skipped", reason=why),
    ]
    strategy.aggregate_train(1, replies)
    assert strategy.round_log.missing == [{"site_id": "site-01", "reason": f"skipped: {why}"}]
    assert strategy.round_log.refused == []


def test_the_quorum_is_of_the_sites_that_had_something_to_train_on():
    strategy = CheckedFedAvg(federation(quorum=1.0))
    orders = order_round(strategy)
    replies = [reply(s, orders[s]) for s in SITES[:2]]
    replies += [reply(s, orders[s], code="skipped", reason="too few") for s in SITES[2:]]
    strategy.aggregate_train(1, replies)
    assert len(strategy.round_log.accepted) == 2


def test_a_round_in_which_every_site_skipped_is_no_round(strategy):
    orders = order_round(strategy)
    replies = [reply(s, orders[s], code="skipped", reason="too few") for s in SITES]
    with pytest.raises(QuorumError, match=r"1 are needed.*site-00: skipped: too few"):
        strategy.aggregate_train(1, replies)


def test_a_second_reply_of_a_site_is_refused(strategy):
    orders = order_round(strategy)
    once = reply("site-00", orders["site-00"], 1.0)
    mean, _ = strategy.aggregate_train(1, [once, once, reply("site-01", orders["site-01"], 3.0)])
    assert unpack_vectors(mean).vector.tolist() == [2.0, 2.0, 1.0]
    (refused,) = strategy.round_log.refused
    assert refused["reason"] == "the site was not asked, or has answered already"


def test_a_reply_of_the_round_before_is_refused(strategy):
    before = order_round(strategy, 1)
    now = order_round(strategy, 2)
    replies = [reply("site-00", before["site-00"]), reply("site-01", now["site-01"])]
    strategy.aggregate_train(2, replies)
    assert strategy.round_log.refused == [
        {"site_id": "site-00", "reason": "the reply is for round 1, not 2"}
    ]


def test_a_reply_under_another_sites_name_is_refused(strategy):
    orders = order_round(strategy)
    stolen = reply("site-00", orders["site-00"], site_id="site-03")
    strategy.aggregate_train(1, [stolen, reply("site-01", orders["site-01"])])
    assert strategy.round_log.refused[0]["reason"] == "the reply is signed by another site"


def test_a_site_that_was_not_asked_does_not_count(strategy):
    orders = order_round(strategy)
    asked = reply("site-01", orders["site-01"])
    del strategy.orders["site-00"]
    strategy.aggregate_train(1, [reply("site-00", orders["site-00"]), asked])
    assert [s["site_id"] for s in strategy.round_log.accepted] == ["site-01"]


def test_a_weight_above_the_plans_is_refused():
    strategy = CheckedFedAvg(federation(most_examples={**dict.fromkeys(SITES, 100), "site-01": 5}))
    orders = order_round(strategy)
    replies = [reply(s, orders[s], examples=10) for s in ("site-00", "site-01")]
    strategy.aggregate_train(1, replies)
    assert "weight 10 is not a whole number from 1 to 5" in strategy.round_log.refused[0]["reason"]


def test_too_few_right_answers_end_the_run_with_every_reason():
    strategy = CheckedFedAvg(federation(advice="Ask somebody."))
    orders = order_round(strategy)
    replies = [
        reply("site-00", orders["site-00"]),
        reply("site-01", orders["site-01"], vector=[0.0, 0.0, -1.0]),
        Reply("site-02", None, "no answer within 5 s"),
        Reply("site-03", None, "the site's client broke off (code 2)"),
    ]
    with pytest.raises(QuorumError) as caught:
        strategy.aggregate_train(4, replies)
    words = str(caught.value)
    assert "Round 4: 1 of 4 sites answered rightly, 2 are needed" in words
    assert "site-01: a variance is negative in bn.running_var" in words
    assert "site-02: no answer within 5 s" in words
    assert words.endswith("(code 2). Ask somebody.")


def test_half_of_the_cohort_is_a_quorum_of_one_half(strategy):
    orders = order_round(strategy)
    replies = [reply(s, orders[s]) for s in SITES[:2]] + [Reply(s, None, "x") for s in SITES[2:]]
    strategy.aggregate_train(1, replies)
    assert len(strategy.round_log.accepted) == 2


@pytest.mark.parametrize(("quorum", "needed"), [(0.01, 1), (0.5, 2), (0.51, 3), (1.0, 4)])
def test_the_quorum_is_rounded_up(quorum, needed):
    for right in range(5):
        strategy = CheckedFedAvg(federation(quorum=quorum))
        orders = order_round(strategy)
        replies = [
            reply(s, orders[s]) if n < right else Reply(s, None, "gone")
            for n, s in enumerate(SITES)
        ]
        if right >= needed:
            strategy.aggregate_train(1, replies)
        else:
            with pytest.raises(QuorumError, match=f"{needed} are needed"):
                strategy.aggregate_train(1, replies)


def test_each_site_is_told_of_as_it_answers(strategy):
    told = []
    strategy = CheckedFedAvg(federation(), on_site=lambda *what: told.append(what))
    orders = order_round(strategy)
    replies = [
        reply("site-00", orders["site-00"], images=33),
        reply("site-01", orders["site-01"], vector=[np.inf, 0, 1]),
        Reply("site-02", None, "gone"),
        reply("site-03", orders["site-03"], images=7),
    ]
    strategy.aggregate_train(1, replies)
    assert told == [
        ("site-00", "done", 33),
        ("site-01", "refused", 0),
        ("site-02", "missing", 0),
        ("site-03", "done", 7),
    ]


def test_replies_are_taken_one_at_a_time(strategy):
    # The stream must not be listed first: at each step only the sites before have been counted.
    orders = order_round(strategy)
    counted = []

    def stream():
        for site in SITES:
            counted.append(len(strategy.round_log.accepted))
            yield reply(site, orders[site])

    strategy.aggregate_train(1, stream())
    assert counted == [0, 1, 2, 3]


def test_the_log_of_a_round_starts_empty(strategy):
    for round_num in (1, 2):
        orders = order_round(strategy, round_num)
        replies = [reply(s, orders[s]) for s in SITES[:3]] + [Reply("site-03", None, "gone")]
        strategy.aggregate_train(round_num, replies)
        assert len(strategy.round_log.accepted) == 3
        assert len(strategy.round_log.missing) == 1


def encoded_reply(site, order, steps, *, examples=10):
    update = Encoded("int8", {"steps": np.int8(steps), "scales": np.float32([1, 1])}, np.int64([4]))
    sent = reply(site, order, examples=examples)
    sent.message.content[PARAMETERS] = pack_update(update)
    return sent


def test_updates_are_averaged_upon_what_the_round_began_with():
    strategy = CheckedFedAvg(federation(codec=Codec("int8")))
    begun = pack_parameters(Parameters(np.float32([100, 200, 1]), np.int64([0])))
    orders = {s: unpack_order(make()) for s, make in strategy.train_orders(1, begun)}
    replies = [
        encoded_reply("site-00", orders["site-00"], [4, 8, 0], examples=10),
        encoded_reply("site-01", orders["site-01"], [-8, 0, 4], examples=30),
        encoded_reply("site-02", orders["site-02"], [1, 1, -2]),
        reply("site-03", orders["site-03"]),
    ]
    mean, _ = strategy.aggregate_train(1, replies)
    # (10·104 + 30·92) / 40 = 95, (10·208 + 30·200) / 40 = 202, (10·1 + 30·5) / 40 = 4
    assert unpack_vectors(mean).vector.tolist() == [95, 202, 4]
    assert strategy.round_log.refused == [
        {"site_id": "site-02", "reason": "a variance is negative in bn.running_var"},
        {
            "site_id": "site-03",
            "reason": "the record does not hold exactly the arrays of the codec int8",
        },
    ]


def test_the_bytes_of_the_accepted_replies_are_counted(strategy):
    orders = order_round(strategy)
    good = [reply(s, orders[s]) for s in SITES[:2]]
    wild = reply("site-02", orders["site-02"], vector=[np.nan, 0, 1])
    size = payload_bytes(good[0].message.content[PARAMETERS])
    strategy.aggregate_train(1, [*good, wild, Reply("site-03", None, "gone")])
    # 3 · 4 bytes and 1 · 8, each behind a header of 128
    assert (size, strategy.round_log.bytes_up) == (276, 2 * 276)


def test_a_site_that_moves_the_model_too_far_is_refused_with_its_norm_and_the_round_goes_on():
    strategy = CheckedFedAvg(federation(norm_factor=10.0))
    strategy.history = (Norms(1.0, 0.5),)
    orders = order_round(strategy, 2)
    replies = [
        reply("site-00", orders["site-00"], 1.0),
        reply("site-01", orders["site-01"], vector=[3e38, -3e38, 1.0]),
        reply("site-02", orders["site-02"], 3.0),
        reply("site-03", orders["site-03"], 2.0),
    ]
    mean, _ = strategy.aggregate_train(2, replies)
    assert unpack_vectors(mean).vector.tolist() == [2.0, 2.0, 1.0]
    (refused,) = strategy.round_log.refused
    assert refused["site_id"] == "site-01"
    assert refused["update_norm"] == pytest.approx(3e38 * 2**0.5, rel=1e-5)
    assert "has the norm 4.24e+38, and by the rounds before 10 is allowed" in refused["reason"]
    assert strategy.round_log.usual.trained == pytest.approx(2 * 2**0.5, rel=1e-5)


def test_where_long_updates_are_clipped_the_mean_has_them_at_the_limit():
    strategy = CheckedFedAvg(federation(norm_factor=2.0, norm_policy="clip"))
    strategy.history = (Norms(2**0.5, 1.0),)
    orders = order_round(strategy, 2)
    # (100, 100) from (0, 0) at twice the usual √2: (2, 2)
    replies = [reply("site-00", orders["site-00"], 100.0), reply("site-01", orders["site-01"], 1.0)]
    mean, _ = strategy.aggregate_train(2, replies)
    np.testing.assert_allclose(unpack_vectors(mean).vector, [1.5, 1.5, 1.0], rtol=1e-5)
    assert strategy.round_log.accepted[0]["clipped"] is True
    assert "clipped" not in strategy.round_log.accepted[1]
