"""What is found of samples: recognised, told from real ones, copied; on images drawn here."""

import numpy as np
import pytest
import torch

from fedcxr.config.model import ModelConfig
from fedcxr.config.vae import VaeConfig
from fedcxr.models.architectures import build_model
from fedcxr.training import sample_quality
from fedcxr.training.frozen_features import frozen_features
from fedcxr.training.pool import ImagePool
from fedcxr.training.reconstruction_error import reconstruction_errors
from fedcxr.training.sample_quality import RealImages, judge_samples
from fedcxr.training.samples import SamplePlan, draw_samples, plan_samples
from fedcxr.training.transforms import Normalization
from fedcxr.training.vae import train_vae

LABELS = ("Right",)


def blobs(number, seed, first_patient=0):
    """Five blurred spots anywhere, and a bright one on the right where the label is 1."""
    rng = np.random.default_rng(seed)
    target = (np.arange(number) % 2).astype(np.float32)[:, None]
    y, x = np.mgrid[:32, :32]
    images = np.full((number, 32, 32), 30.0)
    for _ in range(5):
        across, down, size = rng.uniform(2, 30, (3, number, 1, 1))
        spread = 4 + size / 4
        spot = np.exp(-((x - across) ** 2 + (y - down) ** 2) / spread**2)
        images += rng.uniform(10, 60, (number, 1, 1)) * spot
    mark = np.exp(-((x - 26) ** 2 + (y - 16) ** 2) / 20)
    images += 110 * target[:, :, None] * mark
    stored = np.clip(images, 0, 255).astype(np.uint8)
    return RealImages(stored, np.arange(number), target, first_patient + np.arange(number))


def trained(train, val=None, **changes):
    config = VaeConfig(**{"width": 8, "latent": 8, "batch_size": 16, **changes})
    pools = [
        part and ImagePool.of(part.images, np.arange(len(part.images)), part.target)
        for part in (train, val)
    ]
    return train_vae(*pools, config, size_px=32, device="cpu", seed=0).model


def sampled(model, train, number=100):
    config = VaeConfig(samples_per_label=number // 2, classes="both", max_ratio=5)
    plan = plan_samples(train.target, config, LABELS, seed=1)
    options = {"size_px": 32, "image_size": 32, "device": "cpu"}
    return draw_samples(model, plan.target, seed=2, **options), plan


def judged(samples, plan, train, val):
    return judge_samples(samples, plan, train, val, LABELS, device="cpu", seed=3)


@pytest.fixture(scope="module")
def well_trained():
    """A VAE of 300 images, and 80 of other patients."""
    train, val = blobs(300, 0), blobs(80, 1, first_patient=1000)
    return trained(train, val, epochs=30, kl_warmup_epochs=5), train, val


@pytest.mark.slow
@pytest.mark.long
def test_a_vae_that_overfits_50_images_is_caught():
    train, val = blobs(50, 0), blobs(80, 1, first_patient=1000)
    model = trained(train, epochs=400, latent=2, beta=0.2, width=16, kl_warmup_epochs=0)
    samples, plan = sampled(model, train)
    found = judged(samples, plan, train, val)
    assert found.is_copying
    assert found.copies.mean() > 0.1


@pytest.mark.slow
def test_a_vae_trained_well_is_not(well_trained):
    model, train, val = well_trained
    samples, plan = sampled(model, train)
    found = judged(samples, plan, train, val)
    assert not found.is_copying
    assert not found.copies.any()
    # its samples show what they were made for, by an interval that lies above chance
    error = 0.5 / np.sqrt(len(samples) / 2)  # more than that of any AUROC of 50 and 50
    assert found.recognised - 1.96 * error > 0.6
    assert 0 <= found.two_sample_p <= 1
    assert found.feature_distance > found.feature_distance_real


@pytest.mark.slow
def test_its_reconstructions_beat_the_mean_image(well_trained):
    model, train, val = well_trained
    own, mean = reconstruction_errors(model, train, val, size_px=32, device="cpu")
    guess = (train.images.mean(axis=0) - val.images) / 255
    assert mean == pytest.approx(np.square(guess).mean(), rel=1e-4)
    assert own < 0.6 * mean


def test_real_images_of_other_patients_pass_for_real_and_do_not_copy(monkeypatch):
    monkeypatch.setattr(sample_quality, "_STEPS", 60)
    train, val, other = blobs(80, 0), blobs(40, 1, 1000), blobs(60, 2, 2000)
    plan = SamplePlan(other.target, np.zeros(60, np.int64), np.arange(60))
    found = judged(other.images, plan, train, val)
    assert found.two_sample_p > 0.01
    assert not found.is_copying
    assert found.recognised > 0.9


def test_copied_training_images_are_named(monkeypatch):
    monkeypatch.setattr(sample_quality, "_STEPS", 20)
    train, val, other = blobs(80, 0), blobs(40, 1, 1000), blobs(30, 2, 2000)
    samples = np.concatenate([train.images[:30], other.images])
    target = np.concatenate([train.target[:30], other.target])
    found = judged(samples, SamplePlan(target, np.zeros(60, np.int64), np.arange(60)), train, val)
    assert found.is_copying
    assert found.copies[:30].all()
    assert found.copies[30:].mean() < 0.2


def test_with_too_few_validation_images_nothing_is_compared(monkeypatch):
    monkeypatch.setattr(sample_quality, "_STEPS", 5)
    train, val = blobs(40, 0), blobs(10, 1, 1000)
    found = judged(
        train.images, SamplePlan(train.target, np.zeros(40, np.int64), np.arange(40)), train, val
    )
    assert np.isnan([found.two_sample_accuracy, found.feature_distance]).all()
    assert found.copies is None
    assert not found.is_copying


def test_frozen_features_change_nothing_of_the_network_and_see_the_image():
    model = build_model(ModelConfig(image_size=32), 2, 0)
    features = frozen_features(model, Normalization("preset", 0.449, 0.226), 32)
    images = torch.rand(2, 1, 16, 16, requires_grad=True)
    features(images).sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not torch.equal(features(images), features(1 - images))
