"""A user's own script, checked as strictly as ours."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

RIGHT = """
import fedcxr
from fedcxr.trackers.protocol import RoundNumbers, RunEnd, RunStart


class Mine:
    def on_start(self, start: RunStart) -> None:
        print(start.run)

    def on_round(self, numbers: RoundNumbers) -> None:
        print(numbers.metrics["val_macro_auroc"])

    def on_end(self, end: RunEnd) -> None:
        print(end.status)


def study(folder: str) -> float:
    check: fedcxr.DataCheck = fedcxr.check_data(folder, labels_only=True)
    made = fedcxr.partition(out="plan", data=folder, clients=3, scheme="by-source")
    run: fedcxr.Result = fedcxr.simulate(
        data=folder, partition=made.path, labels=["Edema"], rounds=2, tracker=Mine(),
        set={"train.loss": "focal"},
    )
    found = fedcxr.compare(clients=3, arm={"prox": {"algorithm.name": "fedprox"}})
    print(found.figures["x"].svg, found.report.name, check.is_clean)
    return float(run.rounds["val_loss"].max())
"""

WRONG = """
import fedcxr

fedcxr.simulate(round=3)
fedcxr.simulate(rounds="three")
"""


def check(tmp_path, text):
    script = tmp_path / "mine.py"
    script.write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml"]
    return subprocess.run(
        [*command, str(script)], cwd=ROOT, capture_output=True, text=True, timeout=600
    )


@pytest.mark.slow
def test_a_users_script_is_typed(tmp_path):
    done = check(tmp_path, RIGHT)
    assert done.returncode == 0, done.stdout
    done = check(tmp_path, WRONG)
    assert 'Unexpected keyword argument "round"' in done.stdout
    assert 'has incompatible type "str"; expected "int | None"' in done.stdout


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "fedcxr" / "py.typed").is_file()
