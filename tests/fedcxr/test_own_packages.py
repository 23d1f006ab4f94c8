"""Files of the user that have the names of our packages, or of standard modules."""

import subprocess
import sys
from pathlib import Path

import pytest

from fedcxr.own_packages import NAMES, ROOT, own_search_path

RAN = 'raise SystemExit("THE FILE OF THE USER RAN")'
USERS = ("clients.py", "server.py", "random.py", "queue.py", "numpy.py", "fedcxr.py")
TINY = [
    *("--clients", "2", "--rounds", "1", "--image-size", "32", "--quiet", "--workers", "2"),
    *("--set", "data.synthetic.patients=60", "--set", "data.synthetic.size_px=48"),
    *("--set", "explain.max_boxes=0"),
]


def run_python(*arguments, cwd):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def folder(tmp_path):
    """A working folder full of files with names that we and our libraries use."""
    for name in USERS:
        (tmp_path / name).write_text(RAN)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [[], pytest.param(["--engine", "ray"], marks=pytest.mark.long)],
    ids=["local", "ray"],
)
def test_a_run_searches_nothing_in_the_working_folder(folder, more):
    # row 35 of the bad-input table
    # -P: as the installed command does, Python itself leaves the working folder out
    code = "from fedcxr.cli.main import command; command()"
    done = run_python("-P", "-c", code, "simulate", *TINY, *more, cwd=folder)
    assert (done.returncode, "RAN" in done.stdout + done.stderr) == (0, False), done.stderr


def test_python_m_fedcxr_leaves_the_working_folder_out(folder):
    (folder / "fedcxr.py").unlink()  # that one Python itself would run
    done = run_python("-m", "fedcxr", "--version", cwd=folder)
    assert (done.returncode, done.stdout[:6]) == (0, "fedcxr"), done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_script_beside_such_a_file_gets_our_package_and_a_word(name, tmp_path):
    # row 35 of the bad-input table
    (tmp_path / f"{name}.py").write_text(RAN)
    (tmp_path / "run.py").write_text(f"import fedcxr\nimport {name}\nprint({name}.__file__)\n")
    done = run_python("run.py", cwd=tmp_path)
    assert done.stdout.strip() == str(ROOT / name / "__init__.py"), done.stderr
    assert f"{tmp_path / name}.py is not imported: fedcxr has a package" in done.stderr


def test_a_script_that_imported_its_own_first_is_told_which_file(tmp_path):
    (tmp_path / "server.py").write_text("x = 1")
    (tmp_path / "run.py").write_text("import server\nimport fedcxr\n")
    done = run_python("run.py", cwd=tmp_path)
    assert done.returncode == 1
    assert f"ConfigError: {tmp_path / 'server.py'} was imported as 'server'" in done.stderr


def test_our_processes_search_our_root_first_and_no_folder_of_the_user(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), ".", *sys.path])
    found = own_search_path()
    assert found[0] == str(ROOT)
    assert str(tmp_path) not in found
    assert all(Path(place).is_absolute() for place in found)
    assert len(set(found)) == len(found)
