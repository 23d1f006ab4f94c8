"""A site's VAE: the terms, the training to the bit, early stopping, and when it diverges."""

import math

import numpy as np
import pytest
import torch

from fedcxr.config.vae import VaeConfig
from fedcxr.errors import DivergedError
from fedcxr.models.vae import Normal
from fedcxr.training.pool import ImagePool
from fedcxr.training.vae import pixels, train_vae
from fedcxr.training.vae_losses import (
    feature_loss,
    gaussian_nll,
    kl_divergence,
    reconstruction_loss,
    ssim,
)

CONFIG = VaeConfig(width=8, latent=4, epochs=4, kl_warmup_epochs=1, batch_size=16)


def disks(number, seed):
    """A disk on the left where the label is 0, on the right where it is 1; brightness varies."""
    rng = np.random.default_rng(seed)
    target = (np.arange(number) % 2).astype(np.float32)[:, None]
    y, x = np.mgrid[:32, :32]
    center = np.where(target[:, 0] > 0, 22, 10)[:, None, None]
    disk = (x - center) ** 2 + (y - 16) ** 2 < 36
    images = 40 + disk * rng.integers(80, 160, (number, 1, 1))
    return ImagePool.of(images.astype(np.uint8), np.arange(number), target)


def train(config=CONFIG, **more):
    options = {"size_px": 32, "device": "cpu", "seed": 3, **more}
    return train_vae(disks(48, 0), disks(16, 1), config, **options)


def test_the_terms_are_those_of_the_formulas():
    codes = Normal(torch.tensor([[0.5, -1.0]]), torch.tensor([[0.2, -0.3]]))
    prior = Normal(torch.tensor([[0.1, 0.4]]), torch.tensor([[-0.5, 0.6]]))
    normal = torch.distributions.Normal
    q, p = (normal(part.mean, (0.5 * part.log_variance).exp()) for part in (codes, prior))
    expected = torch.distributions.kl_divergence(q, p).sum()
    torch.testing.assert_close(kl_divergence(codes, prior), expected)
    images, made = torch.rand(3, 1, 8, 8), torch.rand(3, 1, 8, 8)
    error = (images - made).square().mean()
    likelihood = normal(made, error.sqrt()).log_prob(images).flatten(1).sum(1).mean()
    torch.testing.assert_close(gaussian_nll(error, 64), -likelihood)
    torch.testing.assert_close(reconstruction_loss(images, made, "mse"), -likelihood)


def test_ssim_is_one_of_the_same_and_less_of_other_images():
    images = torch.rand(2, 1, 16, 16)
    assert ssim(images, images).item() == pytest.approx(1.0)
    slightly, much = images + 0.02 * torch.randn(images.shape), torch.rand(images.shape)
    assert 1 > ssim(images, slightly) > ssim(images, much)


def test_features_that_agree_cost_less():
    images = torch.rand(2, 1, 8, 8)

    def features(x):
        return x.mean(dim=(2, 3))

    near, far = (feature_loss(images, images + shift, features) for shift in (0.01, 0.1))
    assert near < far


@pytest.mark.parametrize("kind", ["mse", "ssim"])
def test_training_makes_reconstructions_more_alike(kind):
    found = train(CONFIG.model_copy(update={"epochs": 24, "reconstruction": kind}))
    first, last = found.history[0].val, found.best.val
    assert last.reconstruction < first.reconstruction
    assert all(math.isfinite(epoch.train.elbo) for epoch in found.history)
    assert found.best.epoch == found.best_epoch


def test_the_same_seed_gives_the_same_bytes_and_an_interrupted_training_too():
    kept = []
    whole = train(on_epoch=kept.append)
    again = train(progress=kept[1])
    assert again.history == whole.history
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    other = train(seed=4)
    assert other.history != whole.history


def test_it_stops_when_its_own_validation_patients_gain_nothing():
    config = CONFIG.model_copy(update={"epochs": 40, "patience": 2, "learning_rate": 0.05})
    found = train(config)
    assert len(found.history) < 40
    assert len(found.history) - found.best_epoch == 2
    losses = [e.val.reconstruction + e.val.kl for e in found.history[1:]]
    assert losses[found.best_epoch - 2] == min(losses)


def test_without_validation_images_the_last_epoch_is_taken():
    found = train_vae(disks(48, 0), None, CONFIG, size_px=32, device="cpu", seed=0)
    assert found.best_epoch == len(found.history) == 4
    assert found.best.val is None


def test_a_training_that_leaves_the_finite_numbers_is_told():
    with pytest.raises(DivergedError, match=r"lower vae\.learning_rate"):
        train(CONFIG.model_copy(update={"learning_rate": 1e30}))


def test_a_smaller_vae_sees_means_of_pixels():
    images = torch.tensor([[[0, 255], [255, 255]]], dtype=torch.uint8)
    assert pixels(images, 1).item() == pytest.approx(0.75)


def test_what_is_kept_of_an_epoch_is_not_changed_by_the_next():
    kept = []

    def keep(progress):
        kept.append((progress, {n: t.clone() for n, t in progress.weights.items()}))

    train(on_epoch=keep)
    for progress, then in kept:
        assert all(torch.equal(then[name], now) for name, now in progress.weights.items())
