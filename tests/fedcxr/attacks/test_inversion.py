"""Inversion where the answer is known: linear models by hand, and a law of the true training."""

import numpy as np
import pytest
import torch
from torch import nn

from fedcxr.attacks.inversion import Matching, invert
from fedcxr.attacks.protections import clipped_and_noised
from fedcxr.attacks.search_space import by_frequencies, by_pixels
from fedcxr.attacks.site_update import LocalSteps, SimulatedSite, mean_of
from fedcxr.attacks.token_gradients import joined, patches
from fedcxr.config.model import ModelConfig
from fedcxr.config.train import AugmentConfig, TrainConfig
from fedcxr.models.architectures import random_model
from fedcxr.parameters import extract, spec_of
from fedcxr.privacy.secret_noise import SecretStream
from fedcxr.seeding import derive_rng
from fedcxr.training.loop import train_site
from fedcxr.training.losses import masked_loss
from fedcxr.training.pool import ImagePool
from fedcxr.training.precision import Precision
from fedcxr.training.transforms import Normalization

PLAIN = Normalization("preset", 0.0, 1.0)
FP32 = Precision("fp32", channels_last=False, why="test")
NO_VIEWS = AugmentConfig(min_crop_area=1.0, max_aspect=1.0, flip=0.0, max_rotation_deg=0.0)


class Linear(nn.Module):
    """One logit: the sum of weights times pixels, and a bias."""

    def __init__(self, side):
        super().__init__()
        self.layer = nn.Linear(side * side, 1)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, images):
        return self.layer(images.flatten(1))


def films(num, side=6, seed=0):
    return torch.rand(num, side, side, generator=torch.Generator().manual_seed(seed))


def steps(batch_size=8, **changes):
    return LocalSteps(masked_loss, changes.pop("normalization", PLAIN), batch_size, **changes)


def small(size=32, **keys):
    return random_model(ModelConfig(image_size=size), 3, seed=0, **keys)


def test_a_linear_models_gradient_is_the_image_times_the_error():
    # p = sigmoid(0) = 0.5 and y = 1: by the weights -0.5 · x, by the bias -0.5
    site, image = SimulatedSite(Linear(2), steps()), torch.tensor([[[0.2, 0.4], [0.6, 0.8]]])
    sent = site.send(image, torch.ones(1, 1))
    expected = [-0.1, -0.2, -0.3, -0.4, -0.5]
    assert sent.update.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("space", "distance", "num_steps", "apart"),
    [
        (by_pixels, "cosine", 400, 0.1),  # smoothing takes something of every step
        (by_frequencies, "layers", 200, 0.05),
    ],
)
def test_a_linear_models_image_is_found(space, distance, num_steps, apart):
    truth, label = films(1), torch.ones(1, 1)
    site = SimulatedSite(Linear(6), steps())
    found = invert(
        lambda pixels: site.send(pixels, label, keep_graph=True),
        site.send(truth, label),
        space(films(20, seed=1), 1, torch.Generator().manual_seed(0)),
        Matching(distance, num_steps),
        sizes=[36, 1],
    )
    assert float((found.pixels - truth).abs().max()) < apart
    assert found.mismatch < 1e-3


def test_restarts_keep_the_best():
    truth, label = films(1), torch.ones(1, 1)
    site = SimulatedSite(Linear(6), steps())
    calls = []
    found = invert(
        lambda pixels: site.send(pixels, label, keep_graph=True),
        site.send(truth, label),
        by_pixels(films(20, seed=1), 1, torch.Generator().manual_seed(0)),
        Matching("cosine", 20, restarts=3),
        on_step=lambda: calls.append(1),
    )
    assert len(calls) == 60
    assert found.pixels.shape == (1, 6, 6)


RATE = 1e-4


def test_the_simulated_update_is_that_of_local_training():
    # plain SGD over two steps of two images: (given - trained) / rate. The rate is small: gradients
    # are in the thousands here, and long steps would lead rounding to other sides of a ReLU.
    model, seed = small(), 5
    spec = spec_of(model)
    given = extract(model, spec)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32), dtype=np.uint8)
    target = np.float32([[1, 0, 1], [0, 0, 1], [1, 1, np.nan], [0, 1, 0]])
    config = TrainConfig(
        batch_size=2, optimizer="sgd", momentum=0.0, learning_rate=RATE, augment=NO_VIEWS
    )
    normalization = Normalization("preset", 0.4, 0.2)
    order = derive_rng(seed, "order", 0).permutation(4)
    site = SimulatedSite(
        model, steps(batch_size=2, learning_rate=RATE, normalization=normalization)
    )
    sent = site.send(torch.from_numpy(pixels[order] / np.float32(255)), torch.tensor(target[order]))
    train_site(
        model,
        ImagePool.of(pixels, np.arange(4), target),
        config=config,
        learning_rate=RATE,
        normalization=normalization,
        precision=FP32,
        device="cpu",
        seed=seed,
    )
    moved = (given.vector - extract(model, spec).vector) / RATE
    np.testing.assert_allclose(
        moved[: spec.num_trainable], sent.update.numpy(), rtol=1e-3, atol=1e-2
    )
    # running' = 0.81 · running + 0.19 · (weighted mean of the steps), with momentum 0.1
    first = next(i for i, name in enumerate(spec.names) if name.endswith("running_mean"))
    part = slice(spec.offsets[first], spec.offsets[first] + spec.sizes[first])
    told = (extract(model, spec).vector[part] - 0.81 * given.vector[part]) / 0.19
    np.testing.assert_allclose(told, sent.statistics[0][0].numpy(), rtol=1e-3, atol=1e-5)


def test_what_is_simulated_leaves_the_model_as_it_was():
    model = small()
    before = extract(model, spec_of(model)).sha256()
    SimulatedSite(model, steps()).send(films(2, 32), torch.ones(2, 3))
    assert extract(model, spec_of(model)).sha256() == before


def test_frozen_batch_norm_sends_no_statistics():
    site = SimulatedSite(small(), steps(frozen=True))
    assert site.send(films(1, 32), torch.ones(1, 3)).statistics == ()


def test_local_batch_norm_sends_no_statistics_and_the_same_update():
    told, kept = (SimulatedSite(small(), steps(local=local)) for local in (False, True))
    films_and_target = films(2, 32), torch.ones(2, 3)
    first, second = told.send(*films_and_target), kept.send(*films_and_target)
    assert len(first.statistics) > 0
    assert second.statistics == ()
    assert torch.equal(first.update, second.update)


def test_a_sum_is_the_mean_of_the_sites():
    site = SimulatedSite(Linear(6), steps())
    first, second = (site.send(films(1, seed=s), torch.ones(1, 1)) for s in (0, 1))
    both = mean_of([first, second])
    assert both.update.tolist() == pytest.approx(((first.update + second.update) / 2).tolist())


def test_noise_is_that_of_the_clipped_sum():
    # two gradients of length 5 and 0.5, C = 1: (3/5, 4/5)/2 and 0.5/2; noise σC over 2 images
    rows = torch.tensor([[3.0, 4.0], [0.5, 0.0]])
    draws = SecretStream(bytes(32), "test")
    still = clipped_and_noised(1.0, 0.0, draws)(rows, 2)
    assert still.tolist() == pytest.approx([0.55, 0.4])
    drawn = clipped_and_noised(2.0, 3.0, draws)(torch.zeros(2, 100_000), 2)
    assert float(drawn.std()) == pytest.approx(3.0 * 2.0 / 2, rel=0.02)
    assert float(drawn.mean()) == pytest.approx(0.0, abs=0.05)


def test_a_transformers_image_is_exact_from_one_gradient():
    model = random_model(ModelConfig(name="vit_b_16", image_size=64), 3, seed=0)
    head = model.network.heads.head.weight
    with torch.no_grad():  # the initial head is 0, and lets no gradient through
        head.copy_(torch.randn(head.shape, generator=torch.Generator().manual_seed(0)) * 0.03)
    site, truth = SimulatedSite(model, steps()), films(1, 64)
    update = site.send(truth, torch.ones(1, 3)).update
    positions = update[site.place("network.encoder.pos_embedding")].view(1, 17, 768)
    embedding = update[site.place("network.conv_proj.weight")].view(768, 1, 16, 16)
    found = joined(patches(positions, embedding))
    assert float((found - truth[0]).abs().max()) < 1e-2
