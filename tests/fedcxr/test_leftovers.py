import fcntl
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedcxr import leftovers
from fedcxr.cli.main import cli
from fedcxr.data.cache.writer import FORMAT as CACHE_FORMAT
from fedcxr.data.images.decode import DECODER
from fedcxr.home import site_state
from fedcxr.leftovers import Reason, disk_bytes, find_leftovers, linked_shelves, remove
from fedcxr.runs.folder import RunFolder
from fedcxr.runs.known_runs import register_run
from partitions.plan_folder import FORMAT as PLAN_FORMAT

DAY_S = 86400


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home folder with what must never be removed in it."""
    folder = tmp_path / "home"
    monkeypatch.setenv("FEDCXR_HOME", str(folder))
    for name in ("patient.key", "precision.json", "notes.txt", "synthetic/ab/x", "own/x"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"keep me")
    return folder


@pytest.fixture
def cache(home):
    """Make a cache that is so many days old."""

    def make(letter, *, days=0.0, name=None, **head):
        folder = home / "cache" / (name or letter * 32)
        folder.mkdir(parents=True)
        (folder / "images.u8").write_bytes(bytes(100_000))
        tree = {"format": CACHE_FORMAT, "decoder": DECODER, **head}
        (folder / "cache.json").write_text(json.dumps(tree))
        age(folder, days)
        return folder

    return make


@pytest.fixture
def run(tmp_path):
    """Begin a run with a cache, and note it."""

    def make(name, letter, status="finished", flower_run_id=None):
        made = RunFolder.at(tmp_path / "runs" / name)
        tree = {"cache_digest": letter * 32, "partition_digest": "p", "status": status}
        made.write_json("manifest.json", tree)
        register_run(made, flower_run_id=flower_run_id)
        return made

    return make


def age(folder, days):
    """Make a folder and the files in it so many days old."""
    then = folder.stat().st_mtime - days * DAY_S
    for path in (*folder.iterdir(), folder):
        os.utime(path, (then, then), follow_symlinks=False)


def named(found):
    return {one.path.name: one.reason for one in found}


def test_an_empty_home_folder_has_nothing_to_remove():
    assert find_leftovers() == []


def test_a_cache_goes_when_all_its_runs_are_gone_and_stays_while_one_is_there(cache, run):
    cache("a"), cache("b")
    gone, stays = run("one", "a"), run("two", "b")
    run("three", "b")
    assert find_leftovers() == []
    shutil.rmtree(gone.path)
    shutil.rmtree(stays.path)
    assert named(find_leftovers()) == {"a" * 32: Reason.RUNS_GONE}


def test_a_run_that_went_on_with_another_cache_needs_that_one(cache, run):
    # a resumed run whose cache was made anew says so in its manifest
    cache("a", days=90), cache("b", days=90)
    made = run("one", "a")
    made.update_manifest(cache_digest="b" * 32)
    assert find_leftovers() == []


def test_a_cache_of_no_known_run_goes_by_its_age(cache):
    cache("a", days=29), cache("b", days=31)
    (one,) = find_leftovers()
    assert (one.path.name, one.reason) == ("b" * 32, Reason.NO_RUN)
    assert one.days == pytest.approx(31, abs=0.01)
    assert named(find_leftovers(older_than_days=7)) == dict.fromkeys(
        ("a" * 32, "b" * 32), Reason.NO_RUN
    )
    assert find_leftovers(older_than_days=365) == []


@pytest.mark.parametrize("head", [{"format": CACHE_FORMAT - 1}, {"decoder": "another"}])
def test_a_cache_of_another_version_goes_though_a_run_had_it(cache, run, head):
    cache("a", **head)
    run("one", "a")
    assert named(find_leftovers()) == {"a" * 32: Reason.OTHER_VERSION}


@pytest.mark.parametrize("head", [{}, {"format": 1}])
def test_what_a_running_run_uses_is_left_alone(cache, run, head):
    cache("a", days=90, **head)
    made = run("one", "a", status="running")
    with made.lock():
        assert find_leftovers() == []
    # killed: it still says running, and holds no lock
    expected = {"a" * 32: Reason.OTHER_VERSION} if head else {}
    assert named(find_leftovers()) == expected


def test_an_unfinished_cache_goes_after_a_day_unless_it_is_held(cache, home):
    cache("a", name=".building-" + "a" * 32, days=0.9)
    cache("b", name=".building-" + "b" * 32, days=1.1)
    (home / "cache" / f".building-{'b' * 32}.lock").touch()
    assert named(find_leftovers()) == {".building-" + "b" * 32: Reason.UNFINISHED}
    with (home / "cache" / f".building-{'b' * 32}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert find_leftovers() == []


def test_a_cache_whose_builders_lock_is_held_is_left_alone(cache, home):
    cache("a", days=90)
    with (home / "cache" / f".building-{'a' * 32}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert find_leftovers() == []


def test_what_a_removal_has_put_aside_goes(cache):
    cache("a", name=".damaged-x", days=2), cache("b", name=".removed-x", days=2)
    cache("c", name=".removed-y")  # perhaps it is going on
    assert named(find_leftovers()) == {".damaged-x": Reason.ASIDE, ".removed-x": Reason.ASIDE}


def test_partitions_of_another_format_go(home):
    for name, tree in (("old", {"format": PLAN_FORMAT - 1}), ("new", {"format": PLAN_FORMAT})):
        (home / "partitions" / name).mkdir(parents=True)
        (home / "partitions" / name / "plan.json").write_text(json.dumps(tree))
    (home / "partitions" / "strange").mkdir()
    assert named(find_leftovers()) == {"old": Reason.OTHER_VERSION}


def test_logs_and_states_of_sites_go_with_their_run(home, run):
    gone, there = run("one", "a", flower_run_id="11"), run("two", "b", flower_run_id="22")
    for name in ("logs/one.log", "logs/two.log", "logs/unknown.log"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text("text")
    for name in ("11", "22", "33"):
        (home / "site-state" / name / "run").mkdir(parents=True)
    assert find_leftovers() == []
    shutil.rmtree(gone.path)
    assert named(find_leftovers()) == dict.fromkeys(("one.log", "11"), Reason.RUNS_GONE)
    # another run of the name, in another folder, keeps the log that they share
    other = RunFolder.at(there.path.parent / "elsewhere" / "one")
    other.write_json("manifest.json", {"cache_digest": "c", "partition_digest": "p"})
    register_run(other)
    assert named(find_leftovers()) == {"11": Reason.RUNS_GONE}


def test_the_vaes_of_a_runs_sites_go_with_the_run(home, run):
    gone, there = run("one", "a"), run("two", "b")
    for made in (gone, there):
        (site_state(made.path) / "site-00").mkdir(parents=True)
    assert find_leftovers() == []
    shutil.rmtree(gone.path)
    assert named(find_leftovers()) == {site_state(gone.path).name: Reason.RUNS_GONE}


@pytest.mark.parametrize("status", ["finished", "running", "interrupted", "failed"])
def test_the_state_in_a_run_folder_goes_when_the_run_is_finished(run, status):
    made = run("one", "a", status=status)
    (made.path / "site-state" / "one").mkdir(parents=True)
    (made.path / "site-state" / "one" / "round-00001.safetensors").write_bytes(bytes(5000))
    expected = {"site-state": Reason.RUN_FINISHED} if status == "finished" else {}
    assert named(find_leftovers()) == expected


def test_what_is_not_known_is_left_alone(home, cache, run):
    cache("a", days=90, name="my-own-folder")
    cache("a", days=90, name=("A" * 32))
    (home / "cache" / ("c" * 32)).mkdir()  # no cache.json: perhaps it is somebody's
    (home / "cache" / "README").write_text("text")
    (home / "logs").mkdir()
    (home / "logs" / "x.txt").write_text("text")
    assert find_leftovers(older_than_days=0) == []


def test_a_run_that_cannot_be_looked_for_is_not_gone(cache, run, monkeypatch):
    cache("a")
    made = run("one", "a")
    exists = Path.exists

    def guarded(path, **options):
        if path == made.path:
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path, **options)

    monkeypatch.setattr(Path, "exists", guarded)
    assert find_leftovers() == []


def test_the_size_is_what_the_files_take(cache, tmp_path):
    folder = cache("a", days=90)
    (tmp_path / "large").write_bytes(bytes(10**7))
    (folder / "link").symlink_to(tmp_path / "large")
    age(folder, 90)
    (one,) = find_leftovers()
    # as `du` counts, which is asked
    told = subprocess.run(["du", "-s", "-B1", folder], capture_output=True, check=True).stdout
    assert one.bytes == disk_bytes(folder) == int(told.split()[0])
    assert 100_000 <= one.bytes < 10**6


def test_removal_takes_what_is_named_and_nothing_else(home, cache, run):
    cache("a", days=90), cache("b")
    cache("c", name=".building-" + "c" * 32, days=2)
    (home / "cache" / f".building-{'c' * 32}.lock").touch()
    made = run("one", "b")
    (made.path / "site-state").mkdir()
    before = {path for path in home.rglob("*") if "cache" not in path.parts}
    for one in find_leftovers():
        assert remove(one)
    assert [path.name for path in (home / "cache").iterdir()] == ["b" * 32]
    assert {path for path in home.rglob("*") if "cache" not in path.parts} == before
    assert not (made.path / "site-state").exists()
    assert find_leftovers() == []


def test_a_link_is_removed_and_what_it_leads_to_stays(home, cache, run, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "images.u8").write_bytes(b"keep me")
    (outside / "cache.json").write_text(json.dumps({"format": 0, "decoder": "x"}))
    (home / "cache").mkdir()
    (home / "cache" / ("a" * 32)).symlink_to(outside)  # not looked into: its format does not count
    assert find_leftovers(older_than_days=0) == []
    gone = run("one", "a")
    shutil.rmtree(gone.path)
    inside = cache("b", days=90)
    (inside / "link").symlink_to(outside)
    age(inside, 90)
    there = run("two", "c")
    (there.path / "site-state").symlink_to(outside)
    found = find_leftovers()
    assert named(found) == {
        "a" * 32: Reason.RUNS_GONE,
        "b" * 32: Reason.NO_RUN,
        "site-state": Reason.RUN_FINISHED,
    }
    assert all(map(remove, found))
    assert sorted(path.name for path in outside.iterdir()) == ["cache.json", "images.u8"]
    assert list((home / "cache").iterdir()) == []
    assert not os.path.lexists(there.path / "site-state")


def test_a_folder_of_the_home_folder_that_is_a_link_is_not_looked_into(home, cache, tmp_path):
    cache("a", days=90)
    (home / "cache").rename(tmp_path / "elsewhere")
    (home / "cache").symlink_to(tmp_path / "elsewhere")
    assert find_leftovers() == []
    assert linked_shelves() == [home / "cache"]


def test_what_somebody_begins_to_use_meanwhile_is_left(home, cache):
    folder = cache("a", days=90)
    (one,) = find_leftovers()
    with (home / "cache" / f".building-{'a' * 32}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not remove(one)
    assert (folder / "cache.json").exists()


def test_a_removal_that_breaks_off_leaves_no_half_cache(home, cache, monkeypatch):
    cache("a", days=90)
    (one,) = find_leftovers()

    def broken(path):
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(leftovers.shutil, "rmtree", broken)
    with pytest.raises(OSError, match="Input/output"):
        remove(one)
    (left,) = [path for path in (home / "cache").iterdir() if path.is_dir()]
    assert left.name.startswith(".removed-")


def clean(*arguments):
    done = CliRunner().invoke(cli, ["clean", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_the_verb_shows_and_removes_only_with_yes(home, cache, run):
    cache("a", days=40), cache("b", days=3)
    done = clean()
    assert done.exit_code == 0
    assert f"cache/{'a' * 32}: no run is known to use it, and it is 40 days old" in done.stdout
    assert "b" * 32 not in done.stdout
    assert done.stdout.splitlines()[-1].split(maxsplit=2)[2] == (
        "in all; nothing is removed yet: add --yes"
    )
    assert (home / "cache" / ("a" * 32)).exists()
    assert "b" * 32 in clean("--older-than", "2").stdout
    done = clean("--yes")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1].endswith("in all, removed")
    assert not (home / "cache" / ("a" * 32)).exists()
    assert clean().stdout.splitlines() == [f"Home folder: {home}", "Nothing to remove."]
    for name in ("patient.key", "precision.json", "notes.txt", "synthetic/ab/x", "own/x"):
        assert (home / name).read_bytes() == b"keep me"


def test_the_verb_gives_each_reason_in_words(monkeypatch, cache):
    cache("a", days=40)
    (one,) = find_leftovers()
    every = [replace(one, reason=reason) for reason in Reason]
    monkeypatch.setattr(leftovers, "find_leftovers", lambda days: every)
    words = [line.partition(": ")[2] for line in clean().stdout.splitlines()[1:-1]]
    assert len(set(words)) == len(Reason)
    assert all(words)


def test_what_cannot_be_removed_is_told_and_the_rest_is_removed(home, cache, monkeypatch):
    cache("a", days=40), cache("b", days=40)

    def forbidden(one):
        if one.path.name == "a" * 32:
            raise PermissionError(13, "Permission denied", str(one.path))
        return remove(one)

    monkeypatch.setattr(leftovers, "remove", forbidden)
    done = clean("--yes")
    assert done.exit_code == 6
    assert f"{home}/cache/{'a' * 32}: cannot be removed (Permission denied)." in done.stderr
    assert not (home / "cache" / ("b" * 32)).exists()


def test_the_verb_says_what_it_does_not_look_into(home, tmp_path):
    (home / "logs").symlink_to(tmp_path)
    assert f"Not looked into, since it is a link: {home}/logs" in clean().stdout
