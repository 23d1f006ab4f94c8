"""Memory that runs out at a site: a code of its own, a fixed sentence, and room for another try."""

import gc
import weakref

import pytest
import torch
from flwr.app import Message, RecordDict

import clients.resident_model
from clients.egress import REASONS, redact_errors
from clients.resident_model import release, worker_for
from fedcxr.wire import FAILED, OUT_OF_MEMORY, unpack_receipt

pytestmark = pytest.mark.usefixtures("flower")

SECRET = "DefaultCPUAllocator: can't allocate memory for patient64541"


def answer_to(err):
    @redact_errors
    def handler(message, context):
        raise err

    reply = handler(Message(RecordDict(), dst_node_id=1, message_type="train"), None)
    return unpack_receipt(reply.content)


@pytest.mark.parametrize(
    "err",
    [
        MemoryError(SECRET),
        torch.OutOfMemoryError(f"CUDA out of memory. {SECRET}"),
        RuntimeError(f"[enforce fail at alloc_cpu.cpp:124] err == 0. {SECRET}"),
    ],
)
def test_it_is_answered_with_its_own_code_and_a_fixed_sentence(err):
    receipt = answer_to(err)
    assert (receipt.code, receipt.reason) == (OUT_OF_MEMORY, "the site ran out of memory")
    assert receipt.reason == REASONS[MemoryError]


def test_another_error_is_a_plain_failure_and_keeps_the_model(make_task):
    worker = worker_for(make_task(), 1)
    assert answer_to(RuntimeError("a shape")).code == FAILED
    assert worker_for(make_task(), 1) is worker


def test_the_worker_lets_go_of_its_model_and_can_train_again(make_task):
    first = weakref.ref(worker_for(make_task(), 1).model)
    assert answer_to(MemoryError()).code == OUT_OF_MEMORY
    assert first() is None
    assert worker_for(make_task(), 1).spec.num_trainable > 0


def test_what_the_broken_step_held_is_gone_before_the_gpu_is_emptied(monkeypatch):
    held = []

    @redact_errors
    def handler(message, context):
        activation = torch.zeros(3)
        held.append(weakref.ref(activation))
        raise torch.OutOfMemoryError(f"{activation.shape}")

    alive = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(held[0]() is not None))
    handler(Message(RecordDict(), dst_node_id=1, message_type="train"), None)
    assert alive == [False]


def test_releasing_without_a_gpu_starts_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: pytest.fail("asked for a GPU"))
    release()
    gc.collect()
    assert clients.resident_model._build.cache_info().currsize == 0
