"""A site's training by DP-SGD, against a loop written out by hand."""

import numpy as np
import pytest
import torch

from fedcxr.config.model import ModelConfig
from fedcxr.config.train import AugmentConfig, TrainConfig
from fedcxr.errors import DivergedError
from fedcxr.models.architectures import random_model
from fedcxr.privacy.dp_sgd import Mechanism
from fedcxr.privacy.secret_noise import SecretStream
from fedcxr.training.losses import masked_loss
from fedcxr.training.pool import ImagePool, ImageSource
from fedcxr.training.precision import Precision
from fedcxr.training.private_loop import PrivateSteps, train_privately
from fedcxr.training.transforms import Normalization, normalize

STILL = AugmentConfig(min_crop_area=1.0, max_aspect=1.0, flip=0.0, max_rotation_deg=0.0)
SGD = TrainConfig(optimizer="sgd", momentum=0.0, augment=STILL)
PRESET = Normalization("preset", 0.449, 0.226)
FP32 = Precision("fp32", False, "")
SECRET = bytes(32)


@pytest.fixture
def site():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (9, 32, 32), dtype=np.uint8)
    target = rng.integers(0, 2, (9, 3)).astype(np.float32)
    target[2, 0] = np.nan
    target[5] = np.nan
    pool = ImagePool.of(images, np.arange(9), target)
    return pool, np.array([4, 0, 4, 2, 0, 7, 4, 9, 9])


def model():
    return random_model(ModelConfig(name="densenet_small", image_size=32), 3, 0, group_norm=True)


def steps_of(noise=1.0, rate=0.5, steps=3, physical=4, clip=0.5):
    return PrivateSteps(5, steps, rate, Mechanism(clip, noise, 2.5, physical))


def draws_of(step, what):
    return SecretStream(SECRET, step, what)


def trained(site, steps, config=SGD, draws=draws_of, **how):
    network = model()
    pool, patient = site
    done = train_privately(
        network,
        pool,
        patient,
        steps,
        draws,
        config=config,
        learning_rate=0.1,
        normalization=PRESET,
        precision=FP32,
        device="cpu",
        **how,
    )
    return torch.cat([p.detach().flatten() for p in network.parameters()]), done


def by_hand(site, steps):
    """Return the weights after the same steps by autograd, a patient at a time."""
    pool, patient = site
    network = model()
    patients = np.unique(patient)
    for step in range(steps.steps):
        taken = np.flatnonzero(draws_of(step, "patients").uniforms(5) < steps.rate)
        size = sum(p.numel() for p in network.parameters())
        total = torch.zeros(size, dtype=torch.float64)
        for number in taken:
            rows = []
            for image in np.flatnonzero(patient == patients[number]):
                network.zero_grad()
                pixels, target = pool.gather(np.array([image]))
                masked_loss(network(normalize(pixels, PRESET)), target).backward()
                rows.append(torch.cat([p.grad.flatten() for p in network.parameters()]).clone())
            mean = torch.stack(rows).mean(0).double()
            total += mean * min(1.0, steps.mechanism.clip / max(float(mean.norm()), 1e-300))
        noise = torch.from_numpy(draws_of(step, "noise").normals(size))
        total += steps.mechanism.noise * steps.mechanism.clip * noise
        start = 0
        with torch.no_grad():
            for p in network.parameters():
                piece = total[start : start + p.numel()].view_as(p) / 2.5
                p -= 0.1 * piece.float()
                start += p.numel()
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_training_is_the_loop_written_out_by_hand(site, noise):
    steps = steps_of(noise)

    found, done = trained(site, steps)

    torch.testing.assert_close(found, by_hand(site, steps), rtol=1e-4, atol=1e-5)
    assert done.drawn == sum((draws_of(s, "patients").uniforms(5) < 0.5).sum() for s in range(3))


def test_the_same_draws_give_the_same_bits_and_others_others(site):
    config = SGD.model_copy(update={"augment": AugmentConfig()})
    first, _ = trained(site, steps_of(), config)
    second, _ = trained(site, steps_of(), config)
    other, _ = trained(site, steps_of(), config, lambda *names: SecretStream(SECRET, "o", *names))

    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_the_physical_batch_changes_no_result(site):
    config = SGD.model_copy(update={"augment": AugmentConfig()})
    results = [trained(site, steps_of(physical=size), config)[0] for size in (1, 2, 100)]

    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(results[0], results[2], rtol=1e-4, atol=1e-5)


class Constant:
    """Everybody is taken."""

    def uniforms(self, count):
        return np.full(count, 0.25)

    def normals(self, count):
        return np.zeros(count)


@pytest.mark.parametrize("left_out", [4, 9])
def test_beside_samples_a_patient_moves_a_step_by_c_as_without_them(site, left_out):
    pool, patient = site
    (real,) = pool.sources
    made = ImageSource(255 - real.images, np.arange(3), np.ones((3, 3), np.float32), is_real=False)
    steps = steps_of(noise=0.0, rate=1.0, steps=1, clip=1e-3)

    def weights(kept):
        some = ImageSource(real.images, real.rows[kept], real.target[kept])
        own = np.concatenate([patient[kept], [10, 11, 12]])
        return trained((ImagePool((some, made)), own), steps, draws=lambda *names: Constant())[0]

    moved = weights(np.arange(9)) - weights(np.flatnonzero(patient != left_out))

    # at a rate of 0.1 over an expected number of 2.5
    assert float(moved.double().norm()) == pytest.approx(0.1 * 1e-3 / 2.5, rel=0.05)


def test_steps_without_anyone_are_noise_alone(site):
    steps = steps_of(rate=0.0, steps=1)

    found, done = trained(site, steps)

    before = torch.cat([p.detach().flatten() for p in model().parameters()])
    noise = torch.from_numpy(draws_of(0, "noise").normals(len(before)))
    expected = before - 0.1 * (0.5 * noise / 2.5).float()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert (done.drawn, done.images) == (0, 0)


def test_adam_goes_over_the_noised_gradient(site):
    found, _ = trained(site, steps_of(), SGD.model_copy(update={"optimizer": "adam"}))

    assert torch.isfinite(found).all()


def test_weights_that_leave_the_finite_numbers_are_told_of(site):
    steps = PrivateSteps(5, 2, 0.5, Mechanism(1e38, 1e38, 1e-5, 4))

    with pytest.raises(DivergedError, match="not finite"):
        trained(site, steps)


def test_an_algorithm_s_term_is_added_after_the_noise(site):
    calls = []

    trained(site, steps_of(steps=2), correct=lambda: calls.append(1))

    assert len(calls) == 2
