import numpy as np
import pytest
import torch

from fedcxr.attacks.shadows import taught, train_shadow
from fedcxr.config import load_config
from fedcxr.inference import Predictor
from fedcxr.training.pool import ImagePool
from fedcxr.training.precision import Precision


def test_each_patient_is_in_exactly_half_of_an_even_number_of_models():
    inside = np.array([taught(7, model, seed=3) for model in range(10)])
    assert (inside.sum(axis=0) == 5).all()
    assert sorted(set(inside.sum(axis=1).tolist())) == [3, 4]


def test_whom_a_model_is_taught_does_not_depend_on_how_many_there_are():
    assert (taught(100, 2, seed=0) == taught(100, 2, seed=0)).all()
    assert (taught(100, 2, seed=0) != taught(100, 4, seed=0)).any()
    assert (taught(100, 2, seed=0) != taught(100, 2, seed=1)).any()


@pytest.fixture
def target():
    config = load_config(
        overrides={
            "data.labels": ["Edema", "Fracture"],
            "model.image_size": 32,
            "train.batch_size": 8,
            "engine.device": "cpu",
        }
    )
    labels = config.data.labels
    return Predictor(
        config, labels, precision=Precision("fp32", False, ""), device="cpu", threads=1
    )


def test_a_shadow_learns_what_it_is_taught_repeatably_and_from_weights_of_its_own(target):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (16, 32, 32), dtype=np.uint8)
    truth = rng.integers(0, 2, (16, 2)).astype(np.float32)
    rows = np.arange(16)
    pool = ImagePool.of(images, rows, truth)
    before = target.parameters().sha256()
    threads = torch.get_num_threads()
    try:
        first, again, other = (
            train_shadow(target, pool, model, rates=[1e-3, 1e-3], threads=1) for model in (0, 0, 1)
        )
    finally:
        torch.set_num_threads(threads)
    assert first.parameters().sha256() == again.parameters().sha256()
    assert first.parameters().sha256() != other.parameters().sha256()
    assert target.parameters().sha256() == before
    assert first.probs_at(images, rows).shape == (16, 2)
