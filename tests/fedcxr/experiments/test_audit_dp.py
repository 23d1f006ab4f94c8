import json
from dataclasses import replace

import pytest

from fedcxr.experiments.audit_dp import (
    AS_IT_IS_NAME,
    Audit,
    Audited,
    all_variants,
    audit_mechanisms,
    claimed_epsilon,
    write_audits,
)
from fedcxr.privacy.accounting import Account, Sampling
from fedcxr.privacy.audit import Guesses, epsilon_lower_bound
from fedcxr.privacy.breaches import BROKEN
from fedcxr.privacy.trial import Trial

# one step that takes everybody: the Gaussian mechanism, ε ≈ 2, and quick
TRIAL = Trial(Sampling(patients=1_000, batch=1_000, steps=1, delta=1e-5), 2.01)
# ten steps of a quarter, at ε ≈ 2
SAMPLED = Trial(Sampling(patients=1_000, batch=250, steps=10, delta=1e-5), 2.03)


def audited(trial, numbers):
    return {each.name: each for each in audit_mechanisms(trial, numbers, 0)}


def test_the_step_as_it_is_is_not_contradicted_and_every_broken_one_is_found():
    found = audited(TRIAL, {AS_IT_IS_NAME: 5, **dict.fromkeys(BROKEN, 3)})
    assert found[AS_IT_IS_NAME].contradicted == 0
    assert found[AS_IT_IS_NAME].power < 0.01
    for name in BROKEN:
        assert found[name].power >= 0.99, name
        assert found[name].contradicted == 3, name
    assert all(each.is_as_it_should_be for each in found.values())


def test_sampled_steps_are_audited_too():
    found = audited(SAMPLED, {AS_IT_IS_NAME: 2, "no-noise": 1, "mean-clipping": 1})
    assert found[AS_IT_IS_NAME].contradicted == 0
    assert found["no-noise"].contradicted == found["mean-clipping"].contradicted == 1


def test_the_audits_of_the_step_as_it_is_are_not_idle():
    # a mechanism with its noise is still told from nothing at all: ε̂ is well above 0
    found = audited(TRIAL, {AS_IT_IS_NAME: 5})[AS_IT_IS_NAME]
    assert min(audit.lower_bound for audit in found.audits) > 0.1


def test_each_look_has_half_of_the_error():
    audit = audited(TRIAL, {AS_IT_IS_NAME: 1})[AS_IT_IS_NAME].audits[0]
    guesses = Guesses(1_000, 200, audit.right)
    assert audit.lower_bound == epsilon_lower_bound(guesses, 1e-5, confidence=0.975)


def test_the_same_seed_audits_the_same_and_no_two_audits_are_alike():
    first, again = (audited(TRIAL, {AS_IT_IS_NAME: 3}) for _ in range(2))
    assert first == again
    assert len({audit.seed for audit in first[AS_IT_IS_NAME].audits}) == 3


def test_progress_counts_every_audit():
    told = []
    numbers = {AS_IT_IS_NAME: 2, "no-noise": 1}
    list(audit_mechanisms(TRIAL, numbers, 0, show=lambda *now: told.append(now)))
    assert told[0] == ("as it is", 0, 3)
    assert told[-1] == ("no noise", 3, 3)


def test_the_whole_self_test_has_twenty_of_the_right_and_ten_of_each_broken():
    assert all_variants() == {AS_IT_IS_NAME: 20, **dict.fromkeys(BROKEN, 10)}
    assert list(BROKEN)[:3] == ["no-noise", "quarter-noise", "no-clipping"]


def test_what_is_claimed_is_the_smaller_of_two_upper_bounds():
    assert claimed_epsilon(Account(noise=1.0, rdp=3.0, prv=2.5)) == 2.5
    assert claimed_epsilon(Account(noise=0.1, rdp=300.0, prv=None)) == 300.0


AUDIT = Audit(seed=1, made=10, right=9, lower_bound=1.0)
RIGHT = Audited(AS_IT_IS_NAME, "as it is", 0.0, (AUDIT,) * 20, contradicted=0)
BAD = Audited("no-noise", "no noise", 0.99, (AUDIT,) * 10, contradicted=10)


@pytest.mark.parametrize(
    ("each", "is_so"),
    [
        (replace(RIGHT, contradicted=1), True),  # at 95 %, one of 20 may be
        (replace(RIGHT, contradicted=2), False),
        (replace(RIGHT, audits=(AUDIT,), contradicted=1), False),
        (BAD, True),
        (replace(BAD, contradicted=9), False),
        (replace(BAD, contradicted=0, power=0.98), True),  # it need not be found
    ],
)
def test_what_must_come_out(each, is_so):
    assert each.is_as_it_should_be is is_so


def test_the_file_has_every_audit_and_what_was_claimed(tmp_path):
    write_audits(tmp_path / "audit.json", TRIAL, 7, [RIGHT, BAD])
    stored = json.loads((tmp_path / "audit.json").read_text("utf-8"))
    assert stored["trial"]["sampling"]["patients"] == 1_000
    assert stored["claimed"]["epsilon"] == pytest.approx(2.0, rel=0.01)
    assert [len(each["audits"]) for each in stored["mechanisms"]] == [20, 10]
    assert stored["mechanisms"][1]["audits"][0]["lower_bound"] == 1.0
    assert stored["seed"] == 7
