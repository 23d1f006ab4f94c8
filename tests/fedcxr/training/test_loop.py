import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from fedcxr.config.model import ModelConfig
from fedcxr.config.train import AugmentConfig, TrainConfig
from fedcxr.data.policies import UNCERTAIN_CLASS
from fedcxr.errors import DivergedError
from fedcxr.models.architectures import build_model
from fedcxr.parameters import extract, load_into, spec_of
from fedcxr.training.loop import NO_LABEL, NONE_REAL, TOO_FEW, train_site
from fedcxr.training.losses import LOSSES, Loss, masked_bce
from fedcxr.training.optimizers import OPTIMIZERS
from fedcxr.training.pool import ImagePool, ImageSource
from fedcxr.training.precision import Precision
from fedcxr.training.transforms import Normalization, normalize

FP32 = Precision("fp32", channels_last=False, why="test")
BF16 = Precision("bf16", channels_last=True, why="test")
SAME = Normalization("preset", 0.5, 0.25)
NO_VIEWS = AugmentConfig(min_crop_area=1.0, max_aspect=1.0, flip=0.0, max_rotation_deg=0.0)


def films(num=12, size=32, labels=2, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (num, size, size), dtype=np.uint8)
    target = (rng.random((num, labels)) > 0.5).astype(np.float32)
    return images, np.arange(num), target


def network(seed=0, labels=2):
    return build_model(ModelConfig(image_size=32), num_outputs=labels, seed=seed)


def train(model, images, rows, target, **changes):
    return train_pool(model, ImagePool.of(images, rows, target), **changes)


def train_pool(model, pool, **changes):
    config = {"batch_size": 4, **changes.pop("config", {})}
    settings = {
        "learning_rate": 1e-3,
        "normalization": SAME,
        "precision": FP32,
        "device": "cpu",
        "seed": 1,
        **changes,
    }
    return train_site(model, pool, config=TrainConfig(**config), **settings)


def digest(model):
    return extract(model, spec_of(model)).sha256()


def one_run():
    """Train a fresh model on one thread and return its digest; also run in a process of its own."""
    torch.set_num_threads(1)
    model = network()
    train(model, *films(), precision=BF16, config={"local_epochs": 2})
    return digest(model)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_same_seed_gives_the_same_bits_here_and_in_another_process():
    here = one_run()
    torch.rand(7)  # whatever the global generator did before
    assert one_run() == here
    code = "import test_loop; print(test_loop.one_run())"
    folder = str(__import__("pathlib").Path(__file__).parent)
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder
    )
    assert there.stdout.strip() == here


def test_the_optimiser_of_the_client_before_leaves_nothing_behind():
    spec, start = spec_of(network()), extract(network(), spec_of(network()))
    used = network()
    train(used, *films(seed=5), learning_rate=0.1, config={"beta1": 0.5, "weight_decay": 0.1})
    load_into(used, spec, start)
    fresh = network()
    for model in (used, fresh):
        train(model, *films(), config={"local_epochs": 2})
    assert digest(used) == digest(fresh)


def test_an_optimiser_of_another_layout_is_made_anew():
    start = extract(network(), spec_of(network()))
    used, fresh = network(), network()
    train(used, *films(seed=5))
    load_into(used, spec_of(used), start)
    for model in (used, fresh):
        train(model, *films(), precision=BF16)
    assert digest(used) == digest(fresh)


def test_another_seed_gives_other_weights():
    one, other = network(), network()
    train(one, *films())
    train(other, *films(), seed=2)
    assert digest(one) != digest(other)


def test_dropout_is_seeded_and_the_global_generator_untouched():
    before = torch.get_rng_state()
    runs = []
    for _ in range(2):
        model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(32 * 32, 2))
        nn.init.zeros_(model[2].weight)
        nn.init.zeros_(model[2].bias)
        torch.set_rng_state(before)
        train(model, *films())
        assert torch.equal(torch.get_rng_state(), before)
        runs.append(digest(model))
    assert runs[0] == runs[1]


def test_a_step_is_that_of_a_plain_loop():
    images, rows, target = films(num=6)
    ours, plain = network(), network()
    result = train(ours, images, rows, target, config={"batch_size": 6, "augment": NO_VIEWS})
    inputs = (torch.from_numpy(images).unsqueeze(1) / 255 - 0.5) / 0.25
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3)
    loss = masked_bce(plain(inputs), torch.from_numpy(target))
    loss.backward()
    optimizer.step()
    assert result.train_loss == pytest.approx(loss.item(), rel=1e-5)
    # one batch in another order: sums differ in the last bits, and Adam's first step is ± lr
    close = np.isclose(
        extract(ours, spec_of(ours)).vector, extract(plain, spec_of(plain)).vector, atol=1e-4
    )
    assert close.mean() > 0.98


def test_training_lowers_the_loss_and_learns_what_is_there():
    images, rows, target = films(num=32)
    images[target[:, 0] == 1] //= 4  # the label is the darkness
    target[:, 1] = np.nan
    model = network()
    first = train(model, images, rows, target)
    for seed in range(2, 8):
        last = train(model, images, rows, target, seed=seed)
    assert last.train_loss < 0.7 * first.train_loss


def test_rows_choose_the_images():
    images, _, target = films(num=6)
    padded = np.zeros((20, 32, 32), dtype=np.uint8)
    rows = np.array([3, 17, 5, 11, 2, 8])
    padded[rows] = images
    one, other = network(), network()
    train(one, images, np.arange(6), target)
    train(other, padded, rows, target)
    assert digest(one) == digest(other)


def test_a_last_batch_of_one_is_dropped():
    # 9 images in batches of 4: 4 + 4 + (1 dropped), twice
    result = train(network(), *films(num=9), config={"local_epochs": 2})
    assert (result.num_examples, result.num_steps, result.images_seen) == (9, 4, 16)


@pytest.mark.parametrize("num", [0, 1])
def test_too_few_images_are_skipped_with_a_reason_and_change_nothing(num):
    model = network()
    before = digest(model)
    result = train(model, *films(num=num))
    assert (result.num_examples, result.num_steps) == (0, 0)
    assert result.reason == TOO_FEW
    assert np.isnan(result.train_loss)
    assert digest(model) == before


def test_a_site_without_known_labels_is_skipped_with_a_reason():
    images, rows, target = films()
    result = train(network(), images, rows, np.full_like(target, np.nan))
    assert result.num_examples == 0
    assert result.reason == NO_LABEL


def test_the_loss_is_the_mean_over_known_labels_of_all_batches():
    # the logits stay 0 (zero weights, zero rate), so each known label costs ln 2 in every batch
    images, rows, target = films(num=8)
    target[0] = np.nan
    target[1:4, 1] = np.nan
    model = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 2))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[1].bias)
    result = train(model, images, rows, target, learning_rate=1e-12)
    assert result.train_loss == pytest.approx(np.log(2), rel=1e-5)


def test_a_three_way_label_counts_as_one_known_label():
    # zero logits: ln 3 for each entry of the three-way label, ln 2 for each of the other
    images, rows, target = films(num=8)
    target[:4, 0] = UNCERTAIN_CLASS
    target[6:, 1] = np.nan
    model = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 3))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[1].bias)
    result = train(model, images, rows, target, learning_rate=1e-12, multi_class=[0])
    assert result.train_loss == pytest.approx((8 * np.log(3) + 6 * np.log(2)) / 14, rel=1e-5)


def test_a_three_way_label_learns_all_three_classes():
    images, rows, _ = films(num=48)
    classes = np.arange(48) % 3
    gray = np.uint8([0, 192, 96])[classes]  # dark is negative, bright positive, between uncertain
    images = images // 4 + gray[:, None, None]
    target = np.float32(classes[:, None])
    model = network(labels=2)
    settings = {"multi_class": [0], "learning_rate": 3e-3, "config": {"local_epochs": 4}}
    for seed in range(1, 4):
        last = train(model, images, rows, target, seed=seed, **settings)
    assert last.train_loss < 0.6 * np.log(3)
    sure = classes < 2
    inputs = normalize(torch.from_numpy(images[sure]), SAME)
    with torch.no_grad():
        probs = torch.sigmoid(model.eval()(inputs)[:, 0]).numpy()
    assert roc_auc_score(classes[sure], probs) == 1.0


def test_a_loss_that_is_not_finite_stops_at_the_next_look_and_is_an_error(caplog):
    model = network()
    with torch.no_grad():
        model.network.classifier.bias.fill_(float("nan"))
    with pytest.raises(DivergedError, match="the loss is not finite; lower"):
        train(model, *films(), config={"local_epochs": 100})
    assert "not finite at step 1" in caplog.text


def test_frozen_batch_norm_keeps_its_statistics_and_trains_its_weights():
    model = network()
    spec = spec_of(model)
    before = extract(model, spec)
    train(model, *films(), freeze_batch_norm=True)
    after = extract(model, spec)
    np.testing.assert_array_equal(
        after.vector[spec.num_trainable :], before.vector[spec.num_trainable :]
    )
    np.testing.assert_array_equal(after.counters, before.counters)
    assert not np.array_equal(
        after.vector[: spec.num_trainable], before.vector[: spec.num_trainable]
    )


def test_a_memory_map_trains_as_an_array_does(tmp_path):
    images, rows, target = films()
    images.tofile(tmp_path / "images.u8")
    mapped = np.memmap(tmp_path / "images.u8", dtype=np.uint8, mode="r", shape=images.shape)
    one, other = network(), network()
    train(one, images, rows, target)
    train(other, mapped, rows, target)
    assert digest(one) == digest(other)


def test_relus_overwrite_their_input_while_training_only_and_change_no_bit():
    images, rows, target = films()
    ours, same = network(), network()
    relus = [module for module in ours.modules() if isinstance(module, nn.ReLU)]
    seen = set()
    for relu in relus:
        relu.register_forward_hook(lambda module, *_: seen.add(module.inplace))
    train(ours, images, rows, target, precision=BF16)
    assert relus
    assert seen == {True}
    assert not any(relu.inplace for relu in relus)
    # wrapped, it is no network of the registry, and its layers are left as they are
    train(nn.Sequential(same), images, rows, target, precision=BF16)
    assert digest(ours) == digest(same)


def test_a_foreign_network_may_use_the_input_of_a_relu_again():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu, self.head = nn.ReLU(), nn.Linear(32 * 32, 2)

        def forward(self, images):
            flat = images.flatten(1)
            assert not self.relu.inplace
            return self.head(flat + self.relu(flat))

    assert np.isfinite(train(Residual(), *films()).train_loss)


def mixed_pool(real=7, made_up=5):
    """Return a pool of real and made-up images, and the same images as one array."""
    images, _, target = films(num=real + made_up)
    rows = np.arange(real)[::-1].copy()
    sources = (
        ImageSource(images[:real][::-1], rows, target[:real]),
        ImageSource(images[real:], np.arange(made_up), target[real:], is_real=False),
    )
    return ImagePool(sources), (images, np.arange(real + made_up), target)


def test_sources_are_trained_on_as_one_array_of_the_same_images():
    pool, whole = mixed_pool()
    one, other = network(), network()
    settings = {"config": {"local_epochs": 2}}
    train(one, *whole, **settings)
    train_pool(other, pool, **settings)
    assert digest(one) == digest(other)


def test_only_real_images_weigh_in_the_mean():
    pool, _ = mixed_pool(real=7, made_up=5)
    result = train_pool(network(), pool)
    assert (result.num_examples, result.images_seen) == (7, 12)


def test_a_pool_without_a_real_image_is_skipped_with_a_reason():
    images, rows, target = films()
    pool = ImagePool((ImageSource(images, rows, target, is_real=False),))
    model = network()
    before = digest(model)
    result = train_pool(model, pool)
    assert (result.num_examples, result.num_steps, result.reason) == (0, 0, NONE_REAL)
    assert digest(model) == before


def test_a_correction_is_called_once_a_step_with_the_gradients_there():
    model, plain = network(), network()
    seen = []

    def correct():
        seen.append(all(p.grad is not None for p in model.parameters()))
        for parameter in model.parameters():
            parameter.grad.zero_()

    start = extract(model, spec_of(model))
    result = train(model, *films(), correct=correct)
    assert seen == [True] * result.num_steps == [True] * 3
    # the optimiser stepped by what the correction left of the gradients: nothing
    trainable = slice(0, spec_of(model).num_trainable)
    after = extract(model, spec_of(model))
    np.testing.assert_array_equal(after.vector[trainable], start.vector[trainable])
    train(plain, *films(), correct=lambda: None)
    assert digest(plain) != digest(network())


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_every_optimiser_lowers_the_loss(name):
    images, rows, target = films(num=32)
    images[target[:, 0] == 1] //= 4
    target[:, 1] = np.nan
    model, rate = network(), {"sgd": 3e-2}.get(name, 1e-3)
    settings = {"config": {"optimizer": name}, "learning_rate": rate}
    first = train(model, images, rows, target, **settings)
    for seed in range(2, 8):
        last = train(model, images, rows, target, seed=seed, **settings)
    assert last.train_loss < 0.8 * first.train_loss


@pytest.mark.parametrize("name", LOSSES.names())
def test_every_loss_learns_what_is_there(name):
    images, rows, target = films(num=32)
    images[target[:, 0] == 1] //= 4
    target[:, 1] = np.nan
    model, settings = network(), {"config": {"loss": name}}
    first = train(model, images, rows, target, **settings)
    for seed in range(2, 8):
        last = train(model, images, rows, target, seed=seed, **settings)
    assert last.train_loss < 0.8 * first.train_loss


def test_a_loss_that_a_file_adds_is_trained_with():
    LOSSES.add("squared", Loss(lambda config, target, device: squared_error))
    try:
        images, rows, target = films(num=8)
        model = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 2))
        nn.init.zeros_(model[1].weight)
        nn.init.zeros_(model[1].bias)
        settings = {"config": {"loss": "squared"}, "learning_rate": 1e-12}
        result = train(model, images, rows, target, **settings)
    finally:
        LOSSES.remove("squared")
    assert result.train_loss == pytest.approx(0.25)  # (0.5 − y)²


def squared_error(logits, target):
    return (torch.sigmoid(logits) - target) ** 2
