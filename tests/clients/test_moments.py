"""`moments: keep`: rounds at one site are one long training with Adam."""

import numpy as np
import pytest
import torch

from clients.memory import SiteMemory, memory_of
from clients.moments import read_moments, write_moments
from clients.resident_model import worker_for
from clients.site import open_site, simulated
from clients.train import train_order
from fedcxr.chain import UPDATE
from fedcxr.config.train import TrainConfig
from fedcxr.errors import ArtefactError
from fedcxr.parameters import Parameters, extract
from fedcxr.schema import COUNTERS, VECTOR
from fedcxr.tensor_file import write_tensor_file
from fedcxr.training.optimizers import (
    OPTIMIZERS,
    OptimizerState,
    optimizer_state,
    reset_optimizer,
)

SITE = "site-00"


def moments(value=1.0):
    tensors = {
        "means": torch.full((3,), value),
        "squares": torch.full((3,), value**2),
        "steps": torch.tensor([2.0]),
    }
    return OptimizerState("adam", tensors)


def steps_of(state, task, round_num):
    """Return the distinct numbers of steps that were kept before a round at the first site."""
    kept = read_moments(memory_of(state / SITE, task.run, round_num), "adam")
    return kept.tensors["steps"].unique().tolist()


def train(sites, state, task, order, given):
    """Return the parameters after a round at the first site."""
    location = simulated(sites, 0, cache=sites / "cache", state=state)
    worker, site = worker_for(task, 1), open_site(location, task)
    vectors = {VECTOR: given.vector, COUNTERS: given.counters}
    made = train_order(location, site, task, order, vectors=vectors, worker=worker).vectors
    return Parameters(given.vector + made[UPDATE], made[COUNTERS])


def trained(sites, state, task, make_order, rounds):
    """Return the parameters after some rounds at the first site, each from the last one's."""
    worker = worker_for(task, 1)
    parameters = extract(worker.model, worker.spec)
    for round_num in rounds:
        order = make_order(task, worker.spec, round_num)
        parameters = train(sites, state, task, order, parameters)
    return parameters


@pytest.fixture
def fresh(make_task):
    """Every training here starts from the same weights."""
    worker = worker_for(make_task(), 1)
    kept = {name: value.clone() for name, value in worker.model.state_dict().items()}

    def start():
        worker.model.load_state_dict(kept)

    return start


def keeping(make_task, how):
    task = make_task()
    return task.model_copy(update={"train": task.train.model_copy(update={"moments": how})})


def test_the_second_round_goes_on_from_the_firsts_moments(
    sites, tmp_path, make_task, make_order, fresh
):
    task = keeping(make_task, "keep")
    fresh()
    trained(sites, tmp_path / "a", task, make_order, [1])
    assert steps_of(tmp_path / "a", task, 2) == [2.0]  # six images in batches of four: two steps
    fresh()
    trained(sites, tmp_path / "b", task, make_order, [1, 2])
    assert steps_of(tmp_path / "b", task, 3) == [4.0]
    fresh()
    kept = trained(sites, tmp_path / "c", task, make_order, [1, 2])
    fresh()
    restarted = trained(sites, tmp_path / "d", keeping(make_task, "restart"), make_order, [1, 2])
    assert not np.array_equal(kept.vector, restarted.vector)
    assert not list((tmp_path / "d").rglob("moments-*"))


def test_a_round_that_is_done_again_gives_the_same_bits(
    sites, tmp_path, make_task, make_order, fresh
):
    task = keeping(make_task, "keep")
    fresh()
    straight = trained(sites, tmp_path / "a", task, make_order, [1, 2])
    fresh()
    first = trained(sites, tmp_path / "b", task, make_order, [1])
    order = make_order(task, worker_for(task, 1).spec, 2)
    for _ in range(2):  # the server lost the first answer
        again = train(sites, tmp_path / "b", task, order, first)
    assert again.sha256() == straight.sha256()


def test_two_generations_are_kept_and_damage_is_told(tmp_path):
    for round_num in (1, 2, 3):
        write_moments(SiteMemory(tmp_path, round_num), moments(round_num))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["moments-00002.safetensors", "moments-00003.safetensors"]
    kept = read_moments(SiteMemory(tmp_path, 3), "adam")
    assert kept.tensors["means"].tolist() == [2.0] * 3
    assert kept.optimizer == "adam"
    assert read_moments(SiteMemory(tmp_path / "other", 1), "adam") is None
    with pytest.raises(ArtefactError, match="went back too far"):
        read_moments(SiteMemory(tmp_path, 1), "adam")
    write_tensor_file(tmp_path / "moments-00003.safetensors", {"adam.means": torch.ones(1)}, {})
    with pytest.raises(ArtefactError, match="damaged"):
        read_moments(SiteMemory(tmp_path, 4), "adam")


def test_the_moments_of_another_optimiser_are_refused_in_words(tmp_path):
    write_moments(SiteMemory(tmp_path, 1), moments())
    with pytest.raises(ArtefactError, match=r"the state of adam, and this run trains with sgd"):
        read_moments(SiteMemory(tmp_path, 2), "sgd")
    SiteMemory(tmp_path, 1).write("moments", {"adam.means": np.ones(1, np.float32)})
    with pytest.raises(ArtefactError, match=r"holds no adam\.squares"):
        read_moments(SiteMemory(tmp_path, 2), "adam")


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_moments_come_back_as_they_were_in_any_memory_layout(name, tmp_path):
    config = TrainConfig(optimizer=name)
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3)).to(memory_format=torch.channels_last)
    optimizer = reset_optimizer(model, name)
    images = torch.randn(2, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        model(images).square().sum().backward()
        optimizer.step(config, 1e-2)
    taken = optimizer_state(model)
    write_moments(SiteMemory(tmp_path, 1), taken)
    plain = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3))
    reset_optimizer(plain, name, read_moments(SiteMemory(tmp_path, 2), name))
    again = optimizer_state(plain)
    for kept in OPTIMIZERS.get(name).names:
        assert torch.equal(taken.tensors[kept], again.tensors[kept])
    assert taken.tensors[OPTIMIZERS.get(name).names[0]].shape == (3 * 2 * 9 + 3,)
