"""From a training to masked words: what a site holds its own update to before any of it leaves."""

from types import SimpleNamespace

import numpy as np
import pytest

from clients.secure_update import masked, within_usual
from fedcxr.chain import UPDATE
from fedcxr.config.privacy import PrivacyConfig
from fedcxr.config.task import SecureTask
from fedcxr.errors import RunError
from fedcxr.parameters import ParameterSpec
from fedcxr.schema import COUNTERS, MASKED, VECTOR, WireSchema
from fedcxr.secagg.quantise import to_mean
from fedcxr.secagg.sensitivity import is_within
from fedcxr.shared_part import SharedPart

SPEC = ParameterSpec(
    ("w", "bn.running_var", "n"), ((4,), (2,), ()), ("trainable", "buffer", "counter")
)
GIVEN = {VECTOR: np.float32([0, 0, 0, 0, 1, 1]), COUNTERS: np.int64([7])}
UPDATE_OF_4 = np.float32([0.03, 0.04, 0, 0, -0.5, 0.5])  # trained values of length 0.05
ALWAYS = ("declared", "finite", "counters", "variances", "weight")


class Session:
    """A site in a session, whose masks are 0."""

    site_id = "site-00"
    setup = SimpleNamespace(round_num=3)

    def __init__(self, usual=None):
        self.usual, self.checked, self.lengths, self.sent = usual, None, None, None

    def usual_lengths(self):
        return self.usual

    def mask(self, words):
        self.sent = words
        return words

    def signed(self, checks, lengths):
        self.checked, self.lengths = checks, lengths
        return "signed"


def task_of(level="none", **changes):
    keys = {"most_weight": 100, "sites": 4, "trained_range": 0.1, "buffer_range": 10.0}
    secure = SecureTask(**(keys | changes))
    return SimpleNamespace(secure=secure, seed=0, privacy=PrivacyConfig(level=level, clip=0.02))


def mask(session, task, update=UPDATE_OF_4, counters=(9,), images=12, **more):
    schema = WireSchema(SharedPart(SPEC), is_secure=True, protects=task.privacy.level)
    made = {UPDATE: np.float32(update), COUNTERS: np.int64(counters), **more}
    result = SimpleNamespace(train_loss=0.5, num_examples=images)
    found = masked(session, task, schema, GIVEN, made, result)
    return to_mean(task.secure.quantiser, schema.layout, found.vectors[MASKED], 1), found.said


def test_an_update_that_passes_is_masked_and_signed_for():
    session = Session()
    found, said = mask(session, task_of(norm_factor=10.0))
    assert said == "signed"
    assert session.checked == (*ALWAYS, "norm")
    assert session.lengths == pytest.approx((0.05, 0.5**0.5))
    assert found.update == pytest.approx(UPDATE_OF_4, abs=1e-5)
    assert (found.weight, found.counters.tolist()) == (12, [2.0])


def test_a_site_that_is_protected_as_a_whole_brings_no_more_than_the_bound():
    session, task = Session(), task_of("client")
    found, _ = mask(session, task)
    assert session.checked == (*ALWAYS, "length")
    assert np.linalg.norm(found.update[:4]) == pytest.approx(0.02, rel=1e-3)
    assert is_within(task.secure.quantiser, session.sent[:4], 0.02)
    assert (found.weight, found.counters.tolist(), found.train_loss) == (1, [0.0], 0.0)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"update": [np.nan, 0, 0, 0, 0, 0]}, r"1 numbers are not finite, the first in w"),
        ({"update": [0, 0, 0, 0, -1.5, 0]}, "a variance is negative"),
        ({"update": [0, 0, 0]}, "'update' has 3 numbers"),
        ({"counters": [6]}, "a counter has moved as no round"),
        ({"counters": [-1]}, "a counter is negative"),
        ({"images": 0}, "weight is not from 1"),
        ({"images": 101}, "weight is not from 1"),
        ({"undeclared": np.zeros(3)}, "'undeclared' is not declared"),
    ],
)
def test_of_an_update_that_does_not_pass_nothing_leaves(changes, why):
    session = Session()
    with pytest.raises(RunError, match=why):
        mask(session, task_of(), **changes)
    assert session.sent is None
    assert session.checked is None


def test_an_update_many_times_as_long_as_the_site_s_own_is_refused_or_cut():
    # Lengths 0.05 and 0.7071; twice the usual ones are 0.04 and 2.
    task = task_of(norm_factor=2.0)
    with pytest.raises(RunError, match=r"lengths 0\.05 .* 0\.04 and 2 are allowed"):
        mask(Session((0.02, 1.0)), task)
    session = Session((0.02, 1.0))
    found, _ = mask(session, task_of(norm_factor=2.0, norm_policy="clip"))
    assert session.lengths == pytest.approx((0.04, 0.5**0.5))
    assert found.update[:4] == pytest.approx([0.024, 0.032, 0, 0], abs=1e-5)
    assert found.update[4:] == pytest.approx([-0.5, 0.5], abs=1e-4)


def test_without_rounds_before_or_a_factor_any_length_passes():
    for task, usual in ((task_of(norm_factor=2.0).secure, None), (task_of().secure, (0.001, 0.1))):
        update, lengths = within_usual(UPDATE_OF_4, 4, task, usual)
        np.testing.assert_array_equal(update, UPDATE_OF_4)
        assert lengths == pytest.approx((0.05, 0.5**0.5))
