import sys
import textwrap
from pathlib import Path

import pytest

from benchmarks import run_all as module
from benchmarks.page import NAMES
from benchmarks.result import load
from benchmarks.run_all import run_all

MODULES = {
    "good": """
        from benchmarks.result import Result, Row, run_as_command
        row = Row("speed", "≥ 2", "3.0", met=True)
        run_as_command(lambda short: Result("good", "Good", "good", short, rows=[row]), "Good.")
    """,
    "misses": """
        from benchmarks.result import Result, Row, run_as_command
        row = Row("speed", "≥ 2", "1.0", met=False)
        run_as_command(lambda short: Result("misses", "Misses", "m", short, rows=[row]), "Misses.")
    """,
    "fails": "raise RuntimeError('no such thing')",
    "hangs": "import time; time.sleep(600)",
}


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """A package of benchmarks that import nothing heavy, below a folder of their own."""
    package = tmp_path / "fakes"
    package.mkdir()
    for name, text in MODULES.items():
        (package / f"{name}.py").write_text(textwrap.dedent(text))
    root = str(Path(module.__file__).parent.parent)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    monkeypatch.setattr(module, "OUT", tmp_path / "logs")
    return tmp_path / "out"


def run(names, out, *, short=True, limit_s=60.0):
    return run_all(dict.fromkeys(names, limit_s), out, short=short, package="fakes")


def test_one_that_fails_is_told_and_the_next_one_runs(fakes):
    assert run(["fails", "good"], fakes) is True
    failed, _ = load(fakes / "fails.json")
    assert failed.rows[0].found.startswith("did not end: exit status 1: ")
    assert failed.rows[0].found.endswith("RuntimeError: no such thing")
    good, _ = load(fakes / "good.json")
    assert (good.short, good.rows[0].met) == (True, True)


def test_a_missed_goal_is_no_failure_but_it_is_missed(fakes):
    assert run(["good"], fakes) is False
    assert run(["misses"], fakes, short=False) is True
    result, _ = load(fakes / "misses.json")
    assert (result.short, result.rows[0].found) == (False, "1.0")


def test_one_that_hangs_is_stopped_and_told(fakes):
    assert run(["hangs"], fakes, short=False, limit_s=1.0) is True
    result, _ = load(fakes / "hangs.json")
    assert result.rows[0].found == "did not end: stopped after 1 s"


def test_what_one_short_form_leaves_over_the_next_one_has(fakes):
    # 0.001 s alone would not do; the first one's 60 s are hardly used
    assert run_all({"good": 60.0, "misses": 0.001}, fakes, short=True, package="fakes") is True
    assert load(fakes / "misses.json")[0].rows[0].found == "1.0"


def test_the_short_forms_may_take_ten_minutes_together():
    assert sum(module.SHORT_S.values()) < 600


def test_every_benchmark_that_is_run_has_its_place_on_the_page():
    assert {*module.SHORT_S, *module.LONG_S} == set(NAMES)


def test_write_only_runs_nothing_and_writes_the_page(monkeypatch):
    written = []
    monkeypatch.setattr(sys, "argv", ["run_all", "--write-only"])
    monkeypatch.setattr(module, "write_page", lambda: written.append("page"))
    monkeypatch.setattr(module, "run_all", lambda *_, **__: pytest.fail("ran"))
    with pytest.raises(SystemExit) as end:
        module.main()
    assert (end.value.code, written) == (0, ["page"])


def test_a_name_that_is_no_benchmark_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run_all", "--short", "--only", "soak", "speed"])
    with pytest.raises(SystemExit, match="2"):
        module.main()
    assert "not among evaluation, judging, digests" in capsys.readouterr().err
