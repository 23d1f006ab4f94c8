"""No malformed update reaches the model: rows 14, 15, 16, 18 and 19 of the bad-input table, whole.

In round 1 all sites are right. In round 2 all but three send something malformed, as a reply on its
way to the server. Each is refused and in `rounds.jsonl` with its reason, the run goes on, and its
weights are, to the bit, those of a run in which these replies were lost. What the checks say of one
reply is in `tests/server/test_check.py`; row 17 is `tests/test_byzantine_end_to_end.py`.
"""

import json

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Error, Message

from fedcxr.chain import UPDATE
from fedcxr.config import load_config
from fedcxr.experiments import simulate
from fedcxr.packing import unpack_array
from fedcxr.schema import COUNTERS
from fedcxr.wire import OK, RECEIPT, RESULT, VECTORS, pack_vectors, unpack_receipt

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_page")]


def update_of(reply):
    return unpack_array(reply.content.array_records[VECTORS][UPDATE], "<f4")


def with_update(change):
    """Return what puts another array in the place of the update."""

    def malform(reply, before):
        record = reply.content.array_records[VECTORS]
        changed = pack_vectors({COUNTERS: unpack_array(record[COUNTERS], "<i8")})
        for name, array in change(update_of(reply)).items():
            changed[name] = Array(array)  # Flower's own, which takes any dtype and shape
        reply.content[VECTORS] = ArrayRecord(dict(changed.items()))

    return malform


def with_weight(weight):
    def malform(reply, before):
        reply.content.metric_records[RESULT]["num-examples"] = weight

    return malform


def at(position, value):
    def change(update):
        changed = update.copy()
        changed[position] = value
        return {UPDATE: changed}

    return with_update(change)


def replayed(reply, before):
    reply.content[RECEIPT] = before.content[RECEIPT]
    reply.content[VECTORS] = before.content[VECTORS]


MALFORMED = {
    "row 14: negative weight": (with_weight(-1), "weight -1 is not a whole number from 1"),
    "row 14: zero weight": (with_weight(0), "weight 0 is not a whole number from 1"),
    "row 14: NaN weight": (with_weight(float("nan")), "'num-examples' is not a finite number"),
    "row 14: over-claimed weight": (with_weight(10**6), "weight 1000000 is not a whole number"),
    "row 15: NaN": (at(5, np.nan), "1 numbers are not finite, the first in"),
    "row 15: inf": (at(-1, np.inf), "1 numbers are not finite, the first in"),
    "row 16: 1000 times the norm": (
        # of the first 100,000 numbers, which are trained: a variance so small would be negative
        with_update(lambda u: {UPDATE: np.concatenate([1000 * u[:100_000], u[100_000:]])}),
        "and by the rounds before",
    ),
    "row 18: renamed": (
        with_update(lambda update: {"updates": update}),
        "'updates' is not declared",
    ),
    "row 18: one more": (
        with_update(lambda update: {UPDATE: update, "more": update}),
        "'more' is not declared",
    ),
    "row 18: another shape": (
        with_update(lambda update: {UPDATE: update[None]}),
        "float32 with 2 dimensions, expected float32 with 1",
    ),
    "row 18: (1,), which would broadcast": (
        with_update(lambda update: {UPDATE: update[:1].copy()}),
        "'update' has 1 numbers, expected",
    ),
    "row 18: float64": (
        with_update(lambda update: {UPDATE: update.astype(np.float64)}),
        "float64 with 1 dimensions, expected float32",
    ),
    "row 18: big-endian": (
        with_update(lambda update: {UPDATE: update.astype(">f4")}),
        ">f4 with 1 dimensions, expected float32",
    ),
    "row 19: replayed": (replayed, "the reply is for round 1, not 2"),
}
"""By what is malformed: how, and what is written down."""

HONEST = 3
SITES = [f"site-{number:02d}" for number in range(len(MALFORMED) + HONEST)]
KIND_OF = dict(zip(SITES[HONEST:], MALFORMED, strict=True))
SMALL = {
    "data.synthetic.patients": 170,
    "data.synthetic.size_px": 48,
    "model.image_size": 32,
    "partition.clients": len(SITES),
    "train.local_epochs": 1,
    "train.max_steps": 1,
    "server.rounds": 2,
    "server.quorum": 0.1,
    "explain.images_per_outcome": 0,
    "explain.max_boxes": 0,
    "engine.workers": 1,
    "engine.precision": "fp32",
}


class Meddling:
    """Changes the replies to orders to train on their way to the server."""

    def __init__(self, change):
        self.change = change

    def app(self, honest):
        return honest

    def grid(self, job, honest):
        pull = honest.pull_messages

        def meddled(ids):
            found = []
            for reply in pull(ids):
                is_train = reply.metadata.message_type == "train" and reply.has_content()
                found += self.change(reply) if is_train else [reply]
            return found

        honest.pull_messages = meddled
        return honest


class Malforming:
    """Round 2: every site but the honest ones sends something malformed, one honest site twice."""

    def __init__(self):
        self.before = {}

    def __call__(self, reply):
        receipt = unpack_receipt(reply.content)
        assert receipt.code == OK
        if receipt.round_num == 1:
            self.before[receipt.site_id] = reply
        elif receipt.site_id in KIND_OF:
            malform, _ = MALFORMED[KIND_OF[receipt.site_id]]
            malform(reply, self.before[receipt.site_id])
        elif receipt.site_id == SITES[0]:
            return [reply, reply]  # row 19: a doubled reply
        return [reply]


def losing(reply):
    """Round 2: the replies that `Malforming` changes are lost."""
    receipt = unpack_receipt(reply.content)
    if receipt.round_num == 1 or receipt.site_id not in KIND_OF:
        return [reply]
    lost = Message(Error(2, "lost"), reply_to=reply)
    lost.metadata.__dict__["_reply_to_message_id"] = reply.metadata.reply_to_message_id
    return [lost]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The run with malformed replies, and the one in which they are lost."""
    config = load_config(
        overrides={**SMALL, "runs_dir": str(tmp_path_factory.mktemp("malformed") / "runs")}
    )
    return [simulate(config, tampering=Meddling(how)) for how in (Malforming(), losing)]


def last_round(run):
    return json.loads((run.path / "rounds.jsonl").read_text().splitlines()[-1])


def test_0_of_all_malformed_updates_reach_the_model_and_the_run_goes_on(runs):
    malformed, lost = (last_round(run) for run in runs)
    assert [row["site_id"] for row in malformed["sites"]] == [
        row["site_id"] for row in lost["sites"]
    ]
    assert {row["site_id"] for row in malformed["sites"]} == set(SITES[:HONEST])
    assert len(lost["missing"]) == len(MALFORMED)
    assert malformed["parameters_sha256"] == lost["parameters_sha256"]
    assert runs[0].summary["num_rounds"] == 2


@pytest.mark.parametrize("site", KIND_OF, ids=KIND_OF.values())
def test_each_is_written_down_with_its_reason(runs, site):
    (row,) = [row for row in last_round(runs[0])["refused"] if row["site_id"] == site]
    assert MALFORMED[KIND_OF[site]][1] in row["reason"]


def test_a_doubled_reply_counts_once(runs):
    # row 19 of the bad-input table
    assert [row["site_id"] for row in last_round(runs[0])["sites"]].count(SITES[0]) == 1
