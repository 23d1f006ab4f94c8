import contextlib
import errno
import fcntl
import json
import math
import os
import threading
import time

import pytest

from fedcxr.errors import ArtefactError, StorageError
from fedcxr.runs import RunFolder


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "runs", "trial")


def test_a_new_folder_is_named_by_time_and_name(run):
    assert run.name.endswith("-trial")
    assert run.name[8] == "-"
    assert run.name[:8].isdigit()
    assert sorted(p.name for p in run.path.iterdir()) == ["checkpoints", "gradcam"]


def test_runs_of_the_same_second_get_different_names(tmp_path):
    names = [RunFolder.create(tmp_path, "trial").name for _ in range(12)]
    assert len(set(names)) == 12
    assert len(list(tmp_path.iterdir())) == 12


def test_a_folder_without_a_manifest_is_no_run(tmp_path):
    with pytest.raises(ArtefactError, match=r"not a run folder \(no manifest\.json\)\. Give the"):
        RunFolder.open(tmp_path)
    with pytest.raises(ArtefactError, match="not a run folder"):
        RunFolder.open(tmp_path / "none")


def test_a_run_can_be_opened_again(run):
    run.write_json("manifest.json", {"status": "running"})
    assert RunFolder.open(run.path) == run


def test_numbers_that_json_cannot_hold_become_null(run):
    tree = {"a": math.nan, "b": [math.inf, 1.5, (-math.inf,)], "c": {"d": math.nan}, "e": None}
    run.write_json("x.json", tree)
    expected = {"a": None, "b": [None, 1.5, [None]], "c": {"d": None}, "e": None}
    assert run.read_json("x.json") == expected
    assert "NaN" not in (run.path / "x.json").read_text()


def test_lines_are_appended_and_read_back(run):
    run.append("rounds.jsonl", {"round": 1, "loss": math.nan})
    run.append("rounds.jsonl", {"round": 2, "site": "Hôpital Ü"})
    assert run.read_lines("rounds.jsonl") == [
        {"round": 1, "loss": None},
        {"round": 2, "site": "Hôpital Ü"},
    ]


def test_a_log_that_is_not_there_has_no_lines(run):
    assert run.read_lines("rounds.jsonl") == []


@pytest.mark.parametrize("torn", [b'{"round": 2, "lo', b"{", b'{"site": "caf\xc3'])
def test_a_last_line_cut_off_by_a_crash_is_dropped(run, torn):
    run.append("rounds.jsonl", {"round": 1})
    with (run.path / "rounds.jsonl").open("ab") as log:
        log.write(torn)
    assert run.read_lines("rounds.jsonl") == [{"round": 1}]


def test_a_log_of_one_torn_line_is_empty(run):
    (run.path / "rounds.jsonl").write_bytes(b'{"round": 1')
    assert run.read_lines("rounds.jsonl") == []


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c", "\r"])
def test_a_sign_that_some_take_for_a_line_end_does_not_break_the_log(run, mark):
    # A site's reason is foreign text; it must not make the log unreadable.
    run.append("rounds.jsonl", {"reason": f"one{mark}two"})
    run.append("rounds.jsonl", {"round": 2})
    assert run.read_lines("rounds.jsonl") == [{"reason": f"one{mark}two"}, {"round": 2}]


def test_a_log_can_be_written_anew(run):
    run.append("rounds.jsonl", {"round": 1})
    run.replace_lines("rounds.jsonl", [{"round": 7, "loss": math.inf}, {"round": 8}])
    assert run.read_lines("rounds.jsonl") == [{"round": 7, "loss": None}, {"round": 8}]


def test_events_carry_their_kind_and_time(run):
    run.event("round_started", round=3, cohort=["site-00"])
    (event,) = run.read_lines("events.jsonl")
    assert (event["event"], event["round"], event["cohort"]) == ("round_started", 3, ["site-00"])
    assert event["time"] > 1.6e9


def test_the_manifest_is_changed_field_by_field(run):
    run.write_json("manifest.json", {"status": "running", "seed": 1})
    run.update_manifest(status="finished", why="done")
    assert run.read_json("manifest.json") == {"status": "finished", "seed": 1, "why": "done"}


def test_a_missing_file_says_to_finish_the_run(run):
    with pytest.raises(ArtefactError, match=r"summary\.json: missing\. Finish the run first"):
        run.read_json("summary.json")


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"{", "not JSON"), (b"\xff\xfe", "not JSON"), (b"[1, 2]", "expected a JSON object")],
)
def test_a_damaged_file_is_named(run, data, words):
    (run.path / "summary.json").write_bytes(data)
    with pytest.raises(ArtefactError, match=words):
        run.read_json("summary.json")


def test_a_file_is_replaced_whole_or_not_at_all(run, monkeypatch):
    run.write_json("manifest.json", {"status": "running"})

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        run.write_json("manifest.json", {"status": "finished"})
    assert json.loads((run.path / "manifest.json").read_text()) == {"status": "running"}
    assert [p.name for p in run.path.glob("*manifest*")] == ["manifest.json"]


def test_a_run_is_written_by_one_process_at_a_time(run):
    with run.lock():
        with pytest.raises(ArtefactError, match="another process is writing this run"), run.lock():
            pass
        with pytest.raises(ArtefactError), RunFolder(run.path).lock():
            pass
    with run.lock():
        pass  # free again


def test_a_lock_is_waited_for_as_long_as_was_said(run):
    with run.lock():
        begun = time.monotonic()
        with pytest.raises(ArtefactError, match="another process"), run.lock(wait_s=0.3):
            pass
        assert 0.3 <= time.monotonic() - begun < 5.0


def test_a_lock_that_becomes_free_meanwhile_is_taken(run):
    held = contextlib.ExitStack()
    held.enter_context(run.lock())
    timer = threading.Timer(0.2, held.close)
    timer.start()
    with run.lock(wait_s=20.0), pytest.raises(ArtefactError), run.lock():
        pass
    timer.join()


def test_a_run_that_failed_is_free_again(run):
    with pytest.raises(ValueError, match="broken"), run.lock():
        raise ValueError("broken")
    with run.lock():
        pass


def test_a_disk_without_locks_is_not_called_another_process(run, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    words = rf"^{run.path}: this disk knows no file locks .*--runs-dir"
    with pytest.raises(ArtefactError, match=words), run.lock(wait_s=5.0):
        pass


LATIN = "/data/Thorax-Kl\udce4ren"


def test_names_that_are_no_utf8_are_kept_in_files_that_are(run):
    run.write_json("manifest.json", {"command": ["fedcxr", LATIN], "site": "Hôpital"})
    run.append("rounds.jsonl", {"data": LATIN})
    run.event("preparing", data=LATIN)
    for file in ("manifest.json", "rounds.jsonl", "events.jsonl"):
        (run.path / file).read_bytes().decode("utf-8")
    assert run.read_json("manifest.json") == {"command": ["fedcxr", LATIN], "site": "Hôpital"}
    assert [line["data"] for line in run.read_lines("rounds.jsonl")] == [LATIN]
    assert [line["data"] for line in run.read_lines("events.jsonl")] == [LATIN]
    run.replace_lines("rounds.jsonl", [{"data": LATIN}])
    assert run.read_lines("rounds.jsonl") == [{"data": LATIN}]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_names_the_log_and_leaves_no_half_line(run, monkeypatch, number):
    run.append("rounds.jsonl", {"round": 1})

    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"rounds\.jsonl: cannot be written .*Make room"):
        run.append("rounds.jsonl", {"round": 2})
    assert (run.path / "rounds.jsonl").read_bytes() == b'{"round": 1}\n'


def test_a_runs_folder_of_any_name_can_be_used(tmp_path):
    for name in ("Kl\udce4ren", "two\nlines", "[bold]'\"", "x" * 250):
        run = RunFolder.create(tmp_path / name, "trial")
        run.write_json("manifest.json", {"status": "running"})
        with run.lock():
            assert RunFolder.open(run.path) == run
