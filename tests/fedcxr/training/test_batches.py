"""Batches on their way to the device; CUDA's streams are stood in for where there is no GPU."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from fedcxr.training.batches import gather, on_device


def made(number, log=None):
    for n in range(number):
        if log is not None:
            log.append(f"make {n}")
        yield torch.full((2, 3), n), torch.full((1,), 10 * n)


class FakeStream:
    """Writes down what it is asked; its events count up."""

    def __init__(self, log):
        self.log, self.events = log, 0

    def record_event(self):
        self.events += 1
        self.log.append(f"copied {self.events - 1}")
        return self.events - 1

    def wait_event(self, event):
        self.log.append(f"wait for {event}")


@pytest.fixture
def cuda(monkeypatch):
    """CUDA as far as copying ahead uses it, on the CPU; returns what happened, in order."""
    log, users = [], []
    lane, current = FakeStream(log), FakeStream(log)
    inside = []

    @contextmanager
    def on_stream(stream):
        inside.append(stream)
        yield
        inside.pop()

    def pin(tensor):
        assert inside == [lane]
        return tensor.clone()

    move = torch.Tensor.to

    def to(tensor, device, *, non_blocking):
        assert (device, non_blocking, inside) == ("cuda:1", True, [lane])
        return move(tensor, "cpu")

    def record_stream(tensor, stream):
        assert stream is current
        users.append(tensor)

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: lane)
    monkeypatch.setattr(torch.cuda, "stream", on_stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.Tensor, "record_stream", record_stream)
    return log, users


def test_gathering_copies_the_rows_in_their_order():
    images = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)
    batch = gather(images, np.array([4, 0, 4]))
    np.testing.assert_array_equal(batch.numpy(), images[[4, 0, 4]])
    batch.zero_()
    assert images[4].any()


def test_on_a_cpu_a_batch_is_made_when_it_is_asked_for():
    log = []
    batches = on_device(made(3, log), "cpu")
    assert log == []
    next(batches)
    assert log == ["make 0"]


@pytest.mark.parametrize("number", [0, 1, 2, 5])
def test_a_gpu_gets_every_batch_once_and_in_order(number, cuda):
    found = [[tensor.tolist() for tensor in batch] for batch in on_device(made(number), "cuda:1")]
    assert found == [[tensor.tolist() for tensor in batch] for batch in made(number)]


def test_the_copy_of_the_next_batch_is_under_way_before_a_gpu_gets_this_one(cuda):
    log, users = cuda
    for n, batch in enumerate(on_device(made(3, log), "cuda:1")):
        log.append(f"step {n}")
        # the memory of both tensors is known to be in use on the network's stream
        assert [id(tensor) for tensor in users[-2:]] == [id(tensor) for tensor in batch]
    assert log == [
        *("make 0", "copied 0", "make 1", "copied 1", "wait for 0", "step 0"),
        *("make 2", "copied 2", "wait for 1", "step 1"),
        *("wait for 2", "step 2"),
    ]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_gpu_gets_the_values_while_it_is_busy():
    square = torch.ones(4096, 4096, device="cuda:0")
    large = [(torch.full((1 << 22,), n, dtype=torch.uint8),) for n in range(20)]
    sums = []
    for (batch,) in on_device(iter(large), "cuda:0"):
        square = square @ square / 4096  # the copies run ahead of this
        sums.append(batch.sum())
    assert [int(found) for found in sums] == [n << 22 for n in range(20)]
