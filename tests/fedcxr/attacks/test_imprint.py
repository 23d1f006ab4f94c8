"""A crafted model prints its input; what a site refuses of it, and what only noise holds back."""

import pytest
import torch

from fedcxr.attacks.imprint import ImprintModel, printed
from fedcxr.attacks.protections import clipped_and_noised
from fedcxr.attacks.site_update import LocalSteps, SimulatedSite
from fedcxr.config.model import ModelConfig
from fedcxr.errors import ArtefactError
from fedcxr.models.architectures import random_model
from fedcxr.parameters import extract, load_into, spec_of
from fedcxr.privacy.secret_noise import SecretStream
from fedcxr.training.losses import masked_loss
from fedcxr.training.transforms import Normalization

SIDE = 8
PLAIN = Normalization("preset", 0.0, 1.0)


def films():
    """Four images of brightness 0.2, 0.4, 0.6 and 0.8, a bin each."""
    noise = torch.rand(4, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) - 0.5
    noise = noise - noise.mean(dim=(1, 2), keepdim=True)
    return torch.tensor([0.2, 0.4, 0.6, 0.8])[:, None, None] + 0.1 * noise


def crafted():
    return ImprintModel(torch.tensor([0.1, 0.3, 0.5, 0.7]), SIDE, num_labels=1)


def print_of(mechanism=None):
    model = crafted()
    site = SimulatedSite(model, LocalSteps(masked_loss, PLAIN, 4, mechanism=mechanism))
    update = site.send(films(), torch.tensor([[1.0], [0.0], [1.0], [0.0]])).update
    weights = update[site.place("imprint.weight")].view(4, SIDE * SIDE)
    return printed(weights, update[site.place("imprint.bias")]).view(-1, SIDE, SIDE)


def test_each_image_of_a_batch_is_printed():
    assert float((print_of() - films()).abs().max()) < 1e-4


def test_clipping_alone_still_prints_and_noise_does_not():
    draws = SecretStream(bytes(32), "test")
    clipped = print_of(clipped_and_noised(1.0, 0.0, draws))
    assert float((clipped - films()).abs().max()) < 1e-4
    noised = print_of(clipped_and_noised(1.0, 1.0, draws))
    assert noised.shape != (4, SIDE, SIDE) or float((noised - films()).abs().mean()) > 0.2


def test_a_site_refuses_the_crafted_models_layout():
    own = random_model(ModelConfig(image_size=32), 1, seed=0)
    model = crafted()
    assert spec_of(model).digest != spec_of(own).digest
    with pytest.raises(ArtefactError, match="of another model"):
        load_into(own, spec_of(own), extract(model, spec_of(model)))


def test_a_site_takes_crafted_numbers_of_its_own_layout():
    # said plainly: nothing tells them from trained ones
    own = random_model(ModelConfig(image_size=32), 1, seed=0)
    given = extract(own, spec_of(own))
    given.vector[: spec_of(own).num_trainable] = 0.5
    load_into(own, spec_of(own), given)
    assert float(own.network.classifier.weight.detach().mean()) == 0.5
