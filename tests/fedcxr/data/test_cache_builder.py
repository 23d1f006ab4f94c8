"""A cache is the same to the byte however it was built: by how many, and in how many goes."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from fedcxr.data.cache import builder as cache_builder
from fedcxr.data.cache import lock, pool
from fedcxr.data.cache.journal import JOURNAL, Journal, Ledger
from fedcxr.data.cache.rows import Decoded
from fedcxr.data.cache.store import build_cache
from fedcxr.errors import ArtefactError, RunError

NUM_IMAGES = 60
SIZE_PX = 32
BAD = (7, 31)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of images, two of them bad, and their items."""
    root = tmp_path_factory.mktemp("pictures")
    rng, items = np.random.default_rng(0), []
    for number in range(NUM_IMAGES):
        name = f"{number}.{'png' if number % 2 else 'jpg'}"
        Image.fromarray(rng.integers(0, 255, (40, 48), dtype=np.uint8)).save(root / name)
        items.append((f"{number:016x}", name))
    for number in BAD:
        (root / items[number][1]).write_bytes(b"<html>")
    return root, items


@pytest.fixture(scope="module")
def whole(pictures, tmp_path_factory):
    """The bytes of a cache built in one go."""
    folder = tmp_path_factory.mktemp("whole") / "cache"
    build(pictures, folder, workers=1)
    return bytes_of(folder)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(pool, "CHUNK", 4)


@pytest.fixture
def processes(monkeypatch, small_chunks):
    """Little work goes to processes too."""
    monkeypatch.setattr(pool, "PROCESSES_PAY_S", -1.0)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "shelf" / "cache"


def build(pictures, folder, *, workers=2, **options):
    root, items = pictures
    fixed = {"size_px": SIZE_PX, "max_bad_fraction": 0.1}
    return build_cache(items, root, **fixed, workers=workers, folder=folder, **options)


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def beside(target):
    return sorted(path.name for path in target.parent.iterdir())


def at(phase, act, done=0):
    """Return what does `act` once, when the phase has come so far."""
    acted = []

    def watch(now, so_far, total):
        if now == phase and so_far >= done and not acted:
            acted.append(now)
            act()

    return watch


def interrupt():
    raise KeyboardInterrupt


def flip(path, offset):
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 255]))


def test_a_cache_has_these_four_files_and_no_others(whole):
    assert sorted(whole) == ["cache.json", "images.u8", "index.csv", "quarantine.csv"]
    head = json.loads(whole["cache.json"])
    assert (head["rows"], head["images"], head["bad"]) == (60, 58, 2)
    assert len(whole["images.u8"]) == 60 * 32 * 32


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_threads_make_the_same_bytes(pictures, whole, target, small_chunks, workers):
    build(pictures, target, workers=workers)
    assert bytes_of(target) == whole
    assert beside(target) == ["cache"]


@pytest.mark.parametrize("workers", [2, 3])
def test_processes_make_the_same_bytes(pictures, whole, target, processes, workers, monkeypatch):
    started, start = [], pool._start
    monkeypatch.setattr(pool, "_start", lambda job: started.append(start(job)) or started[-1])
    steps = []
    build(pictures, target, workers=workers, watch=lambda *step: steps.append(step))
    assert bytes_of(target) == whole
    assert beside(target) == ["cache"]
    assert [worker.process.returncode for worker in started] == [0] * workers
    assert [step for step in steps if step[0] == "decoding"][-1] == ("decoding", 60, 60)
    assert steps[-1] == ("verifying", 60, 60)


@pytest.mark.parametrize(("phase", "done"), [("decoding", 0), ("decoding", 17), ("verifying", 0)])
def test_an_interrupted_build_goes_on_to_the_same_bytes(
    pictures, whole, target, processes, phase, done
):
    with pytest.raises(KeyboardInterrupt):
        build(pictures, target, watch=at(phase, interrupt, done))
    assert beside(target) == ([".building-cache"] if done or phase == "verifying" else [])
    steps = []
    build(pictures, target, workers=3, watch=lambda *step: steps.append(step))
    assert bytes_of(target) == whole
    assert beside(target) == ["cache"]
    first = next(step for step in steps if step[0] == "decoding")
    assert first[1] >= done  # nothing is decoded twice


def test_what_was_interrupted_at_the_very_end_is_only_moved(pictures, whole, target, monkeypatch):
    monkeypatch.setattr(cache_builder, "move_into_place", lambda *_: interrupt())
    with pytest.raises(KeyboardInterrupt):
        build(pictures, target)
    assert beside(target) == [".building-cache"]
    monkeypatch.undo()
    build(pictures, target, watch=lambda *_: pytest.fail("built again"))
    assert bytes_of(target) == whole


def journal_of(target):
    return target.parent / ".building-cache" / JOURNAL


def cut_short(pictures, target):
    """Leave a build that was interrupted with most of its images done."""
    with pytest.raises(KeyboardInterrupt):
        build(pictures, target, watch=at("decoding", interrupt, 40))
    return journal_of(target)


def decoded(start, rows, **facts):
    """Return a line of rows, by default of JPEG files that were all decoded."""
    defaults = {"png_bits": 16, "used_bits": (0,) * rows, "crc32": (7,) * rows}
    defaults |= {"contents": ("",) * rows, "bad": ()}
    return Decoded(start, **(defaults | facts))


def tear_the_last_line(journal):
    os.truncate(journal, journal.stat().st_size - 5)


def garble_a_line(journal):
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[4] = b'{"start":0,"png_bits":16,"used_bits":[],"crc32":[1],"contents":[],"bad":[]}\n'
    journal.write_bytes(b"".join(lines))


def name_rows_that_are_not(journal):
    with journal.open("ab") as file:
        file.write(decoded(58, 3).to_line().encode() + b"\n")


def change_a_pixel(journal):
    flip(journal.parent / "images.u8", 5 * 32 * 32)


def cut_the_images(journal):
    os.truncate(journal.parent / "images.u8", 20 * 32 * 32 + 7)


def empty_the_journal(journal):
    journal.write_bytes(b"")


@pytest.mark.parametrize(
    "damage",
    [
        tear_the_last_line,
        garble_a_line,
        name_rows_that_are_not,
        change_a_pixel,
        cut_the_images,
        empty_the_journal,
    ],
)
def test_a_damaged_rest_is_mended(pictures, whole, target, small_chunks, damage):
    damage(cut_short(pictures, target))
    build(pictures, target)
    assert bytes_of(target) == whole


def test_the_rest_of_another_cache_is_thrown_away(pictures, whole, target, small_chunks, tmp_path):
    root, items = pictures
    with pytest.raises(KeyboardInterrupt):
        build((root, items[:50]), target, watch=at("decoding", interrupt, 40))
    steps = []
    build(pictures, target, watch=lambda *step: steps.append(step))
    assert steps[0] == ("decoding", 0, 60)
    assert bytes_of(target) == whole


def test_what_is_not_read_back_as_written_stops_and_is_decoded_anew(
    pictures, whole, target, small_chunks
):
    building = target.parent / ".building-cache"
    damage = at("verifying", lambda: flip(building / "images.u8", 9 * 32 * 32))
    with pytest.raises(
        ArtefactError, match=r"1 of 60 images read back are not .*: rows 9. The disk"
    ):
        build(pictures, target, watch=damage)
    assert not target.exists()
    build(pictures, target)
    assert bytes_of(target) == whole


BUILDER = """
import json, sys, time
from pathlib import Path
from fedcxr.data.cache import pool
from fedcxr.data.cache.store import build_cache
root, items, folder, pause = json.loads(sys.argv[1])
pool.CHUNK, at_once = 4, pool.decode_rows
def slowly(*arguments, **options):
    time.sleep(pause)
    return at_once(*arguments, **options)
pool.decode_rows = slowly
build_cache(items, Path(root), size_px=32, max_bad_fraction=0.1, workers=1, folder=Path(folder))
"""


@pytest.fixture
def start_builder(pictures, target):
    """Start a process that builds the cache, with a pause in seconds before each four images."""
    root, items = pictures
    started = []

    def start(pause):
        order = json.dumps([str(root), items, str(target), pause])
        started.append(subprocess.Popen([sys.executable, "-c", BUILDER, order]))
        return started[-1]

    yield start
    for builder in started:
        builder.kill()
        builder.wait(10)


def wait_for(holds, seconds=20.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def lines_of(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_killed_builder_is_gone_on_from_to_the_same_bytes(pictures, whole, target, start_builder):
    builder = start_builder(0.1)
    wait_for(lambda: lines_of(journal_of(target)) >= 4)
    builder.kill()
    assert builder.wait(10) == -signal.SIGKILL
    steps = []
    build(pictures, target, watch=lambda *step: steps.append(step))
    assert steps[0][0] == "checking"
    assert next(step for step in steps if step[0] == "decoding")[1] >= 12
    assert bytes_of(target) == whole
    assert beside(target) == ["cache"]


def test_of_two_started_at_once_one_builds_and_both_have_it(whole, target, start_builder):
    builders = [start_builder(0.01), start_builder(0.01)]
    assert [builder.wait(30) for builder in builders] == [0, 0]
    assert bytes_of(target) == whole
    assert beside(target) == ["cache"]


def test_who_waits_sees_how_far_it_is_and_takes_over_if_it_dies(
    pictures, whole, target, start_builder
):
    builder, steps = start_builder(0.1), []
    wait_for(lambda: lines_of(journal_of(target)) >= 3)

    def watch(phase, done, total):
        steps.append((phase, done, total))
        if phase == "waiting" and done >= 12:
            builder.kill()

    build(pictures, target, watch=watch)
    assert steps[0][0] == "waiting"
    assert steps[0][2] == 60
    assert "decoding" in [phase for phase, _, _ in steps]
    assert bytes_of(target) == whole
    assert beside(target) == ["cache"]


def test_who_waited_for_a_whole_cache_decodes_nothing(pictures, whole, target, start_builder):
    start_builder(0.03)
    wait_for(lambda: lines_of(journal_of(target)) >= 3)
    phases, progress = set(), []
    build(
        pictures,
        target,
        watch=lambda phase, *_: phases.add(phase),
        progress=lambda *step: progress.append(step),
    )
    assert phases == {"waiting"}
    assert progress
    assert bytes_of(target) == whole


def test_a_builder_that_stands_still_is_named(pictures, target, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE_S", 0.3)
    target.parent.mkdir()
    with (target.parent / ".building-cache.lock").open("w") as held:
        held.write("4711 decoding 5 60")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ArtefactError, match=r"holds it \(4711\) .* has not got on for 0.3 s"):
            build(pictures, target)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EIO])
def test_a_disk_without_locks_is_told(pictures, target, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    words = "knows no file locks" if number == errno.ENOLCK else "cannot be written"
    with pytest.raises(ArtefactError, match=words):
        build(pictures, target)


def test_a_killed_process_is_named_and_what_it_did_is_kept(
    pictures, whole, target, processes, monkeypatch
):
    started, start = [], pool._start
    monkeypatch.setattr(pool, "_start", lambda job: started.append(start(job)) or started[-1])
    kill = at("decoding", lambda: started[0].process.kill(), 20)
    with pytest.raises(
        RunError, match=r"Decoding process \d+ was killed by SIGKILL, .* start it again"
    ) as caught:
        build(pictures, target, watch=kill)
    assert str(started[0].process.pid) in str(caught.value)
    assert all(worker.process.returncode is not None for worker in started)
    monkeypatch.undo()
    steps = []
    build(pictures, target, watch=lambda *step: steps.append(step))
    assert next(step for step in steps if step[0] == "decoding")[1] >= 20
    assert bytes_of(target) == whole


def test_a_process_that_does_not_start_is_told(pictures, target, processes, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(RunError, match=r"cannot be started \(No such file or directory\)"):
        build(pictures, target)


def some_job(tmp_path, path):
    (tmp_path / "images.u8").write_bytes(bytes(32 * 32))
    return pool.DecodeJob(tmp_path / "images.u8", 32, 16, lambda rows: [path for _ in rows])


def test_a_process_that_ends_by_itself_leaves_its_last_words(tmp_path):
    job = some_job(tmp_path, "x.png")
    (tmp_path / "images.u8").unlink()
    with pytest.raises(RunError, match=r"ended with exit code 1 \(FileNotFoundError: .*in rows 0"):
        list(pool.in_processes(job, iter([range(1)]), 1))


@pytest.mark.parametrize("decode", [pool.in_threads, pool.in_processes])
def test_a_decoder_that_fails_names_the_file(tmp_path, decode):
    # a name that no system call takes: neither missing nor unreadable
    job = some_job(tmp_path, "a\0b.png")
    with pytest.raises(RunError, match=r"a\x00b.png: decoding broke off with ValueError: .*Report"):
        list(decode(job, iter([range(1)]), 1))


def test_a_process_that_never_answers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "STALL_S", 0.5)
    os.mkfifo(tmp_path / "pipe")  # whoever reads it waits for a writer
    job = some_job(tmp_path, str(tmp_path / "pipe"))
    with pytest.raises(RunError, match=r"No decoding process answered for 0.5 s: process \d+, in"):
        list(pool.in_processes(job, iter([range(1)]), 1))


FULL_DISK = """
import json, resource, sys
from pathlib import Path
from fedcxr.data.cache import builder, pool
from fedcxr.data.cache.store import build_cache
from fedcxr.errors import ArtefactError
root, items, folder, notices_late, pays = json.loads(sys.argv[1])
pool.CHUNK, pool.PROCESSES_PAY_S = 4, pays
if notices_late:  # as a disk that cannot take blocks beforehand
    builder.make_room = lambda images, size: images.touch()
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
options = {"size_px": 32, "max_bad_fraction": 0.1, "workers": 2, "folder": Path(folder)}
try:
    build_cache(items, Path(root), **options)
except ArtefactError as err:
    print(err)
"""


@pytest.mark.parametrize("has_call", [False, True], ids=["system", "disk"])
def test_where_no_blocks_can_be_taken_beforehand_it_works_too(
    pictures, whole, target, monkeypatch, has_call
):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    if has_call:
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    else:
        monkeypatch.delattr(os, "posix_fallocate")
    build(pictures, target)
    assert bytes_of(target) == whole


@pytest.mark.parametrize(
    ("notices_late", "pays"), [(False, 3.0), (True, 3.0), (True, -1.0)], ids=str
)
def test_a_full_disk_is_told_with_what_is_needed(pictures, target, whole, notices_late, pays):
    root, items = pictures
    order = json.dumps([str(root), items, str(target), notices_late, pays])
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, order], capture_output=True, text=True, timeout=60
    )
    assert (
        "the cache cannot be written (File too large); it needs 0.00 GB. Make room" in done.stdout
    )
    assert done.stderr == ""
    # what was decoded is kept to go on with; where there was no room at all, nothing
    assert beside(target) == ([".building-cache"] if notices_late else [])
    build(pictures, target)
    assert bytes_of(target) == whole


FULL = pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT], ids=["disk", "quota"])


def complaint_when_full(number, target):
    return (
        rf"{target}: the cache cannot be written \({os.strerror(number)}\); it needs .* Make room "
        r"on this disk \(in your quota, if that is full\) or set FEDCXR_HOME to another"
    )


@FULL
@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite", "fsync", "mkdir"])
def test_a_full_disk_and_a_full_quota_are_told_wherever_they_are_met(
    pictures, whole, target, monkeypatch, number, call
):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(ArtefactError, match=complaint_when_full(number, target)):
        build(pictures, target)
    monkeypatch.undo()
    build(pictures, target)
    assert bytes_of(target) == whole


@FULL
def test_what_a_decoding_process_cannot_write_is_told_too(pictures, target, monkeypatch, number):
    refused = json.dumps({"errno": number, "why": os.strerror(number)}).encode() + b"\n"

    class FullProcess(socket.socket):
        """Answers whatever it is asked that there is no room."""

        def recv(self, *_):
            return refused

    monkeypatch.setattr(pool, "PROCESSES_PAY_S", -1.0)
    monkeypatch.setattr(socket, "socket", FullProcess)
    with pytest.raises(ArtefactError, match=complaint_when_full(number, target)):
        build(pictures, target)


@FULL
def test_a_full_folder_for_temporary_files_is_not_taken_for_the_cache(
    pictures, target, monkeypatch, number
):
    def refuse():
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pool, "PROCESSES_PAY_S", -1.0)
    monkeypatch.setattr(pool.tempfile, "TemporaryFile", refuse)
    words = rf"temporary file \({os.strerror(number)}\). Make room .* or set TMPDIR to another"
    with pytest.raises(RunError, match=words):
        build(pictures, target)


class FullFile:
    """A file on a disk with room for half a line."""

    def write(self, line):
        """Write the half."""
        return len(line) // 2

    def close(self):
        """Nothing is open."""


def test_a_journal_that_cannot_grow_is_a_full_disk(tmp_path):
    with Journal(tmp_path, Ledger(1), digest="d") as journal:
        journal._file.close()
        journal._file = FullFile()
        with pytest.raises(OSError, match="No space left on device"):
            journal.append(decoded(0, 1))


def test_rows_that_are_left_are_found_as_runs():
    ledger = Ledger(10)
    assert ledger.todo() == [range(10)]
    ledger.done[[0, 1, 5]] = True
    assert ledger.todo() == [range(2, 5), range(6, 10)]
    ledger.done[:] = True
    assert ledger.todo() == []


def test_decoding_anew_takes_a_row_out_of_quarantine():
    ledger = Ledger(3)
    one, two, three = (number * 32 for number in "123")
    first = decoded(0, 3, crc32=(1, 2, 3), contents=("", two, three), bad=((0, "empty file"),))
    ledger.enter(first)
    ledger.enter(decoded(0, 1, crc32=(9,), contents=(one,)))
    assert ledger.bad == {}
    assert ledger.crc32.tolist() == [9, 2, 3]
    assert ledger.contents.astype(str).tolist() == [one, two, three]


def test_files_that_were_scaled_by_another_depth_are_not_done():
    ledger = Ledger(4)
    ledger.enter(decoded(0, 2, used_bits=(0, 12), png_bits=12))
    ledger.enter(decoded(2, 2, used_bits=(13, 9), png_bits=13))
    assert ledger.png_bits() == 13
    ledger.undo_other_depths()
    assert ledger.todo() == [range(1, 2)]


def test_a_decoding_process_starts_light():
    code = (
        "import sys, fedcxr.data.cache.decoding_process\n"
        "print({'torch', 'pandas', 'flwr', 'pydantic', 'pydicom'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "set()\n", done.stderr


def test_a_decoding_process_ends_with_its_parent(tmp_path):
    (tmp_path / "images.u8").write_bytes(bytes(32 * 32))
    command = [sys.executable, "-m", "fedcxr.data.cache.decoding_process"]
    command += [str(tmp_path / "images.u8"), "32", "16"]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    worker.stdin.write(json.dumps({"start": 0, "paths": ["none.png"]}).encode() + b"\n")
    worker.stdin.flush()
    assert Decoded.from_line(worker.stdout.readline()).bad == ((0, "missing"),)
    worker.stdin.close()
    assert worker.wait(10) == 0
    worker.stdout.close()
