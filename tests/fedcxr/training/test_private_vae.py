"""A site's VAE by DP-SGD, against a loop written out by hand, and which labels it is told."""

import numpy as np
import pytest
import torch

from fedcxr.config.vae import VaeConfig
from fedcxr.errors import DivergedError
from fedcxr.models.group_norm import batch_norms
from fedcxr.models.vae import build_vae
from fedcxr.privacy.dp_sgd import Mechanism
from fedcxr.privacy.secret_noise import SecretStream
from fedcxr.training.optimizers import OPTIMIZERS
from fedcxr.training.pool import ImagePool
from fedcxr.training.private_loop import PrivateSteps
from fedcxr.training.private_vae import kl_weight, one_label, train_vae_privately
from fedcxr.training.samples import draw_samples, plan_public_samples
from fedcxr.training.vae import conditions_of

CONFIG = VaeConfig(width=8, latent=2, kl_warmup_epochs=2, learning_rate=0.05)
COLUMNS = np.array([0, 2])
SECRET = bytes(32)


@pytest.fixture(autouse=True)
def plain_steps(monkeypatch):
    """SGD in Adam's place: its moments would hide how long a step's gradient is."""
    monkeypatch.setitem(OPTIMIZERS._values, "adam", OPTIMIZERS.get("sgd"))


@pytest.fixture
def site():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (7, 32, 32), dtype=np.uint8)
    target = rng.integers(0, 2, (7, 3)).astype(np.float32)
    target[2, 0] = np.nan
    return ImagePool.of(images, np.arange(7), target), np.array([4, 0, 4, 2, 0, 4, 9])


def steps_of(noise=1.0, rate=0.5, steps=3, physical=4, clip=0.5):
    return PrivateSteps(4, steps, rate, Mechanism(clip, noise, 2.0, physical))


def draws_of(step, what):
    return SecretStream(SECRET, step, what)


def trained(site, steps, draws=draws_of, config=CONFIG):
    model = train_vae_privately(
        *(*site, steps, draws, config), columns=COLUMNS, size_px=32, device="cpu", seed=3
    )
    assert not model.training
    return flat(model)


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def start():
    return build_vae(CONFIG, size_px=32, num_labels=3, seed=3, group_norm=True)


def by_hand(site, steps):
    """Return the weights after the same steps by autograd, an image and a patient at a time."""
    pool, patient = site
    model, velocity = start(), 0.0
    size, patients = len(flat(model)), np.unique(patient)
    for step in range(steps.steps):
        taken = np.flatnonzero(draws_of(step, "patients").uniforms(4) < steps.rate)
        images = [np.flatnonzero(patient == patients[number]) for number in taken]
        count = sum(len(own) for own in images)
        told = iter(COLUMNS[(draws_of(step, "labels").uniforms(count) * 2).astype(int)])
        codes = iter(draws_of(step, "codes").normals(2 * count).reshape(count, 2))
        total = torch.zeros(size, dtype=torch.float64)
        for own in images:
            rows = []
            for image in own:
                model.zero_grad()
                stored, target = pool.gather(np.array([image]))
                shown = torch.full((1, 3), torch.nan)
                column = next(told)
                shown[0, column] = target[0, column]
                pixels = stored[:, None] / 255
                noise = torch.tensor(next(codes), dtype=torch.float32)[None]
                made, q, p = model(pixels, conditions_of(shown), noise)
                # the likeliest variance of this image alone; the KL divergence by torch's own
                normal = torch.distributions.Normal
                error = (made - pixels).square().mean()
                nll = -normal(made, error.sqrt()).log_prob(pixels).sum()
                q, p = (normal(d.mean, (0.5 * d.log_variance).exp()) for d in (q, p))
                weight = min(1.0, (step + 1) * 0.5 / 2)
                (nll + weight * torch.distributions.kl_divergence(q, p).sum()).backward()
                rows.append(torch.cat([w.grad.flatten() for w in model.parameters()]).clone())
            mean = torch.stack(rows).mean(0).double()
            assert float(mean.norm()) > steps.mechanism.clip  # or nothing would be shortened
            total += mean * min(1.0, steps.mechanism.clip / float(mean.norm()))
        noise = torch.from_numpy(draws_of(step, "noise").normals(size))
        total += steps.mechanism.noise * steps.mechanism.clip * noise
        velocity = 0.9 * velocity + total / 2.0  # of TrainConfig's momentum
        place = 0
        with torch.no_grad():
            for w in model.parameters():
                w -= 0.05 * velocity[place : place + w.numel()].view_as(w).float()
                place += w.numel()
    return flat(model)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_training_is_the_loop_written_out_by_hand(site, noise):
    steps = steps_of(noise)

    torch.testing.assert_close(trained(site, steps), by_hand(site, steps), rtol=1e-3, atol=1e-4)


class Constant:
    """Everybody is taken, told the first label, and has the mean code."""

    def uniforms(self, count):
        return np.full(count, 0.25)

    def normals(self, count):
        return np.zeros(count)


def test_a_patient_moves_a_step_by_c_whatever_the_number_of_its_images(site):
    # without noise a step of SGD is the rate times the sum over the expected number, 2
    pool, patient = site
    steps = steps_of(noise=0.0, rate=1.0, steps=1)
    whole = trained(site, steps, lambda *names: Constant())

    for left_out in np.unique(patient):
        kept = np.flatnonzero(patient != left_out)
        other = ImagePool.of(pool.sources[0].images[kept], np.arange(len(kept)), pool.target[kept])
        without = trained((other, patient[kept]), steps, lambda *names: Constant())
        moved = float((whole - without).double().norm())
        assert moved == pytest.approx(0.05 * 0.5 / 2.0, rel=1e-3)


def test_the_same_draws_give_the_same_bits_and_others_others(site):
    first, again = (trained(site, steps_of()) for _ in range(2))
    other = trained(site, steps_of(), lambda *names: SecretStream(SECRET, "other", *names))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_physical_batch_changes_no_result(site):
    one, all_of_them = (trained(site, steps_of(physical=size)) for size in (1, 100))

    torch.testing.assert_close(one, all_of_them, rtol=1e-3, atol=1e-4)


def test_steps_without_anyone_are_noise_alone(site):
    found = trained(site, steps_of(rate=0.0, steps=1))

    before = flat(start())
    noise = torch.from_numpy(draws_of(0, "noise").normals(len(before)))
    torch.testing.assert_close(
        found, before - 0.05 * (0.5 * noise / 2.0).float(), rtol=1e-5, atol=1e-6
    )


def test_weights_that_leave_the_finite_numbers_are_told_of(site):
    steps = PrivateSteps(4, 2, 0.5, Mechanism(1e38, 1e38, 1e-5, 4))

    with pytest.raises(DivergedError, match=r"lower vae\.learning_rate"):
        trained(site, steps)


def test_an_image_s_outputs_depend_on_it_alone():
    model = start()
    assert not batch_norms(model)
    images, conditions, noise = torch.rand(3, 1, 32, 32), torch.zeros(3, 6), torch.randn(3, 2)
    together, _, _ = model(images, conditions, noise)
    alone, _, _ = model(images[1:2], conditions[1:2], noise[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


def test_an_image_is_told_one_label_as_samples_are_asked_for():
    target = torch.tensor([[1.0, 0.0, torch.nan], [0.0, 1.0, 1.0]])
    told = one_label(target, np.array([0, 2]))
    nan = float("nan")
    expected = torch.tensor([[1.0, nan, nan], [nan, nan, 1.0]])
    torch.testing.assert_close(told, expected, equal_nan=True)


def test_without_a_warm_up_the_weight_is_whole_from_the_first_step():
    assert kl_weight(VaeConfig(kl_warmup_epochs=0, beta=2.0), 0, rate=0.1) == 2.0


def test_which_samples_are_made_follows_from_the_number_of_patients_alone():
    labels = ("A", "B", "C")
    config = VaeConfig(labels=("A", "C"), classes="both", samples_per_label=50, max_ratio=0.5)
    plan = plan_public_samples(config, labels, patients=80)
    # 0.5 · 80 = 40 samples in 4 groups: 10 with and 10 without each of the two
    known = ~np.isnan(plan.target)
    assert (known.sum(axis=1) == 1).all()
    assert [np.nansum(plan.target[:, c] == v) for c in (0, 2) for v in (0, 1)] == [10] * 4
    assert plan.column.tolist() == [0] * 20 + [2] * 20
    assert len(plan_public_samples(config, labels, patients=7)) == 0
    assert len(plan_public_samples(VaeConfig(), labels, patients=10_000)) == 3 * 200


def test_samples_are_drawn_of_it(site):
    plan = plan_public_samples(CONFIG, ("A", "B", "C"), patients=6)
    made = draw_samples(
        start().eval(), plan.target, size_px=32, image_size=64, device="cpu", seed=0
    )
    assert made.shape == (6, 64, 64)
