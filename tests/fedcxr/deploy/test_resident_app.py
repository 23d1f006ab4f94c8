"""A site's own app in its resident trainer."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from PIL import Image

from clients.resident_model import worker_for
from fedcxr.deploy.provision import new_deployment
from fedcxr.deploy.resident import resident
from fedcxr.engines import fork_server
from fedcxr.parameters import extract
from fedcxr.schema import COUNTERS, VECTOR
from fedcxr.wire import ORDER, VECTORS, pack_order, pack_vectors, unpack_receipt
from partitions.table import write_table

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("flower")]  # imports PyTorch once more

NAME = "site-00"


@pytest.fixture
def site(tmp_path, site_records):
    """A hospital's kit and its data, as a SuperNode tells of them."""
    kit = new_deployment(tmp_path / "deploy", "127.0.0.1:1", [NAME]).folder / NAME
    data = tmp_path / "data"
    data.mkdir()
    table = site_records(NAME, 6, 2)
    names = tuple(f"{image_id}.png" for image_id in table.image_id)
    rng = np.random.default_rng(0)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(data / name)
    write_table(replace(table, path=names), data / "site.csv")
    activity = tmp_path / "activity.json"
    return {"kit": str(kit), "site-dir": str(data), "activity": str(activity)}


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    monkeypatch.setattr(fork_server, "_servers", [])
    with resident(tmp_path / "client.log", {}) as found:
        yield found


@pytest.fixture
def ask(trainer, site, make_task, make_order):
    task = make_task()
    worker = worker_for(task, 1)
    first = extract(worker.model, worker.spec)
    vectors = pack_vectors({VECTOR: np.clip(first.vector, -1, 1), COUNTERS: first.counters})

    def send(round_num=1, run_id=1):
        order = make_order(task, worker.spec, round_num)
        content = RecordDict({ORDER: pack_order(order), VECTORS: vectors})
        message = Message(content, dst_node_id=7, message_type="train")
        message.metadata.__dict__["_run_id"] = run_id
        context = Context(run_id, 7, site, RecordDict(), {})
        return trainer.answer(message, context, lambda: True).content

    return send


def update_in(content):
    return bytes(content[VECTORS]["update"].data)


def test_orders_of_two_runs_have_the_same_answers(ask, trainer, site):
    first = ask(), ask(2)
    pid = trainer.pid
    second = ask(run_id=2), ask(2, run_id=2)
    assert trainer.pid != pid
    assert [unpack_receipt(content).code for content in first] == ["ok", "ok"]
    assert list(map(update_in, first)) == list(map(update_in, second))
    assert update_in(first[0]) != update_in(first[1])  # another seed in another round
    assert json.loads(Path(site["activity"]).read_text())["round"] == 2


def test_an_edit_of_the_kit_holds_from_the_next_order_on(ask, site, tmp_path):
    assert unpack_receipt(ask()).code == "ok"
    kit = Path(site["kit"], "kit.yaml")
    before = kit.read_text()
    kit.write_text(before.replace("image_size: null", "image_size: 16"))
    assert kit.read_text() != before
    receipt = unpack_receipt(ask(2))
    assert receipt.reason.startswith("the site's owner does not allow what the run asks for")
    log = (tmp_path / "client.log").read_text()
    assert "clients.egress: a handler failed" in log
    assert "LimitError" in log
