import json
import threading
from dataclasses import replace

import pytest

from fedcxr.runs.folder import RunFolder
from fedcxr.runs.known_runs import KnownRun, known_runs, register_run


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDCXR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def run(tmp_path):
    made = RunFolder.create(tmp_path / "runs", "trial")
    made.write_json("manifest.json", {"cache_digest": "c" * 32, "partition_digest": "p" * 24})
    return made


def test_a_run_is_found_again_with_what_it_needs(run, home):
    register_run(run)
    register_run(run, flower_run_id="1234")
    first, second = known_runs()
    assert first.path == run.path
    assert (first.cache_digest, first.partition_digest) == ("c" * 32, "p" * 24)
    assert first.flower_run_id is None
    assert second == replace(first, flower_run_id="1234", created=second.created)
    assert len((home / "runs.jsonl").read_bytes().splitlines()) == 2


def test_the_folder_is_noted_whole_even_if_it_was_given_from_here(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    register_run(RunFolder(run.path.relative_to(tmp_path)))
    assert known_runs()[0].path == run.path


def test_a_folder_of_any_name_is_found_again(tmp_path, home):
    for name in ("Kl\udce4ren", "two\nlines"):
        run = RunFolder.create(tmp_path / name, "trial")
        run.write_json("manifest.json", {"cache_digest": "c", "partition_digest": "p"})
        register_run(run)
        assert known_runs()[-1].path == run.path
    (home / "runs.jsonl").read_text("utf-8")


def test_without_a_registry_no_run_is_known():
    assert known_runs() == []


@pytest.mark.parametrize("line", [b"{", b"[]", b"7", b'{"folder": "/x"}', b"\xff", b""])
def test_a_line_that_is_none_is_passed_over(run, home, line):
    register_run(run)
    with (home / "runs.jsonl").open("ab") as file:
        file.write(line + b"\n")
    register_run(run)
    assert [known.path for known in known_runs()] == [run.path, run.path]


def test_what_a_later_version_adds_to_a_line_is_passed_over(run, home):
    register_run(run)
    tree = json.loads((home / "runs.jsonl").read_text())
    (home / "runs.jsonl").write_text(json.dumps({**tree, "more": 1}) + "\n")
    assert isinstance(known_runs()[0], KnownRun)


def test_many_runs_can_be_noted_at_once(run):
    threads = [threading.Thread(target=register_run, args=(run,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(known_runs()) == 16


def test_a_registry_that_cannot_be_written_costs_no_run(run, home, caplog):
    home.write_text("a file in the place of the home folder")
    register_run(run)
    assert "this run is not noted" in caplog.text
