"""What a client notes of what it does, and how the line of its status says it."""

import threading
import time

import pytest
from flwr.app import Context, Message, RecordDict, UserConfig

from clients.activity import noted
from fedcxr.cli.site_line import SiteLine, status_words
from fedcxr.deploy.site_status import Connected, read_status, status_told
from fedcxr.wire import ORDER, Order, pack_order

pytestmark = pytest.mark.usefixtures("flower")


@pytest.fixture
def message():
    order = Order("a-run", 3, "a-nonce", "a-digest", "{}", 0.1)
    return Message(RecordDict({ORDER: pack_order(order)}), dst_node_id=1, message_type="train")


def context_of(**node):
    return Context(7, 1, UserConfig(node), RecordDict(), UserConfig())


def test_an_order_is_noted_while_it_is_carried_out_and_after_it(message, tmp_path):
    file, begun, seen = tmp_path / "sites" / "activity.json", time.time(), []

    def handler(message, context):
        seen.append(read_status(file, "site-00", begun))
        return message

    context = context_of(activity=str(file))
    assert noted("training", handler)(message, context) is message
    assert (seen[0].run, seen[0].round_num, seen[0].doing) == ("a-run", 3, "training")
    after = read_status(file, "site-00", begun)
    assert (after.run, after.doing) == ("a-run", "")
    # what was noted before the client connected is of another start
    assert read_status(file, "site-00", time.time() + 1).run == ""


def test_without_a_place_nothing_is_written_and_a_bad_one_stops_nothing(message, tmp_path):
    handler = noted("training", lambda message, context: message)
    assert handler(message, context_of()) is message
    (tmp_path / "file").write_text("")
    assert handler(message, context_of(activity=str(tmp_path / "file" / "x"))) is message
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"since": "x"}', "\xff"])
def test_a_note_that_cannot_be_read_is_none(text, tmp_path):
    (tmp_path / "note").write_text(text, "latin-1")
    assert read_status(tmp_path / "note", "site-00", 0.0) == Connected("site-00", 0.0)
    assert read_status(tmp_path / "none", "site-00", 0.0) == Connected("site-00", 0.0)


def test_a_pipe_gets_a_line_for_each_change(capsys):
    line, now = SiteLine(), Connected("site-00", 0.0)
    for doing in ("", "", "training", "training", ""):
        line.status(Connected("site-00", 0.0, "a-run", 2, doing))
    line.status(now)
    said = capsys.readouterr().out.splitlines()
    assert [one.split(" · ", 1)[1] for one in said] == [
        "a-run, round 2 · waits for an order",
        "a-run, round 2 · training",
        "a-run, round 2 · waits for an order",
        "waits for an order",
    ]
    assert "\x1b" not in "".join(said)


def test_a_terminal_gets_one_line_that_changes_in_place(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    line = SiteLine()
    training = Connected("site-00", 0.0, "a-run", 2, "training", time.time() - 61)
    line.status(training)
    line.status(training)
    line.print("a line that stays")
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert said.count("\r\x1b[2K" + status_words(training) + " (1:01)") == 2
    assert said.endswith("\r\x1b[2Ka line that stays\n")


def test_round_0_is_before_training():
    said = status_words(Connected("site-00", 0.0, "a-run", 0, "opening its data"))
    assert said.endswith(" · a-run · opening its data")


def test_what_a_client_does_is_told_until_it_ends(tmp_path):
    seen = []
    with status_told(tmp_path / "note", "site-00", seen.append):
        end = time.monotonic() + 10
        while not seen:
            assert time.monotonic() < end
            time.sleep(0.01)
    told = len(seen)
    assert (seen[0].site, seen[0].doing) == ("site-00", "")
    assert not [one for one in threading.enumerate() if one.name == "site-status"]
    assert len(seen) == told
