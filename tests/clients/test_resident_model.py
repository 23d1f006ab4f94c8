import pytest
import torch

from clients import resident_model
from clients.resident_model import release, worker_for
from fedcxr.training.device import WORKER_DEVICE


@pytest.fixture(autouse=True)
def _no_model_is_left():
    release()
    yield
    release()


def test_a_plain_task_is_not_compiled(make_task, monkeypatch):
    monkeypatch.setattr(resident_model, "compile_network", lambda model: pytest.fail("compiled"))
    assert worker_for(make_task(), 1).full_batch is None


def test_a_network_is_compiled_once_a_process(make_task, monkeypatch):
    compiled = []
    monkeypatch.setattr(
        resident_model, "compile_network", lambda model: compiled.append(model) or model
    )
    task = make_task(compile=True)
    one, same = worker_for(task, 1), worker_for(make_task(compile=True, seed=7), 1)
    assert one is same
    assert compiled == [one.model]
    assert one.full_batch is one.model


def test_a_worker_takes_the_gpu_it_was_given(make_task, monkeypatch):
    placed, current = [], []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(
        resident_model, "arrange", lambda model, precision, device: placed.append(device)
    )
    monkeypatch.setenv(WORKER_DEVICE, "cuda:1")
    assert worker_for(make_task(device="auto"), 1).device == "cuda:1"
    assert placed == current == ["cuda:1"]
