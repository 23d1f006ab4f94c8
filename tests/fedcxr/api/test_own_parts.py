import json
import sys

import pytest
import torch
from torch import nn

import fedcxr
from fedcxr.api.own_parts import in_one_process, name_of_part, only_here, refuse_only_here
from fedcxr.api.settle import settled
from fedcxr.cli.flags import COMPARE_FLAGS, RUN_FLAGS
from fedcxr.errors import ConfigError
from fedcxr.models.architectures import MODELS
from fedcxr.training.losses import LOSSES
from fedcxr.training.optimizers import OPTIMIZERS


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """What these tests let a name stand for is forgotten after each."""
    for registry in (MODELS, LOSSES, OPTIMIZERS):
        monkeypatch.setattr(registry, "_loaded", dict(registry._loaded))


def as_cell(value):
    """Return a function or class as if a notebook's cell had defined it."""
    value.__module__ = "__main__"
    value.__qualname__ = value.__name__
    return value


def made_in_a_cell():
    def brier(logits, target):
        return (torch.sigmoid(logits) - target) ** 2

    return as_cell(brier)


def settle(known=RUN_FLAGS, **keywords):
    return settled(keywords, known, verb="simulate")


def test_what_can_be_imported_goes_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "own_part_of_test.py").write_text("def mine(logits, target):\n    return logits\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import own_part_of_test

    assert name_of_part("train.loss", own_part_of_test.mine) == "own_part_of_test:mine"
    monkeypatch.delitem(sys.modules, "own_part_of_test")


def test_what_a_cell_defines_is_of_this_process_and_stands_for_the_cells_newest():
    first, second = made_in_a_cell(), made_in_a_cell()
    assert name_of_part("train.loss", first) == "__main__:brier"
    old = LOSSES.get("__main__:brier")
    assert name_of_part("train.loss", second) == "__main__:brier"
    assert LOSSES.get("__main__:brier") is not old


def test_a_local_class_is_of_this_process_too():
    class Net(nn.Module):
        def __init__(self, num_labels, image_size):
            super().__init__()

    assert name_of_part("model.name", Net) == "__main__:Net"


def test_one_worker_trains_with_a_part_of_a_cell_and_it_is_said(caplog):
    config = settle(loss=made_in_a_cell())
    assert only_here(config) == ["train.loss = __main__:brier"]
    assert in_one_process(config).engine.workers == 1
    assert "train.loss = __main__:brier" in caplog.text
    assert "one worker trains, here" in caplog.text
    assert in_one_process(settle(workers=3)).engine.workers == 3


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"workers": 3}, "engine.workers = 3"),
        ({"engine": "ray"}, "engine.kind = ray"),
    ],
)
def test_a_part_of_a_cell_is_refused_where_processes_train(more, why):
    with pytest.raises(ConfigError, match=rf"train.loss = __main__:brier.*{why} needs such"):
        fedcxr.simulate(loss=made_in_a_cell(), **more)
    with pytest.raises(ConfigError, match=r"server.deadline_s needs such"):
        fedcxr.simulate(loss=made_in_a_cell(), set={"server.deadline_s": 60})


def test_a_comparison_refuses_it():
    config = settle(COMPARE_FLAGS, loss=made_in_a_cell())
    with pytest.raises(ConfigError, match="the trainings of compare are processes of their own"):
        refuse_only_here(config, "compare")
    with pytest.raises(ConfigError, match=r"train.loss = __main__:brier: of this script"):
        fedcxr.compare(loss=made_in_a_cell())


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"model.name = __main__:brier: cannot be called with"):
        fedcxr.simulate(model=made_in_a_cell_without_arguments())
    with pytest.raises(ConfigError, match=r"train.optimizer = .*expected Rule"):
        fedcxr.simulate(optimizer=json.JSONDecoder())


def made_in_a_cell_without_arguments():
    def brier():
        return None

    return as_cell(brier)
