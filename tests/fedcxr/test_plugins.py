"""A user's own parts by name: found, refused with a reason, allowed at a site or not."""

import re
import subprocess
import sys

import pytest

from fedcxr import plugins
from fedcxr.config.algorithm import AlgorithmConfig
from fedcxr.config.experiment import ExperimentConfig
from fedcxr.config.kit import SiteKitConfig
from fedcxr.config.model import ModelConfig
from fedcxr.config.train import TrainConfig
from fedcxr.errors import ConfigError, LimitError
from fedcxr.models.architectures import build_model, check_model, head_tensors, is_deterministic
from fedcxr.own_packages import ROOT
from fedcxr.registry import Registry, only
from fedcxr.runs.versions import code_digest
from fedcxr.training.choices import check_training
from fedcxr.training.losses import LOSSES
from server.choices import check_choices

SOURCE = """
import torch
from torch import nn
from fedcxr.algorithms.fedavg import ALGORITHMS

class Net(nn.Module):
    def __init__(self, num_labels, image_size):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(4, num_labels)
    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))

class Wide(Net):
    def __init__(self, num_labels, image_size): super().__init__(1000, image_size)
class Double(Net):
    def __init__(self, num_labels, image_size):
        super().__init__(num_labels, image_size); self.double()
class Rgb(Net):
    def __init__(self, num_labels, image_size):
        super().__init__(num_labels, image_size); self.conv = nn.Conv2d(3, 4, 3)
class Noisy(Net):
    def forward(self, x):
        return super().forward(x) + next(counter)
class Renamed(Net):
    def __init__(self, num_labels, image_size):
        super().__init__(num_labels, image_size)
        self.add_module(f"extra{int(next(counter))}", nn.Linear(2, 2))
class OneArgument(nn.Module):
    def __init__(self, num_labels): super().__init__()

import itertools
counter = map(float, itertools.count())
def squared(logits, target): return (torch.sigmoid(logits) - target) ** 2
def reduced(logits, target): return squared(logits, target).mean()
def brighter(images, random): return images + random[:, 0, None, None, None]
def cropped(images, random): return images[:, :, 1:]
def noisy(images, random): return images + next(counter)
def alone(images): return images
def flat(model, inputs, labels): return inputs[:, 0].abs()
def too_flat(model, inputs, labels): return inputs.mean()
def halved(config, round_num, rounds, aurocs): return config.learning_rate / 2
averaging = ALGORITHMS["fedavg"]
number = 3
"""


@pytest.fixture
def brought(tmp_path, monkeypatch):
    package = tmp_path / "broughtparts"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text(SOURCE)
    (package / "broken.py").write_text("import not_there_at_all\n")
    about = tmp_path / "broughtparts-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broughtparts\nVersion: 1.0\n")
    lines = "[fedcxr.losses]\nsquare_loss = broughtparts.parts:squared\n"
    (about / "entry_points.txt").write_text(lines)
    monkeypatch.setenv(plugins.PLUGIN_PATH, "")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(plugins, "_allowed", None)
    plugins._entry_points.cache_clear()
    code_digest.cache_clear()
    yield package
    plugins._entry_points.cache_clear()
    for name in [name for name in sys.modules if name.startswith("broughtparts")]:
        del sys.modules[name]
    LOSSES._loaded.clear()


def named(name):
    return f"broughtparts.parts:{name}"


def test_an_own_network_is_built_and_its_head_and_map_are_found(brought):
    config = ModelConfig(name=named("Net"), image_size=32)
    check_model(config)
    assert is_deterministic(config)
    assert head_tensors(config) == "network.fc"
    model = build_model(config, 5, seed=1)
    assert model.cam_layer is model.network.conv
    assert model.network.fc.out_features == 5


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (named("Wide"), r"torch\.float32 \[2, 1000\], expected torch\.float32 \[2, 3\]"),
        (named("Double"), r"network\.conv\.weight is torch\.float64 \[4, 1, 3, 3\]"),
        (named("Rgb"), r"fails on images \[2, 1, 32, 32\].*docs/extending\.md"),
        (named("Renamed"), "built twice, it has other parameters: network.extra"),
        (named("OneArgument"), r"cannot be called with \(num_labels, image_size\)"),
        (named("number"), "is a int, expected a class or function"),
        (named("Nett"), "has no 'Nett'"),
        ("broughtparts.broken:Net", "cannot be imported .*not_there_at_all"),
        ("no_such_package:Net", "cannot be imported .*FEDCXR_PLUGIN_PATH"),
        ("__main__:Net", "a script or a notebook cell is in this process only"),
        ("a b:c", "not of the form"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_with_what_is_wrong(brought, name, says):
    # row 38 of the bad-input table
    with pytest.raises(ConfigError, match=f"(?s)model.name.*{says}"):
        check_model(ModelConfig(name=name, image_size=32))


def test_a_network_that_is_not_deterministic_is_said(brought, caplog):
    assert not is_deterministic(ModelConfig(name=named("Noisy"), image_size=32))
    assert "not deterministic" in caplog.text


def test_an_own_loss_schedule_and_algorithm_are_taken_by_name(brought):
    check_training(TrainConfig(loss=named("squared"), lr_schedule=named("halved")))
    check_training(TrainConfig(loss="square_loss"))
    assert AlgorithmConfig(name=named("averaging")).algorithm.title
    with pytest.raises(ConfigError, match=r"returns torch\.float32 \[\] for logits \[4, 3\]"):
        check_training(TrainConfig(loss=named("reduced")))
    with pytest.raises(ConfigError, match="expected Rule"):
        check_training(TrainConfig(optimizer=named("squared")))
    with pytest.raises(ConfigError, match="did you mean 'square_loss'"):
        check_training(TrainConfig(loss="square_los"))


def test_an_own_augmentation_is_taken_by_name_or_refused_with_shapes(brought, caplog):
    def config(name, **keys):
        return TrainConfig(augment={"name": named(name), **keys})

    check_training(config("brighter"))
    assert not caplog.records
    check_training(config("noisy"))
    assert "not deterministic" in caplog.text
    says = r"returns torch.float32 \[4, 1, 31, 32\] for images \[4, 1, 32, 32\]"
    with pytest.raises(ConfigError, match=says) as told:
        check_training(config("cropped"))
    assert told.value.exit_code == 2
    with pytest.raises(ConfigError, match=r"alone: is not a function \(images"):
        check_training(config("alone"))
    with pytest.raises(ConfigError, match=r"train\.augment\.flip = 0\.1: .* does not read it"):
        check_training(config("brighter", flip=0.1))
    with pytest.raises(
        ConfigError, match=r"there is no augmentation 'view' \(did you mean 'views'"
    ):
        check_training(TrainConfig(augment={"name": "view"}))


def test_an_own_explanation_is_tried_before_a_run(brought):
    def check(name):
        changes = {"explain": {"methods": (name,)}, "model": {"name": named("Net")}}
        check_choices(ExperimentConfig.model_validate(changes))

    check(named("flat"))
    with pytest.raises(
        ConfigError, match=r"too_flat returns torch.float32 \[\] for images \[2, 1,"
    ):
        check(named("too_flat"))
    with pytest.raises(ConfigError, match=r"Net: is no function \(model, inputs"):
        check(named("Net"))


def test_networks_of_three_channels_and_another_head_fit_with_an_adapter(monkeypatch):
    monkeypatch.setenv(plugins.PLUGIN_PATH, "")
    monkeypatch.setattr(plugins, "_allowed", None)
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    config = ModelConfig(name="own_model:resnet", image_size=32)
    check_model(config)
    assert head_tensors(config) == "network.network.fc"
    sys.modules.pop("own_model")


def test_a_package_that_offers_one_of_our_names_is_refused(brought):
    registry = Registry("train.loss", "loss", "fedcxr.losses", only(int, "Name = 3"))
    registry.add("square_loss", 1)
    with pytest.raises(ConfigError, match="offered as 'square_loss', which is fedcxr's own"):
        registry.check_offered()


def test_the_code_digest_changes_with_the_source_of_a_plug_in(brought):
    digest = code_digest((named("squared"),))
    assert digest != code_digest()
    code_digest.cache_clear()
    (brought / "parts.py").write_text(SOURCE + "# changed\n")
    assert code_digest((named("squared"),)) != digest


def test_a_site_imports_only_what_its_kit_allows(brought):
    kit = SiteKitConfig(site="site-00", server="localhost:1", plugins=("elsewhere",))
    plugins.allow_only(kit.plugins)
    for load in (
        lambda: check_training(TrainConfig(loss=named("squared"))),
        lambda: check_training(TrainConfig(loss="square_loss")),
        lambda: check_model(ModelConfig(name=named("Net"))),
        lambda: AlgorithmConfig(name=named("averaging")),
    ):
        with pytest.raises(LimitError, match=r"kit\.yaml, plugins: .*broughtparts is not among"):
            load()
    assert "broughtparts.parts" not in sys.modules
    plugins.allow_only(["broughtparts"])
    check_training(TrainConfig(loss=named("squared")))


def test_a_module_in_the_working_folder_is_found_by_our_processes_too(tmp_path):
    (tmp_path / "besides.py").write_text("value = 3\n")
    (tmp_path / "random.py").write_text("raise RuntimeError\n")
    program = (
        "import os; from fedcxr.plugins import load; load('k', 'besides:value'); "
        "print(os.environ['FEDCXR_PLUGIN_PATH'])"
    )
    command = [sys.executable, "-P", "-c", program]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(tmp_path.resolve())


def test_the_page_shows_the_examples_as_they_are():
    page = (ROOT / "docs" / "extending.md").read_text("utf-8")
    shown = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    files = [file.read_text("utf-8") for file in sorted((ROOT / "examples").glob("*.py"))]
    assert all(any(block in text for text in files) for block in shown)
    assert all(any(block in text for block in shown) for text in files)
