import subprocess
import sys

import pytest
import torch
from torch import nn

from fedcxr.config.train import TrainConfig
from fedcxr.training.adam import Adam, adam_of


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))


def inputs(step):
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(step))


def same(one, other):
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_every_bit_is_that_of_torchs_own_class(decay):
    config = TrainConfig(weight_decay=decay, beta1=0.8)
    ours, theirs = network(), network()
    reference = torch.optim.Adam(
        theirs.parameters(), lr=1e-2, betas=(0.8, config.beta2), weight_decay=decay, fused=True
    )
    optimizer = adam_of(ours)
    for step in range(4):
        ours(inputs(step)).square().sum().backward()
        optimizer.step(config, 1e-2)
        reference.zero_grad()
        theirs(inputs(step)).square().sum().backward()
        reference.step()
        assert same(ours, theirs)
    assert not same(ours, network())


def test_the_first_step_is_the_learning_rate_in_the_gradients_direction():
    # m/(1-β1) = g and v/(1-β2) = g², so the step is lr · g / (|g| + ε)
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    model.weight.grad = torch.tensor([[-5.0]])
    adam = Adam(model)
    adam.step(TrainConfig(), 0.25)
    assert model.weight.item() == pytest.approx(2.25)
    assert model.weight.grad is None


def test_a_start_forgets_moments_and_gradients_and_keeps_the_memory():
    model = network()
    adam = adam_of(model)
    model(inputs(0)).sum().backward()
    adam.step(TrainConfig(), 0.1)
    model(inputs(1)).sum().backward()  # a gradient that nobody used, as after lack of memory
    assert adam_of(model) is adam
    assert all(p.grad is None for p in model.parameters())
    fresh = network()
    fresh.load_state_dict(model.state_dict())
    for each in (model, fresh):
        each(inputs(2)).sum().backward()
    adam.step(TrainConfig(), 0.1)
    Adam(fresh).step(TrainConfig(), 0.1)
    assert same(model, fresh)


def test_parameters_that_took_no_part_or_are_frozen_stay():
    model = network()
    model[0].weight.requires_grad_(False)
    adam = adam_of(model)
    model[2](torch.randn(3, 5)).sum().backward()  # the first layer's bias has no gradient
    adam.step(TrainConfig(), 0.1)
    start = network()
    assert torch.equal(model[0].weight, start[0].weight)
    assert torch.equal(model[0].bias, start[0].bias)
    assert not torch.equal(model[2].weight, start[2].weight)


def test_another_layout_or_parameter_takes_new_moments():
    model = nn.Sequential(nn.Conv2d(2, 3, 3))
    kept = adam_of(model)
    assert adam_of(model) is kept
    model.to(memory_format=torch.channels_last)
    moved = adam_of(model)
    assert moved is not kept
    model[0].bias = nn.Parameter(torch.zeros(3))
    assert adam_of(model) is not moved


def test_training_does_not_import_what_only_compiling_needs():
    # torch.optim.Adam imports torch._dynamo at its first step: 0.8 s of a core in every worker
    program = (
        "import sys, torch; from torch import nn; from fedcxr.config.train import TrainConfig;"
        "from fedcxr.training.adam import adam_of; import clients.app; m = nn.Linear(2, 1);"
        "a = adam_of(m); m(torch.ones(1, 2)).sum().backward(); a.step(TrainConfig(), 0.1);"
        "heavy = {'torch._dynamo', 'sympy', 'torchvision', 'matplotlib', 'sklearn', 'pandas'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert found.stdout.strip() == "[]"
