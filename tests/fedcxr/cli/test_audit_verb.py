import json

import pytest
from typer.testing import CliRunner

from fedcxr.cli.main import cli
from fedcxr.errors import ConfigError, RunError
from fedcxr.experiments import audit_dp

# the Gaussian mechanism in one step: ε ≈ 2, and quick
QUICK = ["audit", "dp", "--patients", "1000", "--batch", "1000", "--steps", "1", "--delta", "1e-5"]


def ask(tmp_path, *words):
    told = CliRunner().invoke(cli, [*QUICK, "--out", str(tmp_path / "audit.json"), *words])
    if told.exception is not None and not isinstance(told.exception, SystemExit):
        raise told.exception
    return told.exit_code, told.output


def test_an_audit_prints_what_is_claimed_what_was_guessed_and_the_power(tmp_path):
    code, said = ask(tmp_path, "--noise", "2.01")
    assert code == 0
    assert "1,000 canaries among 1,000 patients, 1,000 a step on average (q = 1)" in said
    assert "Claimed ε: 2.15 by RDP, 1.99 by PRV." in said
    row = next(line for line in said.splitlines() if line.startswith("as it is"))
    assert "of 200" in row
    assert "0 of 1" in row
    assert json.loads((tmp_path / "audit.json").read_text("utf-8"))["format"] == 1


def test_a_broken_mechanism_is_found(tmp_path):
    code, said = ask(tmp_path, "--noise", "2.01", "--broken", "server-seed")
    assert code == 0
    row = next(line for line in said.splitlines() if line.startswith("noise from the run's seed"))
    assert "(broken)" in row
    assert "1 of 1" in row
    assert "100.0 %" in row


def test_a_contradicted_epsilon_ends_with_exit_code_6(tmp_path, monkeypatch):
    broken = audit_dp.BROKEN["no-noise"]
    monkeypatch.setattr(audit_dp, "AS_IT_IS", broken)
    with pytest.raises(RunError, match="The mechanism's ε is contradicted in 1 of 1") as refused:
        ask(tmp_path, "--noise", "2.01")
    assert refused.value.exit_code == 6
    assert (tmp_path / "audit.json").is_file()  # what there is to report


def test_a_breach_that_is_not_found_though_it_must_be_ends_with_exit_code_6(tmp_path, monkeypatch):
    monkeypatch.setitem(audit_dp.BROKEN, "no-noise", audit_dp.AS_IT_IS)
    monkeypatch.setattr(audit_dp, "power", lambda *_: 1.0)
    with pytest.raises(RunError, match="found in 0 of 1 audits, though the power is 100"):
        ask(tmp_path, "--noise", "2.01", "--broken", "no-noise")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--noise", "1", "--epsilon", "2"], "Give one of --noise and --epsilon"),
        (["--broken", "sloppy"], "--broken sloppy: expected one of no-noise, quarter-noise"),
        (["--broken", "no-noise", "--all"], "Give one of --all and --broken"),
        (["--epsilon", "0"], "--epsilon 0: expected"),
        (["--noise", "0"], "--noise 0: expected"),
        (["--delta", "0.001"], "--delta 0.001: expected"),
        (["--patients", "0"], "--patients 0: expected at least 1"),
        (["--noise", "2", "--canaries", "1001"], "--canaries 1001: expected 1 to 1,000"),
        (["--noise", "2", "--guesses", "0"], "--guesses 0: expected 1 to 1,000"),
    ],
)
def test_what_cannot_be_is_refused_with_exit_code_2(tmp_path, words, told):
    with pytest.raises(ConfigError, match=told) as refused:
        ask(tmp_path, *words)
    assert refused.value.exit_code == 2
    assert not (tmp_path / "audit.json").exists()
