"""How much memory a client takes, and how many fit; a GPU is stood in for where there is none."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.load import load_config
from fedcxr.config.model import ModelConfig
from fedcxr.config.train import TrainConfig
from fedcxr.config.vae import VaeConfig
from fedcxr.privacy.dp_sgd import Mechanism
from fedcxr.privacy.secret_noise import SecretStream
from fedcxr.training import memory
from fedcxr.training.free_memory import free_bytes
from fedcxr.training.memory import (
    concurrency,
    fit_workers,
    is_out_of_memory,
    measured_bytes,
    private_bytes,
    training_bytes,
    vae_bytes,
)
from fedcxr.training.pool import ImagePool
from fedcxr.training.precision import Precision
from fedcxr.training.private_loop import PrivateSteps, train_privately
from fedcxr.training.transforms import Normalization

GB = 1 << 30


def configured(**overrides) -> ExperimentConfig:
    return load_config(overrides=overrides)


def growth_bytes(name, size, batch, dtype):
    """Return how much a new process's peak memory grows by a few real steps of `train_site`."""
    code = "import json, sys, test_memory; test_memory.train_and_tell(*json.loads(sys.argv[1]))"
    asked = json.dumps([name, size, batch, dtype])
    told = subprocess.run(
        [sys.executable, "-c", code, asked],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    return int(told.stdout)


def train_and_tell(name, size, batch, dtype):
    """Print this process's growth in bytes; called in a process of its own."""
    from test_loop import films, train

    from fedcxr.models.architectures import random_model

    torch.set_num_threads(1)
    before, private = _peak_bytes(), dtype == "private"
    config = ModelConfig(name=name, image_size=size)
    model = random_model(config, 14, seed=0, group_norm=private)
    images, rows, target = films(num=3 * batch, size=size, labels=14)
    if private:
        train_a_step_privately(model, images, rows, target, batch)
    else:
        precision = Precision(dtype, channels_last=True, why="test")
        train(model, images, rows, target, precision=precision, config={"batch_size": batch})
    print(_peak_bytes() - before)


def train_a_step_privately(model, images, rows, target, physical_batch):
    stream = SecretStream(bytes(32), "test")
    train_privately(
        model,
        ImagePool.of(images, rows, target),
        rows,
        PrivateSteps(len(rows), 2, 1.0, Mechanism(1.0, 1.0, float(len(rows)), physical_batch)),
        lambda step, what: stream,
        config=TrainConfig(),
        learning_rate=1e-3,
        normalization=Normalization("preset", 0.4, 0.2),
        precision=Precision("fp32", channels_last=True, why="test"),
        device="cpu",
    )


def _peak_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


@pytest.mark.slow  # real training in processes of their own
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("name", "size", "batch", "dtype"),
    [
        ("densenet_small", 64, 32, "fp32"),
        ("densenet_small", 64, 32, "bf16"),
        ("densenet121", 64, 32, "fp32"),
        ("densenet121", 64, 16, "bf16"),
    ],
)
def test_the_estimate_is_what_a_real_training_takes(name, size, batch, dtype):
    config = ModelConfig(name=name, image_size=size)
    estimate = training_bytes(config, 14, batch, dtype)
    found = growth_bytes(name, size, batch, dtype)
    assert 0.65 < estimate / found < 1.35


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_the_estimate_under_privacy_is_what_a_real_training_takes():
    estimate = private_bytes(ModelConfig(image_size=64), 14, 32)
    assert 0.65 < estimate / growth_bytes("densenet_small", 64, 32, "private") < 1.35


def test_gradients_of_single_images_grow_with_the_physical_batch():
    found = memory.footprint(ModelConfig(image_size=64))
    one, two = (private_bytes(ModelConfig(image_size=64), 14, n) for n in (1, 2))
    each = 3.5 * (found.floats_per_image + found.others_per_image) + 5 * 4 * 193_478
    assert two - one == pytest.approx(each, rel=0.01)
    assert one - each == pytest.approx((150 << 20) + 16 * 193_478, rel=0.01)


def test_where_patients_are_protected_their_gradients_count(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 10 * GB)
    monkeypatch.setattr(memory, "private_bytes", lambda *_: 2 * GB)
    private = {"privacy.level": "patient", "privacy.epsilon": 3, "server.batch_norm": "group"}
    # 0.85 × 10 GB ÷ (2 GB + the process's 0.39 GB) = 3.6
    assert fit_workers(configured(**private), 8, device="cpu") == 3
    assert fit_workers(configured(), 8, device="cpu") == 8


def test_the_estimate_counts_what_a_step_keeps():
    # alexnet at 64 px on its own would be hard to count by hand; the law is: activations grow with
    # the batch, everything else does not
    config = ModelConfig(image_size=32)
    one, two, four = (training_bytes(config, 14, n, "fp32") for n in (8, 16, 32))
    assert four - two == pytest.approx(2 * (two - one), rel=0.01)
    # values, gradients and two moments of 193,000 numbers, and what does not depend on the network
    fixed = 2 * one - two
    assert fixed == pytest.approx(memory._FIXED + 16 * 193_478, rel=0.01)


def test_bf16_halves_the_activations_and_copies_the_values():
    config = ModelConfig(image_size=64)
    wide, narrow = (training_bytes(config, 14, 64, dtype) for dtype in ("fp32", "bf16"))
    activations = wide - memory._FIXED - 16 * 193_478
    assert narrow == pytest.approx(
        memory._FIXED + 18 * 193_478 + activations / 2, rel=0.05
    )  # batch norm's own sums and the pooling's positions are not halved


def test_weights_are_not_looked_for():
    config = ModelConfig(name="densenet121", weights="imagenet")
    assert training_bytes(config, 14, 2, "fp32") > 100 << 20


def meminfo(folder, available_kb):
    (folder / "proc").mkdir(exist_ok=True)
    (folder / "proc/meminfo").write_text(
        f"MemTotal:       99999999 kB\nMemAvailable:   {available_kb} kB\n"
    )
    return folder


def cgroup(folder, limit, current, idle):
    group = folder / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text(f"{limit}\n")
    (group / "memory.current").write_text(f"{current}\n")
    (group / "memory.stat").write_text(f"anon 5\ninactive_file {idle}\nactive_file 7\n")


def test_free_memory_is_what_linux_calls_available(tmp_path):
    assert free_bytes(tmp_path) is None
    assert free_bytes(meminfo(tmp_path, 2048)) == 2 << 20


@pytest.mark.parametrize(
    ("limit", "found"),
    [("max", 2 << 20), (900, 900 - 500 + 100), (300, 0), (1 << 40, 2 << 20)],
)
def test_a_containers_limit_counts_where_it_is_lower(limit, found, tmp_path):
    cgroup(meminfo(tmp_path, 2048), limit, current=500, idle=100)
    assert free_bytes(tmp_path) == found


def test_as_many_clients_run_as_fit_into_a_share_of_the_free_memory():
    # 0.85 × 10 = 8.5
    assert [concurrency(9, need, 10) for need in (1, 2, 3, 8, 9)] == [8, 4, 2, 1, 1]
    assert concurrency(2, 1, 10) == 2
    assert concurrency(2, 1, None) == 2
    assert concurrency(2, 1, 0) == 1


def test_enough_memory_changes_nothing_and_says_nothing(monkeypatch, caplog):
    monkeypatch.setattr(memory, "free_bytes", lambda: 64 * GB)
    assert fit_workers(configured(), 3, device="cpu") == 3
    assert not caplog.records


def test_too_little_memory_lowers_the_default_and_says_so(monkeypatch, caplog):
    monkeypatch.setattr(memory, "free_bytes", lambda: 10 * GB)
    monkeypatch.setattr(memory, "training_bytes", lambda *_: 2 * GB)
    # 0.85 × 10 GB ÷ (2 GB + the process's 0.39 GB) = 3.6
    assert fit_workers(configured(), 8, device="cpu") == 3
    assert "room for 3 clients at once, not for 8" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_where_sites_train_vaes_the_larger_training_counts(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 10 * GB)
    monkeypatch.setattr(memory, "training_bytes", lambda *_: GB)
    monkeypatch.setattr(memory, "vae_bytes", lambda *_: 2 * GB)
    vae = {"vae.enabled": True}
    # 0.85 × 10 GB ÷ (2 GB + the process's 0.39 GB) = 3.6, and 6.1 with 1 GB
    assert fit_workers(configured(**vae), 8, device="cpu") == 3
    assert fit_workers(configured(**vae, **{"vae.added": "copies"}), 8, device="cpu") == 6
    assert fit_workers(configured(), 8, device="cpu") == 6


def test_a_vae_takes_its_activations_and_the_copies_of_its_weights():
    model = ModelConfig(image_size=32)
    by_batch = [
        vae_bytes(VaeConfig(enabled=True, width=8, latent=4, batch_size=size), model, 14)
        for size in (8, 16, 32)
    ]
    one, two, four = by_batch
    assert four - two == pytest.approx(2 * (two - one), rel=0.01)
    found = memory.vae_footprint(VaeConfig(width=8, latent=4), 32, 14)
    # the classifier's values, gradients and moments; the VAE's, and as many copies of them
    fixed = memory._FIXED + 16 * 193_478 + 32 * found.trainable
    assert 2 * one - two == pytest.approx(fixed, rel=0.01)
    looks = VaeConfig(enabled=True, width=8, latent=4, batch_size=32, features="classifier")
    assert vae_bytes(looks, model, 14) > 2 * four - fixed


def test_the_users_own_number_is_kept_with_a_warning(monkeypatch, caplog):
    monkeypatch.setattr(memory, "free_bytes", lambda: GB)
    config = configured(**{"engine.workers": 8})
    assert fit_workers(config, 8, device="cpu") == 8
    assert "8 clients at once are asked for" in caplog.text
    assert "give --workers 1" in caplog.text


def test_one_client_at_a_time_is_not_looked_into(monkeypatch):
    monkeypatch.setattr(memory, "training_bytes", lambda *_: pytest.fail("asked"))
    assert fit_workers(configured(), 1, device="cpu") == 1


def test_no_word_about_free_memory_changes_nothing(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: None)
    assert fit_workers(configured(), 5, device="cpu") == 5


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs with 20 and 9 GB free, and clients that take 4 GB."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda gpu: ((20, 9)[gpu] * GB, 141 * GB))
    asked = []

    def measured(model, num_labels, train, *, precision, device):
        asked.append((num_labels, precision.dtype, device))
        return 4 * GB

    monkeypatch.setattr(memory, "measured_bytes", measured)
    return asked


@pytest.mark.parametrize(
    ("device", "client_gpus", "room"),
    [
        # 0.85 × 20 ÷ 4 = 4.25 on the first GPU, 0.85 × 9 ÷ 4 = 1.9 on the second
        ("cuda:0", (), 4),
        ("cuda:1", (), 1),
        ("cuda:0", (0, 1), 3),  # 0 1 0 | 1
        ("cuda:0", (0, 0, 1), 5),  # 0 0 1 0 0 | 1
        ("cuda:0", (0, 0, 1, 1), 3),  # 0 0 1 | 1
    ],
)
def test_each_gpu_takes_as_many_workers_as_fit(device, client_gpus, room, gpus):
    assert memory._room_on_gpus(configured(), 9, client_gpus or (int(device[-1]),)) == room
    found = fit_workers(configured(), 9, device=device, client_gpus=client_gpus)
    assert found == (9 if client_gpus else room)  # a list of GPUs is the user's own number
    assert gpus[0] == (14, "bf16", device)


def test_a_step_that_does_not_fit_a_gpu_leaves_one_client(gpus, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(memory, "measured_bytes", full)
    assert fit_workers(configured(), 9, device="cuda:0") == 1


def test_the_probe_of_a_gpu_is_a_real_step_of_a_full_batch(monkeypatch):
    reserved = {"before": 3 * GB, "peak": 5 * GB}
    for name, answer in (
        ("init", lambda: None),
        ("memory_reserved", lambda device: reserved["before"]),
        ("max_memory_reserved", lambda device: reserved["peak"]),
        ("reset_peak_memory_stats", lambda device: None),
        ("empty_cache", lambda: None),
    ):
        monkeypatch.setattr(torch.cuda, name, answer)
    trained = []

    def train_site(model, pool, **settings):
        shape = pool.sources[0].images.shape
        trained.append((shape, settings["device"], settings["config"].local_epochs))
        return memory_train(model, pool, **{**settings, "device": "cpu"})

    memory_train = memory.train_site
    monkeypatch.setattr(memory, "train_site", train_site)
    found = measured_bytes(
        ModelConfig(image_size=32),
        14,
        TrainConfig(batch_size=4),
        precision=Precision("bf16", channels_last=True, why="test"),
        device="cuda:0",
    )
    assert found == 2 * GB + memory._GPU_CONTEXT
    assert trained == [((4, 32, 32), "cuda:0", 2)]


def test_the_probe_of_a_gpu_for_a_vae_is_two_epochs_of_a_full_batch(monkeypatch):
    for name, answer in (
        ("init", lambda: None),
        ("memory_reserved", lambda device: 3 * GB),
        ("max_memory_reserved", lambda device: 4 * GB),
        ("reset_peak_memory_stats", lambda device: None),
        ("empty_cache", lambda: None),
    ):
        monkeypatch.setattr(torch.cuda, name, answer)
    trained = []

    def train_vae(pool, val, config, **settings):
        trained.append((len(pool), val, config.epochs, settings["size_px"], settings["device"]))

    monkeypatch.setattr(memory, "train_vae", train_vae)
    vae = VaeConfig(enabled=True, batch_size=8, size_px=32)
    found = memory.measured_vae_bytes(vae, ModelConfig(image_size=64), 14, device="cuda:0")
    assert found == GB + memory._GPU_CONTEXT
    assert trained == [(8, None, 2, 32, "cuda:0")]


def real_error_of_torch():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    return caught.value


def real_error_of_numpy():
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 50)
    return caught.value


@pytest.mark.parametrize(
    "err",
    [
        MemoryError(),
        real_error_of_numpy(),
        real_error_of_torch(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        torch.cuda.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_memory_that_ran_out_is_told(err):
    assert is_out_of_memory(err)


@pytest.mark.parametrize(
    "err", [RuntimeError("shapes differ"), ValueError("not enough memory"), OSError(12, "memory")]
)
def test_other_errors_are_not_of_memory(err):
    assert not is_out_of_memory(err)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_gpu_is_measured_before_anything_else_uses_it():
    # `--precision bf16` asks torch nothing about the GPU before, and a new process has no context
    code = (
        "from fedcxr.config.experiment import ExperimentConfig\n"
        "from fedcxr.training.memory import fit_workers\n"
        "config = ExperimentConfig(engine={'precision': 'bf16'})\n"
        "print(fit_workers(config, 2, device='cuda:0'))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "2\n"), ended.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_gpu_is_measured_for_a_vae_and_given_back():
    before = torch.cuda.memory_reserved("cuda:0")
    vae = VaeConfig(enabled=True, batch_size=64, features="classifier")
    found = memory.measured_vae_bytes(vae, ModelConfig(image_size=128), 14, device="cuda:0")
    assert 0.02 < (found - memory._GPU_CONTEXT) / GB < 8
    assert torch.cuda.memory_reserved("cuda:0") <= before + (100 << 20)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_gpu_is_measured_and_given_back():
    before = torch.cuda.memory_reserved("cuda:0")
    precision = Precision("bf16", channels_last=True, why="test")
    model = ModelConfig(name="densenet121", image_size=224)
    found = measured_bytes(
        model, 14, TrainConfig(batch_size=32), precision=precision, device="cuda:0"
    )
    assert 1 < (found - memory._GPU_CONTEXT) / GB < 8  # its activations alone take 2 GB
    assert torch.cuda.memory_reserved("cuda:0") <= before + (100 << 20)
