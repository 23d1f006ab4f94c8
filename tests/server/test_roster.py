import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

from fedcxr.errors import RunError
from fedcxr.vectors import VectorSpec
from fedcxr.wire import (
    CARD,
    RECEIPT,
    RESULT,
    VECTORS,
    Order,
    Receipt,
    pack_receipt,
    pack_vectors,
    unpack_order,
)
from server.roster import JoinLimits, Roster

pytestmark = pytest.mark.usefixtures("flower")

ORDER = Order("a-run", 0, "", "a-digest", "{}", 0.0)


class Nodes:
    """A grid of nodes that each answer a query as `answers` says: (site_id, code, reason)."""

    texts = {"labels": ["Edema"]}  # noqa: RUF012  # never changed in place
    schema_digest = "a-digest"
    changed = {}  # noqa: RUF012  # never changed in place
    vectors = {}  # noqa: RUF012  # never changed in place

    def __init__(self, answers, late=0):
        self.answers, self.late = answers, late
        self.nonces, self._replies = [], {}

    def get_node_ids(self):
        """Return no node until it was asked `late` times."""
        self.late -= 1
        return [] if self.late >= 0 else list(self.answers)[::-1]

    def push_messages(self, messages):
        """Answer at once."""
        (message,) = messages
        node = message.metadata.dst_node_id
        order = unpack_order(message)
        self.nonces.append(order.nonce)
        message.metadata.__dict__["_message_id"] = str(node)
        site_id, code, reason = self.answers[node]
        said = "ok" if code == "silent" else code  # until it says it
        receipt = Receipt(order.run, 0, order.nonce, self.schema_digest, site_id, said, reason)
        receipt = replace(receipt, **self.changed)
        content = RecordDict(
            {
                RECEIPT: pack_receipt(receipt),
                RESULT: MetricRecord({"num-train": 10 * node}),
                CARD: ConfigRecord(self.texts),
            }
        )
        if self.vectors:
            content[VECTORS] = pack_vectors(self.vectors)
        if code == "no receipt":
            del content[RECEIPT]
        self._replies[str(node)] = Message(content, reply_to=message)
        return [str(node)]

    def pull_messages(self, message_ids):
        """Return the answers, except of nodes that say nothing."""
        return [
            self._replies.pop(m)
            for m in message_ids
            if m in self._replies and self.answers[int(m)][1] != "silent"
        ]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Nothing is worth waiting for here."""
    monkeypatch.setattr("server.roster.POLL_S", 0.0)


def roster_of(grid, site_ids=("site-00", "site-01"), images=1000, on_change=None):
    told = on_change or (lambda site_id, what: None)
    return Roster(grid, dict.fromkeys(site_ids, images), ORDER, told)


def gather(answers, site_ids=("site-00", "site-01"), *, late=0, timeout_s=0.1, images=1000):
    grid = Nodes(answers, late)
    roster = roster_of(grid, site_ids, images)
    return roster.gather(JoinLimits(timeout_s, 0.05, may_grow=True)), grid


def test_each_site_is_found_at_its_node():
    cards, grid = gather({7: ("site-01", "ok", ""), 9: ("site-00", "ok", "")})
    assert list(cards) == ["site-00", "site-01"]
    assert (cards["site-00"].node_id, cards["site-01"].node_id) == (9, 7)
    assert cards["site-01"].numbers == {"num-train": 70}
    assert cards["site-01"].texts == {"labels": ["Edema"]}
    assert len(set(grid.nonces)) == 2


def test_nodes_that_come_late_are_waited_for():
    cards, _ = gather({1: ("site-00", "ok", ""), 2: ("site-01", "ok", "")}, late=3)
    assert len(cards) == 2


def test_a_site_that_is_not_there_is_named():
    with pytest.raises(RunError, match=r"not there: site-01\. Start their clients, or partition"):
        gather({1: ("site-00", "ok", "")}, timeout_s=0.05)


def test_a_site_that_says_nothing_is_named_with_the_wait():
    # row 21 of the bad-input table
    answers = {1: ("site-00", "ok", ""), 2: ("site-01", "silent", "")}
    with pytest.raises(RunError, match=r"not there: site-01 \(no answer within 0\.05 s\)"):
        gather(answers)


def test_a_second_node_of_a_site_is_refused_and_told():
    # row 39 of the bad-input table
    answers = {1: ("site-00", "ok", ""), 2: ("site-00", "ok", ""), 3: ("site-01", "ok", "")}
    told = []
    roster = roster_of(Nodes(answers), on_change=lambda *what: told.append(what))
    cards = roster.gather(JoinLimits(1.0, 0.05, may_grow=True))
    assert cards["site-00"].node_id == 1
    assert told == [("site-00", "a second node of this name was refused")]


def test_a_foreign_node_takes_nobodys_place():
    # Before, as many nodes as sites were waited for, whoever they were.
    grid = Nodes({1: ("mercy", "ok", ""), 2: ("site-00", "ok", "")})
    roster = roster_of(grid)

    def later(message_ids, pull=grid.pull_messages):
        grid.answers[3] = ("site-01", "ok", "")
        return pull(message_ids)

    grid.pull_messages = later
    assert list(roster.gather(JoinLimits(5.0, 0.05, may_grow=True))) == ["site-00", "site-01"]


def test_a_node_that_hangs_holds_nobody_once_all_sites_are_there():
    answers = {1: ("x", "silent", ""), 2: ("site-00", "ok", ""), 3: ("site-01", "ok", "")}
    start = time.monotonic()
    cards = roster_of(Nodes(answers)).gather(JoinLimits(60.0, 60.0, may_grow=True))
    assert len(cards) == 2
    assert time.monotonic() - start < 5.0


def test_a_node_that_decodes_its_images_is_waited_for_longer_than_nodes_are():
    grid = Nodes({1: ("site-00", "ok", ""), 2: ("site-01", "silent", "")})
    threading.Timer(0.3, lambda: grid.answers.update({2: ("site-01", "ok", "")})).start()
    assert len(roster_of(grid).gather(JoinLimits(0.01, 5.0, may_grow=True))) == 2


def test_where_no_node_can_come_a_missing_site_is_told_at_once():
    roster = roster_of(Nodes({1: ("site-00", "ok", "")}))
    start = time.monotonic()
    with pytest.raises(RunError, match="not there: site-01"):
        roster.gather(JoinLimits(60.0, None, may_grow=False))
    assert time.monotonic() - start < 5.0


@pytest.mark.parametrize("changed", [{"nonce": "made up"}, {"run": "other"}, {"round_num": 3}])
def test_a_card_that_answers_another_question_is_refused(changed, monkeypatch):
    monkeypatch.setattr(Nodes, "changed", changed)
    with pytest.raises(RunError, match=r"the reply belongs to another run|nonce|for round 3"):
        gather({1: ("site-00", "ok", ""), 2: ("site-01", "ok", "")})


def test_a_site_that_comes_back_under_a_new_node_is_asked_there():
    # row 39 of the bad-input table
    grid = Nodes({1: ("site-00", "ok", ""), 2: ("site-01", "ok", "")})
    told = []
    roster = roster_of(grid, on_change=lambda *what: told.append(what))
    roster.gather(JoinLimits(1.0, 0.05, may_grow=True))
    del grid.answers[2]
    grid.answers[7] = ("site-01", "ok", "")
    roster.update()
    assert roster.node_by_site == {"site-00": 1, "site-01": 7}
    assert told == [("site-01", "came back at another node")]


def test_a_node_whose_old_id_lingers_takes_over_when_the_site_missed_a_round():
    # row 39 of the bad-input table
    grid = Nodes({1: ("site-00", "ok", ""), 2: ("site-01", "ok", "")})
    roster = roster_of(grid)
    roster.gather(JoinLimits(1.0, 0.05, may_grow=True))
    grid.answers[7] = ("site-01", "ok", "")
    roster.update()
    assert roster.node_by_site["site-01"] == 2  # it answers still: the second is refused
    roster.update(missed={"site-01"})
    assert roster.node_by_site["site-01"] == 7


def test_a_site_that_fails_is_missing_with_its_own_reason():
    why = "the site's data cannot be used; its log names the file"
    answers = {1: ("site-00", "ok", ""), 2: ("", "failed", why)}
    with pytest.raises(RunError) as caught:
        gather(answers)
    assert f"not there: site-01 ({why})" in str(caught.value)


def test_an_answer_that_is_no_card_is_told():
    answers = {1: ("site-00", "ok", ""), 2: ("site-01", "no receipt", "")}
    with pytest.raises(RunError, match=r"site-01 \(the reply holds no receipt\)"):
        gather(answers)


def test_a_node_whose_site_is_not_in_the_plan_is_left_out():
    cards, _ = gather(
        {n: (f"site-{n:02d}", "ok", "") for n in range(3)}, site_ids=["site-00", "site-02"]
    )
    assert list(cards) == ["site-00", "site-02"]


def test_a_site_that_is_missing_may_be_there_under_a_name_that_the_plan_has_not():
    answers = {1: ("site-00", "ok", ""), 2: ("mercy", "ok", "")}
    with pytest.raises(RunError, match=r"site-01 \('mercy' is not a site of the plan\)"):
        gather(answers)


def test_a_site_with_more_images_than_the_plan_says_is_refused():
    # node 2 answers with 20 training images
    answers = {1: ("site-00", "ok", ""), 2: ("site-01", "ok", "")}
    assert gather(answers, images=20)[0]["site-01"].numbers["num-train"] == 20
    with pytest.raises(RunError, match=r"site-01 has more training images than the plan's 19"):
        gather(answers, images=19)


def test_a_site_with_another_model_is_refused(monkeypatch):
    monkeypatch.setattr(Nodes, "schema_digest", "another")
    with pytest.raises(RunError, match=r"site-00 builds another model; it must run the same"):
        gather({1: ("site-00", "ok", ""), 2: ("site-01", "ok", "")})


@pytest.mark.parametrize("texts", [{"path": "patient64541"}, {"labels": 3}, {"labels": [1, 2]}])
def test_a_card_with_anything_but_the_known_texts_is_refused(texts, monkeypatch):
    monkeypatch.setattr(Nodes, "texts", texts)
    with pytest.raises(RunError, match="is not a known text"):
        gather({1: ("site-00", "ok", ""), 2: ("site-01", "ok", "")})


COUNTS = {"known-targets": VectorSpec("<f8", 2), "positive-targets": VectorSpec("<f8", 2)}


def gathered(declared):
    nodes = Nodes({1: ("site-00", "ok", "")})
    return Roster(nodes, {"site-00": 10}, ORDER, declared=declared).gather(
        JoinLimits(0.1, 0.05, may_grow=True)
    )


def test_a_card_has_the_vectors_that_the_run_declares(monkeypatch):
    sent = {"known-targets": np.float64([3, 4]), "positive-targets": np.float64([1, 0.5])}
    monkeypatch.setattr(Nodes, "vectors", sent)
    card = gathered(COUNTS)["site-00"]
    assert card.vectors["positive-targets"].tolist() == [1, 0.5]
    with pytest.raises(RunError, match="'known-targets' is not declared"):
        gathered({})


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"known-targets": np.float64([3, 4])}, "'positive-targets' is missing"),
        (
            {"known-targets": np.float64([3]), "positive-targets": np.float64([1, 1])},
            "'known-targets' has 1 numbers, expected 2",
        ),
        (
            {"known-targets": np.float64([3, 4]), "positive-targets": np.float64([1, -1])},
            "counts targets that are negative or not finite",
        ),
        (
            {"known-targets": np.float64([3, 4]), "positive-targets": np.float64([1, 5])},
            "counts more targets than it has training images",
        ),
        (
            {"known-targets": np.float64([3, 11]), "positive-targets": np.float64([1, 5])},
            "counts more targets than it has training images",
        ),
        (
            {"known-targets": np.float64([3, 4]), "positive-targets": np.float64([1, np.nan])},
            "counts targets that are negative or not finite",
        ),
    ],
)
def test_a_card_with_other_vectors_is_refused(monkeypatch, sent, words):
    monkeypatch.setattr(Nodes, "vectors", sent)
    with pytest.raises(RunError, match=words):
        gathered(COUNTS)


class KeyedNodes(Nodes):
    """Nodes that Flower knows by a key each: their number, written out."""

    def get_nodes(self):
        return [SimpleNamespace(node_id=node, public_key=b"key %d" % node) for node in self.answers]


def test_a_node_with_another_key_cannot_claim_a_site_nor_keep_it_out():
    # row 39 of the bad-input table
    # The impostor, node 1, is asked first, and answers as the site would.
    grid = KeyedNodes({2: ("site-00", "ok", ""), 1: ("site-00", "ok", "")})
    told = []
    keys = {"site-00": b"key 2"}
    roster = Roster(
        grid, {"site-00": 1000}, ORDER, lambda *change: told.append(change), site_keys=keys
    )
    cards = roster.gather(JoinLimits(0.1, 0.05, may_grow=True))
    assert cards["site-00"].node_id == 2
    assert told == [
        ("site-00", "a node with another key than this site's said that it is this site")
    ]


def test_only_an_impostor_is_as_good_as_nobody():
    grid = KeyedNodes({1: ("site-00", "ok", "")})
    roster = Roster(
        grid, {"site-00": 1000}, ORDER, lambda *change: None, site_keys={"site-00": b"key 2"}
    )
    with pytest.raises(RunError, match=r"not there: site-00 \('site-00': a node with another key"):
        roster.gather(JoinLimits(0.05, 0.05, may_grow=True))


def test_a_site_without_a_kit_is_not_taken():
    grid = KeyedNodes({1: ("site-00", "ok", "")})
    roster = Roster(grid, {"site-00": 1000}, ORDER, lambda *change: None, site_keys={})
    with pytest.raises(RunError, match="another key than this site's"):
        roster.gather(JoinLimits(0.05, 0.05, may_grow=True))


class Lossy(Nodes):
    """Nodes that swallow the first questions of each, as a client that is killed with them."""

    def __init__(self, answers, lost):
        super().__init__(answers)
        self.lost = lost

    def push_messages(self, messages):
        """Answer from the time on after the lost questions."""
        found = super().push_messages(messages)
        if self.lost > 0:
            self.lost -= 1
            self._replies.clear()
        return [f"{found[0]}-{len(self.nonces)}"] if self.lost else found


def test_a_node_that_was_killed_with_the_question_is_asked_again(monkeypatch):
    monkeypatch.setattr("server.roster.ASK_AGAIN_S", 0.01)
    grid = Lossy({1: ("site-00", "ok", "")}, lost=2)
    roster = roster_of(grid, ["site-00"])
    assert list(roster.gather(JoinLimits(5.0, 60.0, may_grow=True))) == ["site-00"]
    assert len(grid.nonces) >= 3


def test_a_run_begins_with_enough_sites_and_takes_up_the_late_one():
    grid, told = Nodes({1: ("site-00", "ok", "")}), []
    roster = roster_of(grid, on_change=lambda *change: told.append(change))
    cards = roster.gather(JoinLimits(0.02, 60.0, may_grow=True, fewest=1))
    assert list(cards) == list(roster.node_by_site) == ["site-00"]
    assert told == [("site-01", "was not there at the beginning")]
    grid.answers[2] = ("site-01", "ok", "")
    roster.update()
    assert list(roster.node_by_site) == ["site-00", "site-01"]
    assert told[1:] == [("site-01", "joined")]


def test_a_site_that_hangs_holds_up_nobody_where_enough_are_there():
    grid = Nodes({1: ("site-00", "ok", ""), 2: ("site-01", "silent", "")})
    start = time.monotonic()
    cards = roster_of(grid).gather(JoinLimits(0.02, 60.0, may_grow=True, fewest=1))
    assert list(cards) == ["site-00"]
    assert time.monotonic() - start < 5.0


def test_too_few_sites_begin_nothing():
    grid = Nodes({1: ("site-00", "ok", "")})
    with pytest.raises(RunError, match="not there: site-01, site-02"):
        roster_of(grid, ["site-00", "site-01", "site-02"]).gather(
            JoinLimits(0.02, 0.01, may_grow=True, fewest=2)
        )
