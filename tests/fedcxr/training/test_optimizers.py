import subprocess
import sys

import pytest
import torch
from torch import nn

from fedcxr.config.train import TrainConfig
from fedcxr.training.optimizers import OPTIMIZERS, Optimizer, optimizer_state, reset_optimizer


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))


def inputs(step):
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(step))


def same(one, other):
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def torchs_own(name, parameters, config, rate):
    """Return the optimiser class's own instance for the same settings."""
    betas, decay = (config.beta1, config.beta2), config.weight_decay
    if name == "sgd":
        return torch.optim.SGD(
            parameters, rate, momentum=config.momentum, weight_decay=decay, fused=True
        )
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    return kind(parameters, lr=rate, betas=betas, weight_decay=decay, fused=True)


@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("adam", {"beta1": 0.8}),
        ("adamw", {"beta2": 0.9}),
        ("sgd", {}),
        ("sgd", {"momentum": 0.0}),
    ],
)
def test_every_bit_is_that_of_torchs_own_class(name, changes, decay):
    config = TrainConfig(weight_decay=decay, optimizer=name, **changes)
    ours, theirs = network(), network()
    reference = torchs_own(name, theirs.parameters(), config, 1e-2)
    optimizer = reset_optimizer(ours, name)
    for step in range(4):
        ours(inputs(step)).square().sum().backward()
        optimizer.step(config, 1e-2)
        reference.zero_grad()
        theirs(inputs(step)).square().sum().backward()
        reference.step()
        assert same(ours, theirs)
    assert not same(ours, network())


def test_sgd_with_momentum_is_what_is_worked_out_by_hand():
    # v = 1, w = 2 − 0.5 · 1 = 1.5; then v = 0.9 · 1 + 1 = 1.9, w = 1.5 − 0.5 · 1.9 = 0.55
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    sgd = Optimizer(model, "sgd")
    for expected in (1.5, 0.55):
        model.weight.grad = torch.tensor([[1.0]])
        sgd.step(TrainConfig(optimizer="sgd"), 0.5)
        assert model.weight.item() == pytest.approx(expected)


def test_the_decay_of_adamw_does_not_pass_through_the_moments():
    # no gradient but 0: w = 2 · (1 − rate · decay) = 2 · (1 − 0.1 · 0.5) = 1.9
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    model.weight.grad = torch.zeros(1, 1)
    Optimizer(model, "adamw").step(TrainConfig(optimizer="adamw", weight_decay=0.5), 0.1)
    assert model.weight.item() == pytest.approx(1.9)


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_a_training_that_goes_on_from_its_state_is_one_that_never_stopped(name):
    config, straight, halted = TrainConfig(optimizer=name), network(), network()
    one, other = reset_optimizer(straight, name), reset_optimizer(halted, name)
    for step in range(4):
        if step == 2:
            kept = optimizer_state(halted)
            reset_optimizer(halted, name)  # another site's turn
            other = reset_optimizer(halted, name, kept)
            assert kept.optimizer == name
            assert set(kept.tensors) == set(OPTIMIZERS.get(name).names)
            assert all(tensor.dim() == 1 for tensor in kept.tensors.values())
        for model, optimizer in ((straight, one), (halted, other)):
            model(inputs(step)).square().sum().backward()
            optimizer.step(config, 1e-2)
    assert same(straight, halted)


def test_another_optimiser_of_the_same_model_starts_anew():
    model = network()
    adam = reset_optimizer(model, "adam")
    adamw = reset_optimizer(model, "adamw")
    assert adamw is not adam
    assert reset_optimizer(model, "adamw") is adamw


def test_the_first_step_is_the_learning_rate_in_the_gradients_direction():
    # m/(1-β1) = g and v/(1-β2) = g², so the step is lr · g / (|g| + ε)
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    model.weight.grad = torch.tensor([[-5.0]])
    adam = Optimizer(model, "adam")
    adam.step(TrainConfig(), 0.25)
    assert model.weight.item() == pytest.approx(2.25)
    assert model.weight.grad is None


def test_a_start_forgets_moments_and_gradients_and_keeps_the_memory():
    model = network()
    adam = reset_optimizer(model, "adam")
    model(inputs(0)).sum().backward()
    adam.step(TrainConfig(), 0.1)
    model(inputs(1)).sum().backward()  # a gradient that nobody used, as after lack of memory
    assert reset_optimizer(model, "adam") is adam
    assert all(p.grad is None for p in model.parameters())
    fresh = network()
    fresh.load_state_dict(model.state_dict())
    for each in (model, fresh):
        each(inputs(2)).sum().backward()
    adam.step(TrainConfig(), 0.1)
    Optimizer(fresh, "adam").step(TrainConfig(), 0.1)
    assert same(model, fresh)


def test_parameters_that_took_no_part_or_are_frozen_stay():
    model = network()
    model[0].weight.requires_grad_(False)
    adam = reset_optimizer(model, "adam")
    model[2](torch.randn(3, 5)).sum().backward()  # the first layer's bias has no gradient
    adam.step(TrainConfig(), 0.1)
    start = network()
    assert torch.equal(model[0].weight, start[0].weight)
    assert torch.equal(model[0].bias, start[0].bias)
    assert not torch.equal(model[2].weight, start[2].weight)


def test_another_layout_or_parameter_takes_new_moments():
    model = nn.Sequential(nn.Conv2d(2, 3, 3))
    kept = reset_optimizer(model, "adam")
    assert reset_optimizer(model, "adam") is kept
    model.to(memory_format=torch.channels_last)
    moved = reset_optimizer(model, "adam")
    assert moved is not kept
    model[0].bias = nn.Parameter(torch.zeros(3))
    assert reset_optimizer(model, "adam") is not moved


def test_training_does_not_import_what_only_compiling_needs():
    # torch.optim.Adam imports torch._dynamo at its first step: 0.8 s of a core in every worker
    program = (
        "import sys, torch; from torch import nn; from fedcxr.config.train import TrainConfig;"
        "from fedcxr.training.optimizers import OPTIMIZERS, reset_optimizer; import clients.app\n"
        "for name in OPTIMIZERS.names():\n"
        "    m = nn.Linear(2, 1); o = reset_optimizer(m, name)\n"
        "    m(torch.ones(1, 2)).sum().backward(); o.step(TrainConfig(), 0.1)\n"
        "heavy = {'torch._dynamo', 'sympy', 'torchvision', 'matplotlib', 'sklearn', 'pandas'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert found.stdout.strip() == "[]"
