"""The grid with hostile sites: whose replies it changes, and when."""

import numpy as np
import pytest
from flwr.app import Error, Message, MetricRecord, RecordDict

from fedcxr.chain import UPDATE
from fedcxr.experiments.byzantine.attacks import ATTACKS
from fedcxr.experiments.byzantine.hostile_grid import HostileGrid
from fedcxr.packing import unpack_array
from fedcxr.schema import COUNTERS
from fedcxr.wire import RECEIPT, RESULT, VECTORS, Receipt, pack_receipt, pack_vectors

pytestmark = pytest.mark.usefixtures("flower")

# three trained values, then one statistic
UPDATES = {1: [1, 2, 3, 7], 2: [3, 2, -1, 7], 3: [5, 5, 5, 8], 4: [6, 6, 6, 9]}
HOSTILE = (3, 4)


class Inner:
    """A grid whose replies come when the test says so."""

    def __init__(self):
        self.sent, self.ready, self.cancelled = {}, [], []

    def push_messages(self, messages):
        ids = []
        for message in messages:
            message_id = f"m{len(self.sent)}"
            message.metadata.__dict__["_message_id"] = message_id
            self.sent[message_id] = message
            ids.append(message_id)
        return ids

    def pull_messages(self, ids):
        found = [reply for reply in self.ready if reply.metadata.reply_to_message_id in ids]
        self.ready = [reply for reply in self.ready if reply not in found]
        return found

    def cancel(self, message_id):
        self.cancelled.append(message_id)

    def answer(self, message_id, *, code="ok", error=False):
        order = self.sent[message_id]
        node = order.metadata.dst_node_id
        if error:
            self.ready.append(Message(Error(2, "gone"), reply_to=order))
            return
        content = RecordDict(
            {
                RECEIPT: pack_receipt(Receipt("a-run", 1, "n", "d", f"site-{node}", code, "")),
                RESULT: MetricRecord({"num-examples": node}),
                VECTORS: pack_vectors(
                    {UPDATE: np.float32(UPDATES[node]), COUNTERS: np.int64([node])}
                ),
            }
        )
        self.ready.append(Message(content, reply_to=order))


def grid_of(attack, deviations=1.0):
    inner = Inner()
    grid = HostileGrid(inner, ATTACKS[attack], HOSTILE, trained=3, deviations=deviations)
    return inner, grid


def order_round(grid, kind="train", round_num=1):
    orders = [
        Message(RecordDict(), dst_node_id=node, message_type=kind, group_id=str(round_num))
        for node in UPDATES
    ]
    return list(grid.push_messages(orders))


def pulled(grid, ids):
    """Return the updates that come, by node."""
    return {
        int(reply.content.metric_records[RESULT]["num-examples"]): unpack_array(
            reply.content.array_records[VECTORS][UPDATE], "<f4"
        ).tolist()
        for reply in grid.pull_messages(ids)
    }


def test_the_hostile_sites_updates_are_changed_and_no_others():
    inner, grid = grid_of("sign-flip")
    ids = order_round(grid)
    for message_id in ids:
        inner.answer(message_id)
    found = pulled(grid, ids)
    # the statistic stays, or the variance could be refused
    assert found == {**UPDATES, 3: [-5, -5, -5, 8], 4: [-6, -6, -6, 9]}


def test_counters_and_numbers_stay_as_an_honest_training_has_them():
    inner, grid = grid_of("scaling")
    ids = order_round(grid)
    inner.answer(ids[2])
    (reply,) = grid.pull_messages(ids)
    record = reply.content.array_records[VECTORS]
    assert set(record) == {UPDATE, COUNTERS}
    assert unpack_array(record[COUNTERS], "<i8").tolist() == [3]
    assert unpack_array(record[UPDATE], "<f4").tolist() == [500, 500, 500, 8]


@pytest.mark.parametrize("order", [[2, 3, 1, 0], [0, 2, 1, 3], [0, 1, 2, 3]])
def test_colluders_wait_for_the_honest_and_all_send_the_same_whoever_came_first(order):
    inner, grid = grid_of("alie", deviations=1.5)
    ids = order_round(grid)
    found = {}
    for place, number in enumerate(order):
        inner.answer(ids[number])
        new = pulled(grid, [message_id for message_id in ids if message_id not in found])
        if any(number < 2 for number in order[place + 1 :]):  # an honest one is left
            assert not set(new) & set(HOSTILE)
        found |= new
    # honest means 2, 2, 1 and deviations 1, 0, 2
    assert found == {**UPDATES, 3: [0.5, 2, -2, 8], 4: [0.5, 2, -2, 9]}


def test_an_honest_site_that_breaks_off_or_is_late_is_not_waited_for():
    inner, grid = grid_of("alie")
    ids = order_round(grid)
    inner.answer(ids[2])
    inner.answer(ids[0], error=True)
    assert len(list(grid.pull_messages(ids))) == 1  # the error
    grid.cancel(ids[1])
    assert inner.cancelled == [ids[1]]
    # nobody honest was seen: the reply stays as it is
    assert pulled(grid, ids[2:]) == {3: UPDATES[3]}


def test_replies_that_are_no_update_pass_untouched():
    inner, grid = grid_of("sign-flip")
    ids = order_round(grid)
    inner.answer(ids[2], code="skipped")
    inner.answer(ids[3], error=True)
    skipped, broken = grid.pull_messages(ids)
    assert broken.has_error()
    record = skipped.content.array_records[VECTORS]
    assert unpack_array(record[UPDATE], "<f4").tolist() == UPDATES[3]
    evaluated = order_round(grid, kind="evaluate")
    inner.answer(evaluated[2])
    assert pulled(grid, evaluated) == {3: UPDATES[3]}


def test_rounds_are_apart():
    inner, grid = grid_of("alie", deviations=0.0)
    first = order_round(grid, round_num=1)
    for message_id in first:
        inner.answer(message_id)
    assert len(pulled(grid, first)) == 4
    second = order_round(grid, round_num=2)
    inner.answer(second[3])
    assert pulled(grid, second) == {}
