import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.processes import marked
from benchmarks.result import (
    Result,
    Row,
    Table,
    load,
    run_as_command,
    save,
    spread,
    table_lines,
    to_markdown,
)


def found(**changes):
    fields = {
        "name": "tiny",
        "title": "A tiny thing",
        "command": "python -m benchmarks.tiny",
        "short": False,
        "rows": [Row("speed", "≥ 2", "3.0", met=True), Row("size", "", "7 MB")],
        "tables": [Table("All arms", ["arm", "s"], [["a", "1.0"]])],
        "notes": ["On one core."],
        "figures": {"speed": [3.0]},
    }
    return Result(**{**fields, **changes})


def test_markdown_has_the_command_the_rows_the_tables_and_the_notes():
    assert to_markdown(found()) == (
        "## A tiny thing\n\n"
        "```bash\npython -m benchmarks.tiny\n```\n\n"
        "| what | goal | found | met |\n| --- | --- | --- | --- |\n"
        "| speed | ≥ 2 | 3.0 | yes |\n| size |  | 7 MB |  |\n\n"
        "All arms\n\n| arm | s |\n| --- | --- |\n| a | 1.0 |\n\n"
        "- On one core.\n"
    )


def test_a_short_form_says_so_in_its_heading():
    assert to_markdown(found(short=True)).startswith("## A tiny thing (short form)\n")


def test_a_goal_without_a_verdict_is_not_missed():
    assert not found(rows=[Row("speed", "≥ 2", "1.0")]).missed
    assert found(rows=[Row("speed", "≥ 2", "1.0", met=False)]).missed


def test_an_error_in_a_cell_does_not_end_its_line():
    assert table_lines(["what"], [["a | b\nc"]])[-1] == r"| a \| b c |"


def test_spread_is_the_median_with_the_lowest_and_highest():
    assert spread([3.0, 1.0, 2.0], digits=1) == "2.0 (1.0 to 3.0)"
    assert spread([4.0]) == "4.00"


def test_a_saved_result_is_read_back_with_its_machine_and_versions(tmp_path):
    file = save(found(), tmp_path / "new")
    result, rest = load(file)
    assert file.name == "tiny.json"
    assert to_markdown(result) == to_markdown(found())
    assert result.figures == {"speed": [3.0]}
    assert rest["machine"]["cores"] >= 1
    assert "torch" in rest["versions"]


@pytest.mark.parametrize(("met", "code"), [(True, 0), (None, 0), (False, 1)])
def test_a_command_prints_saves_and_exits_by_its_goals(met, code, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tiny", "--short", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        run_as_command(lambda short: found(short=short, rows=[Row("a", "b", "c", met)]), "Tiny.")
    assert end.value.code == code
    assert "A tiny thing (short form)" in capsys.readouterr().out
    assert json.loads((tmp_path / "tiny.json").read_text())["short"] is True


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_benchmark_that_is_ended_ends_what_it_has_started(tmp_path, number):
    code = f"""
import sys, time
from pathlib import Path
from benchmarks.processes import started
from benchmarks.result import run_as_command

HOME = Path({str(tmp_path)!r})

def measure(short):
    with started([sys.executable, "-c", "import time; time.sleep(600)"], HOME, HOME / "log"):
        print("on", flush=True)
        time.sleep(600)

run_as_command(measure, "Waits.")
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as ended:
        assert ended.stdout.readline() == "on\n"
        assert len(marked(tmp_path)) == 1
        os.kill(ended.pid, number)
        assert ended.wait(30) == 130
    end = time.monotonic() + 10
    while marked(tmp_path) and time.monotonic() < end:
        time.sleep(0.05)
    assert marked(tmp_path) == []
