import numpy as np
import pytest
import torch

from fedcxr.privacy.accounting import Sampling
from fedcxr.privacy.breaches import AS_IT_IS, BROKEN
from fedcxr.privacy.canaries import Batch, run_steps
from fedcxr.privacy.dp_sgd import Mechanism
from fedcxr.privacy.trial import Trial, of_a_clipped_mean

EVERYBODY = Sampling(patients=40, batch=40, steps=2, delta=1e-5)
"""Each step takes all that are present, so that what is released can be told by hand."""


class Ones:
    def normals(self, count):
        return np.ones(count)

    def uniforms(self, count):
        raise AssertionError


def released(variant=AS_IT_IS, *, noise=1.0, sampling=EVERYBODY, seed=1):
    trial = Trial(sampling, noise, canaries=20, guesses=10)
    return run_steps(trial, variant.step, seed, is_seeded=variant.is_seeded)


def test_a_clipped_canary_moves_its_coordinate_by_one_part_of_the_batch():
    # 2 steps · C/40 for those that are in, 0 for the others; its gradient is 10 C long
    found = released(BROKEN["no-noise"])
    assert 0 < found.is_in.sum() < 20
    assert found.seen == pytest.approx(found.is_in * 2 / 40, abs=1e-7)


@pytest.mark.parametrize(("name", "times"), [("no-clipping", 10), ("image-clipping", 4)])
def test_a_breach_of_clipping_lets_through_what_its_power_reckons_with(name, times):
    found = released(BROKEN[name], noise=0.01)
    moved = found.seen * 40 / 2
    assert moved == pytest.approx(found.is_in * times, abs=0.05)
    assert BROKEN[name].breach(Trial(EVERYBODY, 0.01, 20, 10)).contribution == times


def test_a_clipped_mean_lets_through_about_what_its_power_reckons_with():
    sampling = Sampling(patients=400, batch=400, steps=1, delta=1e-5)
    trial = Trial(sampling, 0.01, canaries=300, guesses=10)
    found = run_steps(trial, BROKEN["mean-clipping"].step, 1)
    expected = of_a_clipped_mean(trial)
    assert found.seen[found.is_in] * 400 == pytest.approx(expected, rel=0.15)
    assert found.seen[~found.is_in] * 400 == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(
    ("name", "deviation"), [("as-it-is", 3.0), ("quarter-noise", 0.75), ("no-noise", 0.0)]
)
def test_the_noise_is_as_wide_as_its_power_reckons_with(name, deviation):
    sampling = Sampling(patients=2_000, batch=2_000, steps=2, delta=1e-5)
    variant = BROKEN.get(name, AS_IT_IS)
    trial = Trial(sampling, 3.0, canaries=2_000, guesses=10)
    found = run_steps(trial, variant.step, 3)
    noise = (found.seen * 2_000 - 2 * found.is_in) / np.sqrt(2)
    assert np.std(noise) == pytest.approx(deviation, rel=0.05, abs=1e-3)
    assert variant.breach(trial).noise == deviation


def test_only_noise_from_the_runs_seed_can_be_subtracted():
    seeded = released(BROKEN["server-seed"], noise=5.0)
    assert seeded.without_known_noise == pytest.approx(seeded.is_in * 2 / 40, abs=1e-6)
    secret = released(noise=5.0)
    assert np.std(secret.without_known_noise) > 1.2 * np.std(secret.seen)


@pytest.mark.parametrize(
    ("name", "expected"),
    [(name, 2.0) for name in ("as-it-is", *BROKEN) if name[-6:] != "-noise"]
    + [("no-noise", 0.0), ("quarter-noise", 0.5)],
)
def test_a_step_that_draws_nobody_gives_noise_alone(name, expected):
    nobody = Batch([], lambda numbers: torch.zeros(len(numbers), 3), 3)
    step = BROKEN.get(name, AS_IT_IS).step
    update = step(nobody, Mechanism(clip=1.0, noise=2.0, expected=1.0), Ones())
    assert update.tolist() == [expected] * 3


def test_the_same_seed_gives_the_same_bits_and_another_one_others():
    first, again, other = released(), released(), released(seed=2)
    assert np.array_equal(first.seen, again.seen)
    assert not np.array_equal(first.seen, other.seen)
