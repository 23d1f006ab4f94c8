import pytest
from typer.testing import CliRunner

from fedcxr.cli.main import cli
from fedcxr.errors import ConfigError

SITE = ["privacy", "account", "--patients", "500", "--batch", "50", "--delta", "1e-4"]


def ask(*words):
    done = CliRunner().invoke(cli, [*SITE, *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_a_noise_is_answered_with_both_epsilons_and_what_they_are_of():
    code, said = ask("--noise", "1.5", "--rounds", "5", "--steps", "10")
    assert code == 0
    assert said.startswith("500 patients, 50 a step on average (q = 0.1), 50 steps, δ = 0.0001\n")
    row = said.splitlines()[3].split()
    assert row[0] == "1.5"
    assert float(row[2]) < float(row[1]) < 10
    assert "Of one patient, with all images" in said
    assert "the server as well" in said
    assert "no run of it has an ε" in said


def test_an_epsilon_is_answered_with_a_noise_by_each_accountant():
    code, said = ask("--epsilon", "8", "--epochs", "20", "--batch", "500")
    assert code == 0
    assert "20 steps" in said
    by_rdp, by_prv = (line.split() for line in said.splitlines()[3:5])
    assert float(by_rdp[1]) == pytest.approx(8.0, rel=0.02)
    assert float(by_prv[2]) == pytest.approx(8.0, rel=0.02)
    assert float(by_prv[0]) < float(by_rdp[0])


def test_what_was_not_computed_is_said():
    _, said = ask("--noise", "0.3", "--epochs", "500")
    assert said.splitlines()[3].split()[2] == "–"
    assert "–: PRV is not computed for an ε above 100" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--epochs", "2"], "Give one of --noise and --epsilon"),
        (["--epochs", "2", "--noise", "1", "--epsilon", "3"], "Give one of --noise and --epsilon"),
        (["--noise", "1"], "Give --epochs, or --rounds with --steps"),
        (["--noise", "1", "--rounds", "2"], "Give --epochs, or --rounds with --steps"),
        (["--noise", "1", "--epochs", "2", "--steps", "2"], "Give --epochs, or --rounds with"),
        (["--noise", "1", "--rounds", "-2", "--steps", "-3"], "--rounds -2 --steps -3: expected"),
        (["--noise", "1", "--epochs", "-2"], "No step is taken"),
        (["--noise", "0", "--epochs", "2"], "--noise 0: expected"),
        (["--epsilon", "0", "--epochs", "2"], "--epsilon 0: expected"),
        (["--noise", "1", "--epochs", "2", "--delta", "0.002"], "--delta 0.002: expected"),
        (["--noise", "1", "--epochs", "2", "--batch", "501"], "--batch 501: expected"),
    ],
)
def test_what_cannot_be_is_refused_with_exit_code_2(words, told):
    with pytest.raises(ConfigError, match=told) as refused:
        ask(*words)
    assert refused.value.exit_code == 2
