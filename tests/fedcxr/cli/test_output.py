"""What cannot be shown ends nothing: encodings, closed streams, readers and terminals that go."""

import codecs
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fedcxr.cli.output import PLAIN, plain_signs
from fedcxr.data.synthetic.write import write_synthetic

COMMAND = [sys.executable, "-m", "fedcxr"]


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return write_synthetic(tmp_path_factory.mktemp("out"), patients=30, size_px=48, workers=1)


@pytest.fixture(scope="module")
def damaged(clean, tmp_path_factory):
    copy = Path(shutil.copytree(clean, tmp_path_factory.mktemp("bad") / clean.name))
    next((copy / "train").rglob("*frontal.jpg")).unlink()
    return copy


def fedcxr(*arguments, shell="", cwd, **environment):
    """Run the command by a shell, which can close and redirect its streams."""
    line = ["bash", "-c", f'"$@" {shell}', "bash", *COMMAND, *map(str, arguments)]
    return subprocess.run(
        line, cwd=cwd, capture_output=True, timeout=60, env={**os.environ, **environment}
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "ascii:strict", "utf-8"])
def test_a_report_is_told_in_any_encoding(damaged, tmp_path, encoding):
    # row 37 of the bad-input table
    done = fedcxr("check-data", damaged, "--workers", 1, cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 3
    told = done.stdout.decode(encoding.partition(":")[0])
    mark = "✗" if encoding == "utf-8" else "x"
    assert f"\n{mark} Missing images: 1\n" in "\n".join(map(str.rstrip, told.split("\n")))
    assert done.stderr == b""


def test_boxes_are_drawn_in_ascii_where_there_are_no_others(clean, tmp_path):
    done = fedcxr(
        "partition", clean, "--out", "P", "--clients", 2, cwd=tmp_path, PYTHONIOENCODING="ascii"
    )
    assert done.returncode == 0
    assert "| site-00 |" in done.stdout.decode("ascii")


def test_signs_that_an_encoding_lacks_are_written_plainly():
    codecs.register_error(PLAIN, plain_signs)

    def written(text, encoding):
        return text.encode(encoding, PLAIN)

    assert written("0.1–0.2 … ✗ · “a” ‘b’ → ×", "ascii") == b"0.1-0.2 ... x - \"a\" 'b' -> x"
    assert written("胸 é", "ascii") == b"? ?"
    assert written("é ×", "latin-1") == "é ×".encode("latin-1")  # it has them
    assert written("Kl\udce4r", "utf-8") == "Kl\ufffdr".encode()
    assert written("Kl\udce4r", "ascii") == b"Kl?r"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_with_streams_closed_the_files_and_the_exit_code_are_right(damaged, tmp_path, closed):
    # row 37 of the bad-input table
    done = fedcxr(
        "check-data", damaged, "--json", "a.json", "--html", "a.html", shell=closed, cwd=tmp_path
    )
    assert done.returncode == 3
    assert json.loads((tmp_path / "a.json").read_text())["is_clean"] is False
    assert (tmp_path / "a.html").read_text("utf-8").endswith("</html>\n")  # nothing printed into it


@pytest.mark.parametrize("more", [["--json", "a.json"], ["--json", "-"]], ids=" ".join)
def test_a_reader_that_stops_reading_ends_nothing(damaged, tmp_path, more):
    done = fedcxr(
        *("check-data", damaged, "--html", "a.html", *more),
        shell="| true; exit ${PIPESTATUS[0]}",
        cwd=tmp_path,
    )
    assert done.returncode == 3
    assert (tmp_path / "a.html").exists()
    assert b"Traceback" not in done.stderr
    assert b"fedcxr:" not in done.stderr


def test_a_disk_that_is_full_behind_a_redirection_is_one_sentence(damaged, tmp_path):
    done = fedcxr("check-data", damaged, "--json", "a.json", shell=">/dev/full", cwd=tmp_path)
    assert done.returncode == 3
    assert json.loads((tmp_path / "a.json").read_text())["is_clean"] is False
    assert done.stderr.decode() == (
        "fedcxr: the output cannot be written (No space left on device); "
        "the rest of it is left out.\n"
    )
    done = fedcxr("check-data", damaged, shell=">/dev/full 2>/dev/full", cwd=tmp_path)
    assert done.returncode == 3


def test_a_terminal_that_goes_away_ends_nothing(damaged, tmp_path):
    ours, theirs = pty.openpty()
    # nohup and setsid leave a command running whose terminal is gone: writing to it is an error
    process = subprocess.Popen(
        [*COMMAND, "check-data", str(damaged), "--json", "a.json"],
        cwd=tmp_path,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.close(ours)
    assert process.wait(60) == 3
    assert (tmp_path / "a.json").exists()


SLOW_READER = """
import os, sys, threading, time
from fedcxr.cli.output import secure_output
reads, writes = os.pipe()
os.set_blocking(writes, False)
os.dup2(writes, 1)
secure_output()
got = []
def read():
    time.sleep(0.2)
    while len(got) < 10:
        got.append(os.read(reads, 2**20))
        if b"".join(got).endswith(b"END"):
            return
thread = threading.Thread(target=read)
thread.start()
print("x" * 200_000 + "END", end="", flush=True)
thread.join(20)
sys.stderr.write(str(len(b"".join(got))))
sys.stderr.flush()
os._exit(0)
"""


def test_a_pipe_that_is_full_for_a_moment_is_waited_for():
    # Another program can set the pipe that it shares with us not to block; it holds 65,536 bytes.
    done = subprocess.run(
        [sys.executable, "-c", SLOW_READER], capture_output=True, timeout=60, text=True
    )
    assert done.stderr == "200003"
