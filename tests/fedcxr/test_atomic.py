import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from fedcxr.atomic import (
    append_line,
    remove_unfinished,
    write_bytes_atomically,
    write_text_atomically,
)
from fedcxr.errors import StorageError


def test_a_name_as_long_as_a_name_can_be_is_written(tmp_path):
    file = tmp_path / ("x" * 250 + ".html")  # 255 bytes: a longer temporary name would not do
    write_bytes_atomically(file, b"page")
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_bytes() == b"page"


def test_a_longer_name_is_refused_in_words(tmp_path):
    with pytest.raises(StorageError, match="Choose a shorter name"):
        write_bytes_atomically(tmp_path / ("x" * 256), b"page")
    assert list(tmp_path.iterdir()) == []


def test_text_is_valid_utf8_whatever_file_names_are_in_it(tmp_path):
    write_text_atomically(tmp_path / "page.html", os.fsdecode(b"<p>Kl\xe4ren</p>"))
    assert (tmp_path / "page.html").read_text("utf-8") == "<p>Kl\ufffdren</p>"


@pytest.mark.parametrize("name", ["Kl\udce4ren", "two\nlines", "[bold]'\"&", "ä" * 120])
def test_folders_of_any_name_are_made(tmp_path, name):
    write_bytes_atomically(tmp_path / name / "a", b"1")
    assert (tmp_path / name / "a").read_bytes() == b"1"


def test_a_full_disk_names_the_file_and_not_the_temporary_one(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"/page\.html: cannot be written \(No space left"):
        write_text_atomically(tmp_path / "page.html", "x")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    code = """
import os, sys
from pathlib import Path
from fedcxr.atomic import write_bytes_atomically
os.fsync = lambda handle: os._exit(9)
write_bytes_atomically(Path(sys.argv[1]), b"page")
"""
    write_bytes_atomically(tmp_path / "kept", b"1")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "page")])
    assert done.returncode == 9
    assert len(list(tmp_path.iterdir())) == 2
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_lines_are_appended(tmp_path):
    for line in ("one", "two é"):
        append_line(tmp_path / "log", line, sync=True)
    assert (tmp_path / "log").read_text("utf-8") == "one\ntwo é\n"


def test_a_line_that_a_disk_takes_half_of_is_taken_back(tmp_path):
    # A real short write: the process may make no file of more than 10 bytes.
    code = """
import sys
from pathlib import Path
from fedcxr.atomic import append_line
from fedcxr.errors import StorageError
log = Path(sys.argv[1])
append_line(log, "12345", sync=True)
try:
    append_line(log, "67890", sync=True)
except StorageError as err:
    print(err)
"""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "log")],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{tmp_path}/log: cannot be written (File too large)")
    assert Path(tmp_path / "log").read_bytes() == b"12345\n"
