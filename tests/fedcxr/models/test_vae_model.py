"""The VAE's shapes, its sizes, and that its values follow from the seed."""

import pytest
import torch

from fedcxr.config.vae import VaeConfig
from fedcxr.errors import ConfigError
from fedcxr.models.vae import build_vae, halvings, vae_size

SMALL = VaeConfig(width=8, latent=3)


@pytest.mark.parametrize("size_px", [32, 64, 96, 128, 256])
def test_a_reconstruction_has_the_size_of_the_image(size_px):
    model = build_vae(SMALL, size_px=size_px, num_labels=2, seed=0)
    images, conditions = torch.rand(2, 1, size_px, size_px), torch.zeros(2, 4)
    made, codes, prior = model(images, conditions, torch.zeros(2, 3))
    assert made.shape == images.shape
    assert {part.shape for part in (*codes, *prior)} == {(2, 3)}
    assert made.min() >= 0
    assert made.max() <= 1


def test_the_condition_changes_what_a_code_becomes():
    model = build_vae(SMALL, size_px=32, num_labels=1, seed=0).eval()
    codes = torch.zeros(1, 3)
    ill, well = (model.decode(codes, torch.tensor([[value, 1.0]])) for value in (1.0, 0.0))
    assert not torch.equal(ill, well)


def test_the_same_seed_gives_the_same_values():
    first, again, other = (
        build_vae(SMALL, size_px=32, num_labels=2, seed=seed).grow.weight for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_size_that_does_not_divide_is_refused():
    with pytest.raises(ConfigError, match=r"vae\.size_px = 100: cannot be halved .* Use 4 to 7"):
        halvings(100)
    with pytest.raises(ConfigError, match=r"vae\.size_px = 48: does not divide model\.image_size"):
        vae_size(VaeConfig(size_px=48), 64)
    with pytest.raises(ConfigError, match="makes images of 32 to 256 pixels"):
        vae_size(VaeConfig(), 320)
    assert vae_size(VaeConfig(size_px=160), 320) == 160
