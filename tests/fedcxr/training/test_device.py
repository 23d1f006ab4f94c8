import pytest
import torch

from fedcxr.errors import ConfigError
from fedcxr.training.device import (
    WORKER_DEVICE,
    check_gpus,
    repeatable,
    resolve_device,
    worker_device,
)


@pytest.fixture
def gpus(monkeypatch):
    """Set how many GPUs this machine seems to have."""

    def have(number):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)

    monkeypatch.delenv(WORKER_DEVICE, raising=False)
    return have


def test_auto_takes_the_first_gpu_or_the_cpu(gpus):
    gpus(0)
    assert resolve_device("auto") == "cpu"
    gpus(2)
    assert [resolve_device(d) for d in ("auto", "cuda", "cuda:1", "cpu")] == [
        *("cuda:0", "cuda:0", "cuda:1", "cpu")
    ]


@pytest.mark.parametrize("wanted", ["cuda:2", "cuda:999", "mps"])
def test_a_device_that_is_not_there_is_refused(wanted, gpus):
    gpus(2)
    with pytest.raises(ConfigError, match=f"'{wanted}': this machine has 2 CUDA devices"):
        resolve_device(wanted)


def test_a_word_that_is_no_device_is_refused():
    with pytest.raises(ConfigError, match="'gpu7': expected auto, cpu, cuda or cuda:N"):
        resolve_device("gpu7")


def test_a_worker_computes_on_the_gpu_it_was_given(gpus, monkeypatch):
    gpus(2)
    assert worker_device("auto") == "cuda:0"
    monkeypatch.setenv(WORKER_DEVICE, "cuda:1")
    assert [worker_device(d) for d in ("auto", "cuda", "cuda:0")] == ["cuda:1"] * 3


def test_a_run_on_the_cpu_stays_there_whatever_gpu_a_worker_was_given(gpus, monkeypatch):
    gpus(2)
    monkeypatch.setenv(WORKER_DEVICE, "cuda:1")
    assert worker_device("cpu") == "cpu"


def test_a_worker_that_was_given_a_gpu_that_is_not_there_says_so(gpus, monkeypatch):
    gpus(1)
    monkeypatch.setenv(WORKER_DEVICE, "cuda:1")
    with pytest.raises(ConfigError, match="'cuda:1': this machine has 1 CUDA devices"):
        worker_device("auto")


def test_the_clients_gpus_must_be_there(gpus):
    gpus(2)
    check_gpus((0, 0, 1, 1))
    check_gpus(())
    with pytest.raises(ConfigError, match=r"names GPU 2, GPU 5; this machine has 2 CUDA devices"):
        check_gpus((0, 5, 2, 2))


@pytest.mark.parametrize(("device", "inside"), [("cuda:0", True), ("cpu", False)])
def test_on_a_gpu_cudnn_keeps_to_repeatable_algorithms_for_a_while(device, inside):
    assert not torch.backends.cudnn.benchmark
    with repeatable(device):
        assert torch.backends.cudnn.deterministic is inside
    assert torch.backends.cudnn.deterministic is False
