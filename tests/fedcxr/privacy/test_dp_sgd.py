"""One step of DP-SGD, against hand computation, a loop of autograd, and Opacus."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fedcxr.privacy.dp_sgd import (
    Mechanism,
    PatientSum,
    image_gradients,
    noised,
    poisson_sample,
    step_gradient,
)
from fedcxr.privacy.secret_noise import SecretStream

SECRET = bytes(32)


def stream(*names):
    return SecretStream(SECRET, *names)


def loss(logits, target):
    known = ~torch.isnan(target)
    losses = binary_cross_entropy_with_logits(logits, target.nan_to_num(), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)
    )


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(7, 1, 8, 8, generator=generator)
    target = torch.randint(0, 2, (7, 3), generator=generator).float()
    target[0, 1] = torch.nan
    target[3] = torch.nan
    return inputs, target


def size_of(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def autograd(model, inputs, target):
    """Return an image's gradient as autograd gives it."""
    model.zero_grad()
    loss(model(inputs[None]), target[None]).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()]).clone()


def test_a_patient_is_the_mean_of_its_images_shortened_to_the_clip():
    # Patient 0: mean of (3, 0) and (0, 8) = (1.5, 4), of length √18.25 = 4.272; by 1/4.272 it is
    # (0.3511, 0.9363). Patient 1: (0.3, 0.4), of length 0.5, stays. Their sum: (0.6511, 1.3363).
    total = PatientSum(2, clip=1.0)

    total.add(
        torch.tensor([[3.0, 0.0], [0.0, 8.0], [0.3, 0.4]]),
        np.array([0, 0, 1]),
        np.array([0.5, 0.5, 1.0]),
    )

    assert total.result().tolist() == pytest.approx([0.651123, 1.336329], abs=1e-6)
    assert total.num_patients == 2


def test_the_sum_is_that_of_a_loop_over_patients_with_autograd(model, images):
    inputs, target = images
    patients = [np.array([0, 1, 2]), np.array([3]), np.array([4, 5]), np.array([6])]
    expected = torch.zeros(size_of(model), dtype=torch.float64)
    for own in patients:
        mean = torch.stack([autograd(model, inputs[i], target[i]) for i in own]).mean(0).double()
        expected += mean * min(1.0, 0.1 / max(float(mean.norm()), 1e-300))

    def gradients_of(picked):
        return image_gradients(model, loss, inputs[picked], target[picked])

    mechanism = Mechanism(clip=0.1, noise=0.0, expected=2.5)
    found, _ = step_gradient(gradients_of, patients, size_of(model), mechanism, stream())

    torch.testing.assert_close(found.double(), expected / 2.5, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("physical", [1, 2, 3, 5])
def test_the_physical_batch_changes_no_result(model, images, physical):
    inputs, target = images
    patients = [np.array([0, 1, 2, 3]), np.array([4]), np.array([5, 6])]

    def gradients_of(picked):
        assert len(picked) <= physical
        return image_gradients(model, loss, inputs[picked], target[picked])

    def of(physical_batch):
        mechanism = Mechanism(0.1, 1.0, 2.0, physical_batch)
        return step_gradient(gradients_of, patients, size_of(model), mechanism, stream("n"))[0]

    small = of(physical)
    physical = 7  # what `gradients_of` allows

    torch.testing.assert_close(small, of(7), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Full backward hook")  # Opacus's own hooks, on a first layer
def test_a_step_of_single_images_is_that_of_opacus(model, images):
    opacus = pytest.importorskip("opacus")
    inputs, target = images
    rows = image_gradients(model, loss, inputs, target)
    total = PatientSum(rows.shape[1], clip=0.5)
    total.add(rows, np.arange(7), np.ones(7))

    hooked = opacus.GradSampleModule(model, loss_reduction="sum")
    optimizer = opacus.optimizers.DPOptimizer(
        torch.optim.SGD(hooked.parameters(), lr=1.0),
        noise_multiplier=0.0,
        max_grad_norm=0.5,
        expected_batch_size=4,
    )
    before = torch.cat([p.detach().flatten() for p in hooked.parameters()])
    logits = hooked(inputs)
    sum(loss(logits[i : i + 1], target[i : i + 1]) for i in range(7)).backward()
    optimizer.step()
    after = torch.cat([p.detach().flatten() for p in hooked.parameters()])

    # Opacus clips to C/(norm + 1e-6), which is a millionth shorter.
    own = noised(total.result(), Mechanism(0.5, 0.0, 4.0), stream())
    torch.testing.assert_close(own, before - after, rtol=1e-4, atol=1e-7)


def test_one_patient_more_changes_the_sum_by_no_more_than_the_clip():
    generator = torch.Generator().manual_seed(3)
    rows = 10 * torch.randn(6, 50, generator=generator)
    with_all, without = PatientSum(50, clip=1.5), PatientSum(50, clip=1.5)
    with_all.add(rows, np.array([0, 1, 1, 2, 3, 3]), np.array([1, 0.5, 0.5, 1, 0.5, 0.5]))
    without.add(rows[:4], np.array([0, 1, 1, 2]), np.array([1, 0.5, 0.5, 1]))

    change = (with_all.result() - without.result()).norm()

    assert float(change) == pytest.approx(1.5, rel=1e-6)


def test_many_copies_of_an_image_count_as_one_patient():
    row = torch.tensor([[3.0, 4.0]])
    total = PatientSum(2, clip=1.0)

    total.add(row.repeat(100, 1), np.zeros(100, np.int64), np.full(100, 0.01))

    assert total.result().tolist() == pytest.approx([0.6, 0.8], abs=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_patient_whose_gradient_is_not_finite_contributes_0(bad):
    total = PatientSum(2, clip=1.0)

    total.add(torch.tensor([[bad, 1.0], [0.3, 0.4]]), np.array([0, 1]), np.ones(2))

    assert total.result().tolist() == pytest.approx([0.3, 0.4])
    assert total.num_not_finite == 1


def test_a_gradient_too_long_for_float32_is_shortened_all_the_same():
    total = PatientSum(2, clip=1.0)

    total.add(torch.tensor([[3e30, 4e30]]), np.array([0]), np.ones(1))

    assert total.result().tolist() == pytest.approx([0.6, 0.8])


def test_an_empty_draw_steps_with_noise_alone():
    mechanism = Mechanism(clip=2.0, noise=3.0, expected=4.0)

    found, total = step_gradient(lambda picked: torch.empty(0, 5), [], 5, mechanism, stream("n"))

    # σC/expected = 3·2/4
    assert found.tolist() == pytest.approx((1.5 * stream("n").normals(5)).tolist(), rel=1e-6)
    assert total.num_patients == 0


def test_the_sum_is_divided_by_the_expected_number_of_patients_not_by_the_drawn_one():
    mechanism = Mechanism(clip=1.0, noise=0.0, expected=10.0)
    rows = torch.tensor([[0.5, 0.0], [0.5, 0.0]])

    found, _ = step_gradient(
        lambda picked: rows[picked], [np.array([0]), np.array([1])], 2, mechanism, stream()
    )

    assert found.tolist() == pytest.approx([0.1, 0.0])


def test_noise_has_the_deviation_of_the_mechanism():
    mechanism = Mechanism(clip=0.5, noise=2.0, expected=1.0)

    found = noised(torch.zeros(200_000, dtype=torch.float64), mechanism, stream("n"))

    assert float(found.std()) == pytest.approx(1.0, abs=4 / np.sqrt(2 * 200_000))


def test_patients_are_drawn_each_by_itself_with_the_rate():
    counts = np.zeros(50)
    sizes = []
    draws = stream("draws")
    for _ in range(4000):
        taken = poisson_sample(draws, 50, 0.2)
        counts[taken] += 1
        sizes.append(len(taken))

    # 4000 draws: a patient's share is 0.2 ± √(0.2·0.8/4000); sizes are binomial, variance 8.
    assert np.abs(counts / 4000 - 0.2).max() < 4.5 * np.sqrt(0.16 / 4000)
    assert np.var(sizes) == pytest.approx(8, rel=0.1)


def test_a_rate_of_1_takes_every_patient():
    assert poisson_sample(stream(), 9, 1.0).tolist() == list(range(9))


def test_an_image_without_a_known_label_has_no_gradient(model, images):
    inputs, target = images

    assert float(image_gradients(model, loss, inputs, target)[3].abs().max()) == 0


@pytest.mark.parametrize(
    "values", [{"clip": 0.0}, {"noise": -1.0}, {"expected": 0.0}, {"physical_batch": 0}]
)
def test_a_mechanism_out_of_range_is_refused(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        Mechanism(**{"clip": 1.0, "noise": 1.0, "expected": 1.0, **values})
