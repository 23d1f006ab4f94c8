import numpy as np
import pytest
import torch
from torch import nn

from fedcxr.config.model import ModelConfig
from fedcxr.explain.cam import cam
from fedcxr.explain.methods import METHODS, heat_maps
from fedcxr.models.architectures import MODEL_NAMES, build_model
from fedcxr.models.base import CxrModel

POOLED = ("densenet121", "densenet_small", "resnet50", "efficientnet_b0")


class TwoChannels(nn.Module):
    """Last map: the image's 2 × 2 cells, and their negatives; head: two labels."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(1, 2, kernel_size=2, stride=2, bias=False)
        self.maps.weight.data = torch.tensor([0.25, -0.25]).reshape(2, 1, 1, 1).expand(2, 1, 2, 2)
        self.head = nn.Linear(2, 2)
        self.head.weight.data = torch.tensor([[1.0, 0.5], [-1.0, 2.0]])
        self.head.bias.data = torch.tensor([0.1, -0.2])

    def forward(self, images):
        return self.head(self.maps(images).mean(dim=(2, 3)))


def two_channels():
    return CxrModel(TwoChannels(), "maps", ("maps", "head")).eval()


def films(num=3, size=64):
    return torch.randn(num, 1, size, size, generator=torch.Generator().manual_seed(0))


def test_the_map_is_the_heads_weights_over_the_last_map():
    # cells of the image's means: f_0 = [[1, 2], [3, 4]], f_1 = -f_0
    cells = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    image = cells.repeat_interleave(2, 0).repeat_interleave(2, 1)[None, None]
    found = cam(two_channels(), image.repeat(2, 1, 1, 1), torch.tensor([0, 1]))
    # label 0: 1·f_0 + 0.5·f_1 = 0.5 f_0; label 1: -1·f_0 + 2·f_1 = -3 f_0
    np.testing.assert_allclose(found[0], [[0.5, 1.0], [1.5, 2.0]])
    np.testing.assert_allclose(found[1], [[-3.0, -6.0], [-9.0, -12.0]])


def test_the_map_of_a_real_network_is_what_numpy_computes():
    model = build_model(ModelConfig(), num_outputs=3, seed=0).eval()
    images, labels = films(), torch.tensor([2, 0, 1])
    with torch.no_grad():
        last = torch.relu(model.network.features(images)).numpy()  # (N, C, 2, 2)
    weights = model.network.classifier.weight.detach().numpy()
    for found, features, label in zip(cam(model, images, labels), last, labels, strict=True):
        expected = sum(weights[label, k] * features[k] for k in range(len(features)))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", POOLED)
def test_the_mean_of_the_map_and_the_bias_are_the_logit(name):
    model = build_model(ModelConfig(name=name), num_outputs=3, seed=0).eval()
    head = model.pooled_head.linear
    nn.init.normal_(head.bias, generator=torch.Generator().manual_seed(1))
    images, labels = films(), torch.tensor([0, 1, 2])
    with torch.no_grad():
        logits = model(images)[torch.arange(3), labels].numpy()
    means = cam(model, images, labels).mean(dim=(1, 2)) + head.bias.detach()[labels]
    np.testing.assert_allclose(means, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_only_networks_with_a_pooled_head_have_it(name):
    model = build_model(ModelConfig(name=name), num_outputs=2, seed=0)
    assert METHODS.get("cam").lacks(model) == (None if name in POOLED else "no-pooled-head")
    assert METHODS.get("gradcam").lacks(model) is None


def test_what_speaks_against_is_no_heat_and_the_peak_is_one():
    image = torch.zeros(2, 1, 4, 4)
    image[:, :, 2:, :2] = 1.0
    found = heat_maps(METHODS.get("cam"), two_channels(), image, torch.tensor([0, 1]))
    assert found.cells == (2, 2)
    assert found.heat.shape == (2, 4, 4)
    assert found.heat[0, 3, 0] == 1
    assert found.heat[0, 0, 3] == 0
    assert not found.heat[1].any()


def test_no_hook_stays_and_no_gradient_is_kept():
    model = two_channels()
    cam(model, films(size=4), torch.tensor([0, 0, 1]))
    assert not model.pooled_head.map_layer._forward_hooks
    assert all(tensor.grad is None for tensor in model.parameters())
