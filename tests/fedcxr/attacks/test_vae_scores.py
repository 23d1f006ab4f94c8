"""Scores against a VAE: by hand, and on VAEs that know their images by heart or know nothing."""

import math

import numpy as np
import pytest
import torch

from fedcxr.attacks import vae_scores
from fedcxr.attacks.vae_scores import (
    Distances,
    Reconstructed,
    calibrated_score,
    distances,
    elbo_score,
    monte_carlo_score,
    nearest_score,
    reconstructed,
    reconstruction_score,
    vae_methods_of,
)
from fedcxr.config.vae import VaeConfig
from fedcxr.errors import ConfigError
from fedcxr.metrics.run_scores import score_run
from fedcxr.models.vae import Normal, build_vae
from fedcxr.training.pool import ImagePool
from fedcxr.training.samples import draw_samples
from fedcxr.training.vae import train_vae
from fedcxr.training.vae_losses import kl_of_each

BOTH = ("holder", "recipient")
SIZE = 32


def scans(number, seed):
    """Smooth images without a second like them: a sum of a few waves with random phases."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    waves = rng.integers(1, 6, (number, 6, 2))
    phase, height = rng.uniform(0, 2 * math.pi, (number, 6)), rng.uniform(0.5, 1.5, (number, 6))
    turns = waves[..., 0, None, None] * y + waves[..., 1, None, None] * x
    total = (height[..., None, None] * np.sin(2 * math.pi * turns + phase[..., None, None])).sum(1)
    target = rng.integers(0, 2, (number, 1)).astype(np.float32)
    return (127 + 28 * total).clip(0, 255).astype(np.uint8), target


def test_reconstruction_error_and_elbo_by_hand():
    # Two images of 2 pixels: errors 0.1 and 0.3, so the likeliest variance of both is 0.2.
    found = Reconstructed(np.array([0.1, 0.3]), np.array([1.0, 2.0]), 2)
    assert reconstruction_score(found).tolist() == [-0.1, -0.3]
    # 2/2 · (log(2π · 0.2) + e / 0.2) + KL: log 1.256637 = 0.228439
    assert elbo_score(found) == pytest.approx([-(0.228439 + 0.5 + 1), -(0.228439 + 1.5 + 2)])


def test_other_sites_errors_are_the_measure_of_an_images_difficulty():
    nothing = np.zeros(2)
    own = Reconstructed(np.array([0.1, 0.3]), nothing, 2)
    others = [Reconstructed(np.array(error), nothing, 2) for error in ([0.2, 0.3], [0.4, 0.5])]
    assert calibrated_score(own, others) == pytest.approx([0.3 - 0.1, 0.4 - 0.3])


def test_distances_are_euclidean_at_the_vaes_own_size_and_the_ball_is_the_median_of_the_nearest():
    # Images of 2 × 2 equal pixels, seen at 1 px.
    flat = np.uint8([0, 51, 255])[:, None, None] * np.ones((1, 2, 2), np.uint8)
    samples = np.uint8([40, 60, 153])[:, None, None] * np.ones((1, 2, 2), np.uint8)
    found = distances(samples, flat, np.array([2, 0, 1]), size_px=1)
    # nearest: 102, 40 and 9 of 255; their median is 40, and within it lie none, one, and two
    assert found.nearest * 255 == pytest.approx([102, 40, 9], abs=1e-3)
    assert found.within == pytest.approx([0, 1 / 3, 2 / 3])
    assert nearest_score(found).tolist() == (-found.nearest).tolist()
    assert monte_carlo_score(Distances(found.nearest, found.within)).tolist() == (
        found.within.tolist()
    )


def test_distances_do_not_depend_on_how_many_are_computed_at_once(monkeypatch):
    images, _ = scans(30, 0)
    samples, rows = scans(20, 1)[0], np.arange(30)
    plain = images.reshape(30, -1) / 255.0
    made = samples.reshape(20, -1) / 255.0
    expected = np.linalg.norm(plain[:, None] - made, axis=2)
    found = distances(samples, images, rows, size_px=SIZE)
    assert found.nearest == pytest.approx(expected.min(axis=1), rel=1e-5)
    monkeypatch.setattr(vae_scores, "_AT_ONCE", 7)
    monkeypatch.setattr(vae_scores, "_SAMPLES_AT_ONCE", 3)
    again = distances(samples, images, rows, size_px=SIZE)
    assert again.nearest == pytest.approx(found.nearest, rel=1e-5)


def test_the_error_is_the_mean_over_codes_and_the_kl_that_of_each_image():
    model = build_vae(VaeConfig(width=8, latent=4), size_px=SIZE, num_labels=1, seed=0).eval()
    images, target = scans(5, 0)
    options = {"size_px": SIZE, "device": "cpu", "seed": 1}
    found = reconstructed(model, images, np.arange(5), target, **options)
    again = reconstructed(model, images, np.arange(5), target, **options)
    assert found.error.tolist() == again.error.tolist()
    assert found.size == SIZE**2
    seen = torch.from_numpy(images)[:, None] / 255.0
    asked = torch.cat([torch.from_numpy(target), torch.ones(5, 1)], dim=1)
    with torch.inference_mode():
        codes, prior = model.encode(seen, asked), model.expect(asked)
        made = model.decode(codes.mean, asked)
        near = (made - seen).square().flatten(1).mean(dim=1)
    normal = torch.distributions.Normal
    by_torch = torch.distributions.kl_divergence(
        *(normal(each.mean, (0.5 * each.log_variance).exp()) for each in (codes, prior))
    ).sum(dim=1)
    assert found.kl == pytest.approx(by_torch.numpy(), rel=1e-4, abs=1e-5)
    assert found.error == pytest.approx(near.numpy(), rel=0.2)
    # KL(N(1, e) ‖ N(0, 1)) = ½ (e + 1 − 1 − 1)
    one = torch.ones(1, 1)
    by_hand = kl_of_each(Normal(one, one), Normal(0 * one, 0 * one)).item()
    assert by_hand == pytest.approx((math.e - 1) / 2)


def attacked(epochs, *, members=40, others=120):
    """AUROC of every score against a VAE trained for so many epochs on the members."""
    images, target = scans(members + others, 5)
    rows = np.arange(len(images))
    config = VaeConfig(width=8, latent=32, epochs=epochs, kl_warmup_epochs=0, beta=0.05)
    pool = ImagePool.of(images, rows[:members], target[:members])
    model = train_vae(pool, None, config, size_px=SIZE, device="cpu", seed=0).model
    options = {"size_px": SIZE, "device": "cpu", "seed": 0}
    found = reconstructed(model, images, rows, target, **options)
    asked = np.tile(target[:members], (10, 1))
    samples = draw_samples(model, asked, image_size=SIZE, **options)
    near = distances(samples, images, rows, size_px=SIZE)
    scores = {
        "reconstruction": reconstruction_score(found),
        "elbo": elbo_score(found),
        "nearest": nearest_score(near),
        "monte-carlo": monte_carlo_score(near),
    }
    truth = (rows < members).astype(float)[:, None]
    return {
        name: score_run(
            truth, score[:, None], ["member"], rows, level=0.95, units=("image", "images")
        ).scores[0]
        for name, score in scores.items()
    }


def test_a_vae_that_knows_its_images_by_heart_is_found_out_and_one_hardly_trained_is_not():
    by_heart, fresh = attacked(40), attacked(1)
    for name in ("reconstruction", "elbo"):  # so near 1 that an interval is not shown
        assert by_heart[name].value > 0.97
        assert by_heart[name].ci is None
    for name in ("nearest", "monte-carlo"):
        assert by_heart[name].ci[0] > 0.55
    assert all(score.ci[0] < 0.5 < score.ci[1] for score in fresh.values())


@pytest.mark.parametrize(
    ("names", "attackers", "words"),
    [
        (("loss",), BOTH, "--methods: there is no loss. Known of holder and recipient: recon"),
        (("nearest",), ("holder",), "there is no nearest. Known of holder: reconstruction, elbo"),
        ((), BOTH, "name each once, at least one"),
        (("elbo", "elbo"), BOTH, "name each once, at least one"),
        (("calibrated",), BOTH, "there is no other. Leave it out"),
    ],
)
def test_a_method_that_cannot_be_used_is_refused_by_name(names, attackers, words):
    with pytest.raises(ConfigError, match=words):
        vae_methods_of(names, attackers, references=0)


def test_methods_are_those_of_the_attackers_and_of_the_vaes_that_there_are():
    alone = [method.name for method in vae_methods_of(None, BOTH, references=0)]
    assert alone == ["reconstruction", "elbo", "nearest", "monte-carlo"]
    several = [method.name for method in vae_methods_of(None, ("holder",), references=2)]
    assert several == ["reconstruction", "elbo", "calibrated"]
