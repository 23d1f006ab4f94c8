"""Who is asked in a round, and with what message."""

import numpy as np
import pytest
from flwr.app import MessageType

from fedcxr.parameters import ParameterSpec
from fedcxr.schema import COUNTERS, VECTOR, WireSchema
from fedcxr.shared_part import SharedPart
from fedcxr.wire import VECTORS, pack_vectors, unpack_order
from server.orders import Federation, OrderBook

pytestmark = pytest.mark.usefixtures("flower")

SCHEMA = WireSchema(SharedPart(ParameterSpec(("w",), ((2,),), ("trainable",))))
SITES = ("site-00", "site-01", "site-02", "site-03")


@pytest.fixture
def make_book():
    def make(**changes):
        fields = {
            "run": "a-run",
            "task": "{}",
            "schema": SCHEMA,
            "seed": 0,
            "node_by_site": {site: 1000 + n for n, site in enumerate(SITES)},
            "most_examples": dict.fromkeys(SITES, 100),
            "fraction": 1.0,
            "quorum": 0.5,
            "threads": 1,
        }
        return OrderBook(Federation(**(fields | changes)))

    return make


def test_every_site_of_the_cohort_gets_an_order_of_its_own(make_book):
    book = make_book()
    book.learning_rate = 0.25
    arrays = pack_vectors({VECTOR: np.zeros(2, np.float32), COUNTERS: np.zeros(0, np.int64)})
    made = {s: make() for s, make in book.orders(MessageType.TRAIN, book.cohort(7), 7, arrays)}
    assert list(made) == list(SITES)
    assert [m.metadata.dst_node_id for m in made.values()] == [1000, 1001, 1002, 1003]
    orders = [unpack_order(m) for m in made.values()]
    assert len({order.nonce for order in orders}) == 4
    assert {order.num_sites for order in orders} == {4}
    assert {(o.run, o.round_num, o.schema_digest, o.learning_rate) for o in orders} == {
        ("a-run", 7, SCHEMA.digest, 0.25)
    }
    for message in made.values():
        # one record shared by all messages, not a copy for each
        assert message.content[VECTORS] is arrays
        assert message.metadata.group_id == "7"


def test_the_cohort_follows_site_ids_and_not_node_ids(make_book):
    one = make_book(fraction=0.5)
    nodes = {s: 9_000 - n for n, s in enumerate(reversed(SITES))}
    two = make_book(fraction=0.5, node_by_site=nodes)
    for round_num in range(1, 20):
        assert one.cohort(round_num) == two.cohort(round_num)
        assert len(one.cohort(round_num)) == 2


def test_the_longest_are_asked_first(make_book):
    book = make_book(most_examples=dict(zip(SITES, (5, 50, 7, 50), strict=True)))
    assert book.cohort(1) == ["site-01", "site-03", "site-02", "site-00"]
