"""Group norm in the place of batch norm."""

import pytest
import torch
from torch import nn

from fedcxr.config.model import ModelConfig
from fedcxr.errors import ConfigError
from fedcxr.models.architectures import build_model, random_model
from fedcxr.models.group_norm import batch_norms, num_groups, use_group_norm


@pytest.mark.parametrize("name", ["densenet_small", "resnet50", "alexnet"])
def test_an_image_s_logits_depend_on_that_image_alone(name):
    config = ModelConfig(name=name, image_size=64)
    model = random_model(config, 2, 0, group_norm=True).train()
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.eval()
    images = torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))

    alone = torch.cat([model(images[i : i + 1]) for i in range(3)])

    torch.testing.assert_close(model(images), alone, rtol=1e-3, atol=1e-4)
    assert batch_norms(model) == []
    assert not [name for name, _ in model.named_buffers()]


def test_all_other_values_are_those_of_the_network_with_batch_norm():
    config = ModelConfig(name="densenet_small", image_size=32)
    one, other = (random_model(config, 2, 7, group_norm=is_grouped) for is_grouped in (True, False))

    named = dict(other.named_parameters())
    assert all(torch.equal(value, named[name]) for name, value in one.named_parameters())


@pytest.mark.parametrize("channels", [1, 5, 12, 16, 24, 36, 45, 64, 100, 1024])
def test_groups_are_equal_and_of_16_channels_at_least_where_there_are_as_many(channels):
    groups = num_groups(channels)

    assert channels % groups == 0
    assert channels // groups >= min(16, channels)


def test_a_group_norm_has_the_scale_and_shift_of_its_batch_norm():
    network = nn.Sequential(nn.BatchNorm2d(32))
    nn.init.constant_(network[0].weight, 2.0)
    nn.init.constant_(network[0].bias, 0.5)

    use_group_norm(network)

    assert isinstance(network[0], nn.GroupNorm)
    assert network[0].weight.tolist() == [2.0] * 32
    assert network[0].bias.tolist() == [0.5] * 32


def test_weights_of_a_file_with_batch_norm_fit_without_its_statistics(tmp_path):
    from safetensors.torch import save_file

    plain = random_model(ModelConfig(name="densenet_small", image_size=32), 2, 3)
    file = tmp_path / "weights.safetensors"
    save_file(plain.network.state_dict(), file)
    config = ModelConfig(name="densenet_small", image_size=32, weights=str(file))

    found = build_model(config, 2, 0, group_norm=True)

    conv = found.network.features.conv0.weight
    assert torch.equal(conv, plain.network.features.conv0.weight)


def test_another_kind_of_batch_norm_is_refused(monkeypatch):
    class Odd(nn.Module):
        def __init__(self, num_labels, image_size):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)
            self.norm = nn.BatchNorm1d(4)
            self.head = nn.Linear(4, num_labels)

        def forward(self, images):
            return self.head(self.norm(self.conv(images).mean((2, 3))))

    from fedcxr.models import architectures
    from fedcxr.models.own import as_family

    monkeypatch.setattr(architectures, "_family_of", lambda config: as_family(Odd))

    with pytest.raises(ConfigError, match=r"server\.batch_norm = group.*norm"):
        random_model(ModelConfig(name="densenet_small", image_size=32), 2, 0, group_norm=True)
