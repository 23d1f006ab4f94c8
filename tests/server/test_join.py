import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

from fedcxr.errors import RunError
from fedcxr.wire import CARD, RECEIPT, RESULT, Order, Receipt, pack_receipt, unpack_order
from server.exchange import Waits
from server.join import gather_cards

pytestmark = pytest.mark.usefixtures("flower")

ORDER = Order("a-run", 0, "", "a-digest", "{}", 0.0)


class Nodes:
    """A grid of nodes that each answer a query as `answers` says: (site_id, code, reason)."""

    texts = {"labels": ["Edema"]}  # noqa: RUF012  # never changed in place
    spec_digest = "a-digest"

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
        receipt = Receipt(order.run, 0, order.nonce, self.spec_digest, site_id, code, reason)
        content = RecordDict(
            {
                RECEIPT: pack_receipt(receipt),
                RESULT: MetricRecord({"num-train": 10 * node}),
                CARD: ConfigRecord(self.texts),
            }
        )
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
    monkeypatch.setattr("server.join.POLL_S", 0.0)


def gather(answers, site_ids=("site-00", "site-01"), *, late=0, timeout_s=1.0, images=1000):
    grid = Nodes(answers, late)
    plan = dict.fromkeys(site_ids, images)
    waits = Waits(2, 0.05)
    return gather_cards(grid, plan, ORDER, waits, timeout_s=timeout_s), grid


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
    answers = {1: ("site-00", "ok", ""), 2: ("site-01", "silent", "")}
    with pytest.raises(RunError, match=r"not there: site-01 \(no answer within 0\.05 s\)"):
        gather(answers)


def test_two_nodes_of_one_site_are_an_error():
    answers = {1: ("site-00", "ok", ""), 2: ("site-00", "ok", "")}
    with pytest.raises(
        RunError, match=r"Two nodes say that they are site-00\. Give each SuperNode"
    ):
        gather(answers)


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
    monkeypatch.setattr(Nodes, "spec_digest", "another")
    with pytest.raises(RunError, match=r"site-00 builds another model; it must run the same"):
        gather({1: ("site-00", "ok", ""), 2: ("site-01", "ok", "")})


@pytest.mark.parametrize("texts", [{"path": "patient64541"}, {"labels": 3}, {"labels": [1, 2]}])
def test_a_card_with_anything_but_the_known_texts_is_refused(texts, monkeypatch):
    monkeypatch.setattr(Nodes, "texts", texts)
    with pytest.raises(RunError, match="is not a known text"):
        gather({1: ("site-00", "ok", ""), 2: ("site-01", "ok", "")})
