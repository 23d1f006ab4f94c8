import json

import pytest
import torch

from fedcxr.config.model import ModelConfig
from fedcxr.errors import ConfigError
from fedcxr.training import precision, probe
from fedcxr.training.precision import Precision, arrange, resolve_precision
from fedcxr.training.probe import PAIRS, time_pairs

SMALL = ModelConfig(image_size=32)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDCXR_HOME", str(tmp_path))
    return tmp_path


def resolve(wanted, model=SMALL):
    return resolve_precision(wanted, model=model, batch_size=4, device="cpu", threads=1)


def with_times(monkeypatch, fp32, fp32_last, bf16_last):
    times = dict(zip(PAIRS, (fp32, fp32_last, bf16_last), strict=True))
    monkeypatch.setattr(precision, "time_pairs", lambda *_, **__: times)


def test_bf16_asked_for_is_not_probed(home):
    assert resolve("bf16") == Precision("bf16", channels_last=True, why="asked for")
    assert not list(home.iterdir())


@pytest.mark.parametrize(
    ("times", "wanted", "dtype", "channels_last"),
    [
        ((3.0, 2.0, 1.0), "auto", "bf16", True),
        ((3.0, 2.0, 1.0), "fp32", "fp32", True),
        ((1.0, 2.0, 3.0), "auto", "fp32", False),
        ((1.0, 2.0, 0.95), "auto", "fp32", False),  # not clearly faster
        ((30.3, 19.9, 17.7), "auto", "fp32", True),  # densenet_small: 1.12 times as fast
        ((199.9, 141.7, 88.0), "auto", "bf16", True),  # densenet121: 1.61 times
    ],
)
def test_auto_takes_bf16_only_where_it_is_clearly_faster(
    monkeypatch, times, wanted, dtype, channels_last
):
    with_times(monkeypatch, *times)
    chosen = resolve(wanted)
    assert (chosen.dtype, chosen.channels_last) == (dtype, channels_last)
    assert "bf16+channels_last" in chosen.why


def test_the_probe_answers_once_and_then_from_its_file(home, monkeypatch):
    threads = torch.get_num_threads()
    first = resolve("auto")
    assert torch.get_num_threads() == threads
    monkeypatch.setattr(probe, "_measure", lambda *_: pytest.fail("probed again"))
    assert resolve("auto") == first
    (times,) = json.loads((home / "precision.json").read_text()).values()
    assert sorted(times) == ["bf16+channels_last", "fp32", "fp32+channels_last"]


def test_another_size_is_probed_anew_and_a_damaged_file_is_made_again(home, monkeypatch):
    (home / "precision.json").write_text('{"half": ')
    asked = []

    def measure(model, *_):
        asked.append(model.image_size)
        return dict.fromkeys(PAIRS, 1.0)

    monkeypatch.setattr(probe, "_measure", measure)
    for size in (32, 64, 32):
        time_pairs(ModelConfig(image_size=size), batch_size=4, threads=1)
    assert asked == [32, 64]
    assert len(json.loads((home / "precision.json").read_text())) == 2


def test_an_unknown_precision_is_refused():
    with pytest.raises(ConfigError, match="not one of auto, fp32, bf16"):
        resolve("fp16")


def test_arranging_changes_the_layout_and_not_the_values():
    conv = torch.nn.Conv2d(3, 4, 3)
    before = conv.weight.detach().clone()
    arrange(conv, Precision("fp32", True, ""), "cpu")
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(conv.weight, before)
    arrange(conv, Precision("fp32", False, ""), "cpu")
    assert conv.weight.is_contiguous()
