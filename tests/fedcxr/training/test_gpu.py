"""Training on a real GPU; skipped where there is none."""

import pytest
import torch
from test_loop import BF16, digest, films, network, train
from test_vae_training import CONFIG, disks

from fedcxr.config.model import ModelConfig
from fedcxr.models.architectures import build_model
from fedcxr.training.samples import draw_samples
from fedcxr.training.vae import train_vae

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("name", ["densenet_small", "densenet121", "resnet50"])
def test_the_same_seed_gives_the_same_bits(name):
    found = set()
    for _ in range(3):
        model = build_model(ModelConfig(name=name, image_size=96), num_outputs=2, seed=0)
        data = films(num=40, size=96)
        train(model, *data, precision=BF16, device="cuda:0", config={"batch_size": 16})
        found.add(digest(model))
    assert len(found) == 1


def test_a_gpu_trains_nearly_as_the_cpu_does():
    losses = []
    for device in ("cpu", "cuda:0"):
        model = network()
        result = train(model, *films(num=64), device=device, config={"local_epochs": 2})
        losses.append(result.train_loss)
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_a_vae_and_its_samples_are_the_same_bits_too():
    made = []
    for _ in range(2):
        found = train_vae(disks(48, 0), disks(16, 1), CONFIG, size_px=32, device="cuda:0", seed=0)
        target = disks(20, 2).target
        options = {"size_px": 32, "image_size": 32, "device": "cuda:0"}
        made.append((found.history, draw_samples(found.model, target, seed=1, **options)))
    assert made[0][0] == made[1][0]
    assert (made[0][1] == made[1][1]).all()
