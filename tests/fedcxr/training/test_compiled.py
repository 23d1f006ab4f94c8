import shutil
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch
from test_loop import FP32, SAME, digest, films, network, train
from torch import nn

from fedcxr.errors import ConfigError
from fedcxr.training.compiled import check_compile, compile_network
from fedcxr.training.predict import predict


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.compiler.reset()
    yield
    torch.compiler.reset()
    torch.set_num_threads(before)


class Counting:
    """A compiler that builds nothing: it counts the graphs and runs them as they are."""

    def __init__(self):
        self.graphs, self.calls, self.sizes = 0, 0, set()

    def __call__(self, graph, inputs):
        self.graphs += 1

        def run(*args):
            self.calls += 1
            self.sizes |= {len(arg) for arg in args if arg.dim() == 4 and arg.shape[1:] == IMAGE}
            return graph(*args)

        return run


IMAGE = (1, 32, 32)


def test_full_batches_take_their_own_way_through_the_same_network():
    # 11 images in batches of 4: 4 + 4 by the given way, 3 by the network itself
    model, plain = network(), network()
    sizes = []

    def given(inputs):
        sizes.append(len(inputs))
        return model(inputs)

    train(model, *films(num=11), full_batch=given)
    train(plain, *films(num=11))
    assert sizes == [4, 4]
    assert digest(model) == digest(plain)


def test_two_clients_of_a_worker_need_one_compile_and_last_batches_none():
    model, counting = network(), Counting()
    forward = compile_network(model, counting)
    # 11 images in batches of 4: 4 + 4 + 3, twice; then 8 images, 4 + 4
    train(model, *films(num=11), full_batch=forward, config={"local_epochs": 2})
    predict(model, *films()[:2], batch_size=4, normalization=SAME, precision=FP32, device="cpu")
    train(model, *films(num=8, seed=1), full_batch=forward)
    assert (counting.graphs, counting.calls, counting.sizes) == (1, 4 + 2, {4})


def test_the_compiled_network_trains_the_models_own_parameters():
    plain, compiled = network(), network()
    forward = compile_network(compiled, Counting())
    one = train(plain, *films(), config={"local_epochs": 2})
    other = train(compiled, *films(), full_batch=forward, config={"local_epochs": 2})
    assert other.train_loss == pytest.approx(one.train_loss, rel=1e-6)
    for ours, theirs in zip(
        compiled.state_dict().values(), plain.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.long  # torch's real compiler and the machine's: 10 to 60 s
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
# torch's own import of its compiler uses what torch deprecates (pytorch/pytorch#151107)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")
def test_the_real_compiler_gives_nearly_the_same_training(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))

    def tiny():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(3600, 2)
        )

    plain, compiled = tiny(), tiny()
    one = train(plain, *films(), learning_rate=1e-5)
    other = train(compiled, *films(), learning_rate=1e-5, full_batch=compile_network(compiled))
    assert np.isfinite(other.train_loss)
    assert other.train_loss == pytest.approx(one.train_loss, rel=1e-3)


def test_a_missing_compiler_is_named_before_anything_starts(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"a compiler, and (g\+\+|clang\+\+) is not there"):
        check_compile("cpu")
    with pytest.raises(ConfigError, match="a compiler, and gcc or clang is not there"):
        check_compile("cuda:0")
    monkeypatch.setenv("CXX", "my-c++")
    with pytest.raises(ConfigError, match=r"and my-c\+\+ is not there"):
        check_compile("cpu")
    monkeypatch.setenv("CC", "my-cc")
    with pytest.raises(ConfigError, match="and my-cc is not there"):
        check_compile("cuda:0")


def test_missing_headers_are_named_too(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"Python's headers, and .*Python\.h is not there"):
        check_compile("cpu")
    Path(tmp_path / "Python.h").touch()
    check_compile("cpu")
