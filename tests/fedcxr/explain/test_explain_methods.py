import numpy as np
import pytest
import torch

from fedcxr.config.model import ModelConfig
from fedcxr.errors import ConfigError
from fedcxr.explain.methods import METHODS, Method, heat_maps
from fedcxr.models.architectures import build_model


def test_both_methods_are_known_and_another_name_is_refused():
    assert METHODS.names() == ("gradcam", "cam")
    with pytest.raises(ConfigError, match=r"explain\.methods: .*'gradcan'.*'gradcam'"):
        METHODS.get("gradcan")


def test_a_method_is_one_function_and_one_entry():
    corner = torch.tensor([[0.0, 2.0], [-1.0, 0.0]])
    method = Method("Corner", lambda model, inputs, labels: corner.expand(len(inputs), 2, 2))
    model = build_model(ModelConfig(), num_outputs=2, seed=0).eval()
    found = heat_maps(METHODS.add("corner", method), model, torch.zeros(20, 1, 32, 32), 0)
    METHODS.remove("corner")
    assert found.cells == (2, 2)
    assert found.heat.shape == (20, 32, 32)
    assert found.heat.dtype == np.float32
    assert found.heat[:, 0, 31].tolist() == [1.0] * 20
    assert found.heat[:, 31, 0].tolist() == [0.0] * 20
