import numpy as np
import pytest
import torch
from torch import nn

from fedcxr.config.model import ModelConfig
from fedcxr.data.records import Box
from fedcxr.explain.methods import METHODS, heat_maps
from fedcxr.explain.peaks import peak_in_box
from fedcxr.models.architectures import MODEL_NAMES, build_model
from fedcxr.models.base import CxrModel


def films(num=2, size=64):
    return torch.randn(num, 1, size, size, generator=torch.Generator().manual_seed(0))


def box(x, y, width, height):
    return Box("a.png", "Mass", x=x, y=y, width=width, height=height)


class Bright(nn.Module):
    """Label 0 likes bright cells, label 1 dislikes them: their maps are known by hand."""

    def __init__(self):
        super().__init__()
        self.cells = nn.AvgPool2d(4)

    def forward(self, images):
        mean = self.cells(images).mean(dim=(1, 2, 3))
        return torch.stack([mean, -mean], dim=1)


def bright():
    return CxrModel(Bright(), "cells").eval()


def gradcam(model, images, labels):
    return heat_maps(METHODS.get("gradcam"), model, images, labels).heat


def test_the_map_is_the_activation_weighed_by_its_mean_gradient():
    # the gradient of label 0 is positive and constant, so its map is the cells themselves;
    # that of label 1 is negative everywhere, so nothing speaks for it
    images = torch.zeros(2, 1, 16, 16)
    images[:, :, 8:12, 4:8] = 3.0
    heat = gradcam(bright(), images, torch.tensor([0, 1]))
    assert heat.shape == (2, 16, 16)
    assert heat[0].max() == 1
    assert peak_in_box(heat[0], box(0.25, 0.5, 0.25, 0.25))  # columns 4 to 8, rows 8 to 12
    assert not heat[1].any()


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_every_model_can_be_explained_without_a_warning(name):
    model = build_model(ModelConfig(name=name), num_outputs=3, seed=0).eval()
    if name == "vit_b_16":  # its head starts at zero, which explains nothing
        nn.init.trunc_normal_(
            model.network.heads.head.weight, generator=torch.Generator().manual_seed(0)
        )
    heat = gradcam(model, films(), torch.tensor([0, 2]))
    assert heat.shape == (2, 64, 64)
    assert heat.dtype == np.float32
    assert heat.min() >= 0
    assert heat.max() == 1
    assert all(tensor.grad is None for tensor in model.parameters())


def test_one_label_for_all_is_that_label_for_each_and_batches_do_not_matter():
    model = build_model(ModelConfig(), num_outputs=3, seed=0).eval()
    images = films(num=20)
    together = gradcam(model, images, 1)
    alone = gradcam(model, images[18:], torch.tensor([1, 1]))
    np.testing.assert_allclose(together[18:], alone, atol=1e-4)


def test_no_images_give_no_maps():
    assert gradcam(bright(), torch.zeros(0, 1, 16, 16), 0).shape == (0, 16, 16)


def test_a_model_in_training_mode_is_not_explained():
    with pytest.raises(AssertionError, match=r"model\.eval"):
        gradcam(bright().train(), torch.zeros(1, 1, 16, 16), 0)
