"""The server's own model and truth: what it scores, and that the extra outputs stay inside."""

import numpy as np
import pytest
import torch

from clients.resident_model import worker_for
from fedcxr.config import load_config
from fedcxr.data.cache.store import open_cache
from fedcxr.inference import Predictor
from fedcxr.training.precision import Precision
from fedcxr.training.transforms import normalize
from partitions.table import read_table
from server.evaluate import held_out, score

LABELS = ("Edema", "Fracture")
FP32 = Precision("fp32", channels_last=False, why="test")


def config(**data):
    keys = {f"data.{key}": value for key, value in data.items()}
    return load_config(overrides={"model.image_size": 32, "server.rounds": 4, **keys})


def model_of(settings):
    return Predictor(settings, LABELS, precision=FP32, device="cpu", threads=1)


@pytest.fixture
def held(sites):
    """Site-00's nine images as if they were the server's."""

    def make(settings):
        table = read_table(sites / "sites" / "site-00.csv")
        return held_out(table, open_cache(sites / "cache"), settings, LABELS)

    return make


def test_predictions_are_of_the_labels_alone(held):
    settings = config(uncertain="multi_class")
    model, data = model_of(settings), held(config())
    probs = model.probs_at(data.images, data.rows)
    assert probs.shape == (9, 2)
    images = torch.from_numpy(np.asarray(data.images[data.rows]))
    with torch.no_grad():
        logits = model.model.eval()(normalize(images, model.normalization))
    assert logits.shape == (9, 4)
    # a softmax over (negative, positive, uncertain), then restricted to the first two
    zero = torch.zeros(9)
    for column, extra in ((0, 2), (1, 3)):
        three = torch.softmax(torch.stack([zero, logits[:, column], logits[:, extra]], 1), dim=1)
        restricted = three[:, 1] / (three[:, 0] + three[:, 1])
        np.testing.assert_allclose(probs[:, column], restricted, atol=1e-6)


def test_server_and_site_build_the_same_layout(make_task):
    policy = make_task().policy.model_copy(update={"uncertain_by_label": {"Edema": "multi_class"}})
    settings = config(uncertain_by_label={"Edema": "multi_class"})
    site = worker_for(make_task(labels=LABELS, policy=policy), 1).spec
    assert model_of(settings).spec.digest == site.digest
    assert model_of(config()).spec.digest != site.digest


@pytest.mark.parametrize(
    "uncertain", ["ignore", "zeros", "ones", "smoothed", "multi_class", "self_trained"]
)
def test_the_truth_is_the_same_whatever_the_training_makes_of_uncertain(uncertain, held):
    # Fracture is 1, -1, blank in turn
    settings = config(uncertain=uncertain)
    data = held(settings)
    expected = np.float32([1, np.nan, 0] * 3)
    np.testing.assert_array_equal(data.target[:, 1], expected)
    probs = np.full((9, 2), 0.5, np.float32)
    assert score(settings, data, probs, LABELS).auroc == {"Edema": 0.5, "Fracture": 0.5}
