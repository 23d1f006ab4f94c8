"""What is done to which run, what must come of it, and one trial for real."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from fedcxr.cli.main import cli
from fedcxr.experiments import chaos
from fedcxr.experiments.chaos import Outcome
from fedcxr.experiments.chaos_faults import FAULTS, ROUNDS, SITES, Fault, draw_faults, judge

SERVER = Fault("SuperLink killed", "site-00", 1, 0.5, 3.0)
CLIENT = replace(SERVER, kind="node killed")


def rounds(*missing, why="no answer within 30 s"):
    """Return the lines of a run in whose second round these sites are missing."""
    lines = [{"round": 0, "sites": [], "missing": [], "refused": []}]
    for number in range(1, ROUNDS + 1):
        away = missing if number == 2 else ()
        lines.append(
            {
                "round": number,
                "sites": [{"site_id": site} for site in SITES if site not in away],
                "missing": [{"site_id": site, "reason": why} for site in away],
                "refused": [],
            }
        )
    return lines


def test_every_kind_comes_once_before_one_comes_twice():
    drawn = draw_faults(2 * len(FAULTS), seed=3)
    first, second = drawn[: len(FAULTS)], drawn[len(FAULTS) :]
    assert {fault.kind for fault in first} == {fault.kind for fault in second} == set(FAULTS)
    assert draw_faults(2 * len(FAULTS), seed=3) == drawn
    assert draw_faults(3, seed=4) != drawn[:3]
    assert all(0 <= fault.round_num <= ROUNDS for fault in drawn)


def test_a_run_with_all_sites_and_the_same_weights_passes():
    assert judge(rounds(), SERVER, is_equal=True) == []
    assert judge(rounds(), CLIENT, is_equal=True) == []


def test_a_disturbed_client_may_be_missing_if_the_round_says_why():
    assert judge(rounds("site-00"), CLIENT, is_equal=False) == []
    assert judge(rounds("site-00", why=""), CLIENT, is_equal=False) == ["round 2 does not say why"]


@pytest.mark.parametrize(
    ("lines", "fault", "is_equal", "words"),
    [
        (rounds(), SERVER, False, "other weights than the undisturbed run"),
        (rounds(), CLIENT, False, "other weights than the undisturbed run"),
        (rounds("site-00"), SERVER, False, "site-00 was missing"),
        (rounds("site-01"), CLIENT, False, "site-01 was missing"),
        (rounds()[:-1], SERVER, True, "rounds [0, 1, 2]"),
        ([*rounds()[:-1], {**rounds()[3], "sites": []}], SERVER, True, "round 3 does not tell"),
    ],
)
def test_what_is_not_as_it_must_be_is_told(lines, fault, is_equal, words):
    assert words in judge(lines, fault, is_equal=is_equal)[0]


@pytest.mark.parametrize(("faults", "code", "mark"), [((), 0, "✓"), (("it hangs",), 6, "✗ it han")])
def test_a_trial_that_fails_ends_with_code_6(tmp_path, monkeypatch, faults, code, mark):
    def run_chaos(trials, seed, folder, on_outcome):
        found = [Outcome(1, SERVER, faults, True, 0, 21.5, 70.0)]
        on_outcome(found[0])
        return found

    monkeypatch.setattr(chaos, "run_chaos", run_chaos)
    done = CliRunner().invoke(cli, ["chaos", "--trials", "1", "--out", str(tmp_path / "out")])
    assert mark in done.output
    assert "SuperLink killed" in done.output
    assert (getattr(done.exception, "exit_code", 0) if done.exception else 0) == code


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "mine").touch()
    done = CliRunner().invoke(cli, ["chaos", "--out", str(tmp_path)])
    assert "is there already" in str(done.exception)
