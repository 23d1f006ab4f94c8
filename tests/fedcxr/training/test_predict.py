import numpy as np
import pytest
import torch
from torch import nn

from fedcxr.config.model import ModelConfig
from fedcxr.models.architectures import build_model
from fedcxr.parameters import extract, spec_of
from fedcxr.training.batches import pixel_moments
from fedcxr.training.precision import Precision
from fedcxr.training.predict import predict, recalibrate_batch_norm
from fedcxr.training.transforms import Normalization, normalize

FP32 = Precision("fp32", channels_last=False, why="test")
SETTINGS = {"normalization": Normalization("preset", 0.5, 0.25), "precision": FP32, "device": "cpu"}


def films(num=10):
    return np.random.default_rng(0).integers(0, 256, (num, 32, 32), dtype=np.uint8)


def network():
    return build_model(ModelConfig(image_size=32), num_outputs=3, seed=0)


def test_probabilities_are_the_sigmoid_of_the_logits_in_the_order_of_the_rows():
    model, images, rows = network(), films(), np.array([7, 0, 3, 3, 9])
    probs = predict(model, images, rows, batch_size=2, **SETTINGS)
    inputs = normalize(torch.from_numpy(images[rows]), SETTINGS["normalization"])
    with torch.no_grad():
        expected = torch.sigmoid(model.eval()(inputs)).numpy()
    assert probs.dtype == np.float32
    np.testing.assert_allclose(probs, expected, atol=1e-5)


def test_predicting_changes_nothing_in_the_model():
    model = network()
    before = extract(model, spec_of(model)).sha256()
    predict(model, films(), np.arange(10), batch_size=4, **SETTINGS)
    assert extract(model, spec_of(model)).sha256() == before


def test_bf16_predicts_nearly_what_fp32_does():
    model, images, rows = network(), films(), np.arange(10)
    exact = predict(model, images, rows, batch_size=4, **SETTINGS)
    bf16 = {**SETTINGS, "precision": Precision("bf16", channels_last=True, why="test")}
    np.testing.assert_allclose(predict(model, images, rows, batch_size=4, **bf16), exact, atol=0.02)


def test_only_the_columns_of_the_labels_are_probabilities():
    model, images, rows = network(), films(), np.arange(5)
    every = predict(model, images, rows, batch_size=4, **SETTINGS)
    labels = predict(model, images, rows, batch_size=4, num_labels=2, **SETTINGS)
    np.testing.assert_array_equal(labels, every[:, :2])


def test_no_rows_give_no_probabilities():
    empty = np.zeros(0, dtype=np.int64)
    assert predict(network(), films(), empty, batch_size=4, **SETTINGS).shape == (0, 0)


def test_recalibration_measures_the_mean_of_the_batches():
    # one norm over the input itself: its statistics are those of the normalised pixels
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), nn.Flatten())
    images, rows = films(num=9), np.arange(9)
    recalibrate_batch_norm(model, images, rows, batch_size=4, **SETTINGS)
    batches = ((images[:8] / 255.0 - 0.5) / 0.25).reshape(2, -1)  # the ninth image is left out
    norm = model[0]
    assert norm.running_mean.item() == pytest.approx(batches.mean(), abs=1e-5)
    assert norm.running_var.item() == pytest.approx(batches.var(axis=1, ddof=1).mean(), rel=1e-5)
    assert norm.num_batches_tracked.item() == 2
    assert norm.momentum == 0.1
    assert not model.training


def test_recalibration_forgets_what_was_there_and_leaves_the_weights():
    model, other = network(), network()
    with torch.no_grad():
        model.network.features.norm0.running_mean.fill_(5.0)
    for each in (model, other):
        recalibrate_batch_norm(each, films(), np.arange(10), batch_size=16, **SETTINGS)
    spec = spec_of(model)
    assert extract(model, spec).sha256() == extract(other, spec).sha256()
    fresh = extract(network(), spec).vector[: spec.num_trainable]
    np.testing.assert_array_equal(extract(model, spec).vector[: spec.num_trainable], fresh)


@pytest.mark.parametrize("num", [0, 1])
def test_recalibration_needs_two_images_and_otherwise_leaves_the_model(num):
    model = network()
    before = extract(model, spec_of(model)).sha256()
    recalibrate_batch_norm(model, films(), np.arange(num), batch_size=4, **SETTINGS)
    assert extract(model, spec_of(model)).sha256() == before


def test_pixel_moments_of_the_rows_are_exact_and_add_up():
    images = films(num=12)
    rows = np.array([1, 5, 11])
    count, total, squares = pixel_moments(images, rows)
    pixels = images[rows].astype(np.float64) / 255.0
    assert count == 3 * 32 * 32
    assert (total, squares) == pytest.approx((pixels.sum(), (pixels**2).sum()), rel=1e-12)
    parts = [pixel_moments(images, rows[:1]), pixel_moments(images, rows[1:])]
    assert np.sum(parts, axis=0) == pytest.approx([count, total, squares], rel=1e-12)
    assert pixel_moments(images, rows[:0]) == (0, 0.0, 0.0)
