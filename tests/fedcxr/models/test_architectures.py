import errno
import json
import os
import re
import urllib.error

import pytest
import safetensors.torch
import torch
import torchvision

from fedcxr.config.model import ModelConfig
from fedcxr.data.labels import CHEXPERT_LABELS, NIH14_IN_CHEXPERT, NIH14_LABELS, synonym_of
from fedcxr.errors import ArtefactError, ConfigError, NetworkError, StorageError
from fedcxr.models.architectures import MODEL_NAMES, build_model
from fedcxr.models.base import deepest_map, one_channel
from fedcxr.parameters import extract, save_parameters, spec_of

LABELS = ("Edema", "Mass", "Nodule", "Hernia")


def films(size, num=2, seed=0):
    return torch.randn(num, 1, size, size, generator=torch.Generator().manual_seed(seed))


def torchvision_weights(name):
    """Random weights under torchvision's own names, three channels in, 1000 classes out."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(7)
        return getattr(torchvision.models, name)(weights=None).eval()


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_every_model_gives_one_logit_a_label_and_a_map(name):
    model = build_model(ModelConfig(name=name), num_outputs=3, seed=0).eval()
    seen = []
    model.cam_layer.register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        assert model(films(64)).shape == (2, 3)
    assert seen[0].ndim == 4
    assert seen[0].shape[-1] >= (4 if name == "vit_b_16" else 7)


@pytest.mark.parametrize("name", ["densenet121", "densenet_small"])
def test_a_densenet_is_torchvisions_to_the_bit(name):
    small = {"growth_rate": 12, "block_config": (2, 4, 8, 6), "num_init_features": 24}
    sizes = small if name == "densenet_small" else {}
    ours = build_model(ModelConfig(name=name), num_outputs=14, seed=3).network
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        theirs = torchvision.models.DenseNet(num_classes=14, **sizes)
        theirs.features.conv0 = one_channel(theirs.features.conv0)
    expected = theirs.state_dict()
    assert list(ours.state_dict()) == list(expected)
    assert all(torch.equal(value, expected[key]) for key, value in ours.state_dict().items())
    for network in (ours, theirs):
        network.train()
    logits, reference = ours(films(64, num=4)), theirs(films(64, num=4))
    assert torch.equal(logits, reference)
    for found in (logits, reference):
        found.square().sum().backward()
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    assert all(torch.equal(a.grad, b.grad) for a, b in pairs)


def test_parameters_are_as_many_as_published_less_two_stem_channels():
    # 6,968,206 parameters and 83,769 buffers with three channels; the stem is 64 × 7 × 7 a channel
    spec = spec_of(build_model(ModelConfig(name="densenet121"), num_outputs=14, seed=0))
    assert spec.num_trainable == 6_968_206 - 2 * 64 * 7 * 7
    assert spec.num_float - spec.num_trainable + spec.num_counters == 83_769
    assert len(spec.names) == 727


def test_the_small_densenet_has_a_fifth_of_a_million_parameters():
    spec = spec_of(build_model(ModelConfig(), num_outputs=14, seed=0))
    assert spec.num_trainable == 193_406


def test_random_weights_depend_on_the_seed_alone_and_leave_the_global_generator():
    state = torch.get_rng_state()
    models = [build_model(ModelConfig(), num_outputs=2, seed=seed) for seed in (1, 1, 2)]
    one, same, other = (extract(model, spec_of(model)).sha256() for model in models)
    assert one == same != other
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["densenet121", "resnet50", "alexnet"])
def test_one_channel_sees_what_three_copies_of_it_saw(name, tmp_path):
    original = torchvision_weights(name)
    classes = [f"class {number}" for number in range(1000)]
    named = {"outputs": json.dumps(classes)}
    safetensors.torch.save_file(original.state_dict(), tmp_path / "w.safetensors", named)
    config = ModelConfig(name=name, weights=str(tmp_path / "w.safetensors"))
    model = build_model(
        config, num_outputs=1000, seed=0, outputs=dict(zip(classes, classes, strict=True))
    ).eval()
    gray = films(64)
    with torch.no_grad():
        expected = original(gray.expand(-1, 3, -1, -1))
        torch.testing.assert_close(model(gray), expected, rtol=1e-3, atol=1e-4)


def checkpoint_of(model, path, outputs):
    """Write a model as a run's checkpoint does, its outputs named."""
    spec = spec_of(model)
    save_parameters(path, extract(model, spec), spec, {"outputs": json.dumps(outputs)})
    return ModelConfig(weights=str(path))


def test_a_head_is_taken_over_by_the_names_of_its_rows_and_not_by_its_shape(tmp_path):
    # CheXpert's head of 14 rows fits NIH's 14 labels in shape, and means other findings
    chexpert = build_model(ModelConfig(), num_outputs=14, seed=1)
    config = checkpoint_of(chexpert, tmp_path / "c.safetensors", CHEXPERT_LABELS)
    nih = build_model(
        config, num_outputs=14, seed=9, outputs={x: synonym_of(x) for x in NIH14_LABELS}
    )
    fresh = build_model(ModelConfig(), num_outputs=14, seed=9)
    row = {label: number for number, label in enumerate(CHEXPERT_LABELS)}
    for number, label in enumerate(NIH14_LABELS):
        found = nih.network.classifier.weight[number]
        if label in NIH14_IN_CHEXPERT:  # Effusion is CheXpert's Pleural Effusion
            theirs = chexpert.network.classifier.weight[row[NIH14_IN_CHEXPERT[label]]]
            assert torch.equal(found, theirs), label
        else:
            assert torch.equal(found, fresh.network.classifier.weight[number]), label
    assert nih.starting_weights.copied == tuple(NIH14_IN_CHEXPERT)
    assert set(nih.starting_weights.new) == set(NIH14_LABELS) - set(NIH14_IN_CHEXPERT)
    assert torch.equal(nih.network.features.norm5.weight, chexpert.network.features.norm5.weight)


def test_a_head_whose_rows_nobody_names_is_left_random(tmp_path):
    model = build_model(ModelConfig(), num_outputs=4, seed=1)
    safetensors.torch.save_file(model.network.state_dict(), tmp_path / "w.safetensors")
    config = ModelConfig(weights=str(tmp_path / "w.safetensors"))
    again = build_model(
        config, num_outputs=4, seed=9, outputs=dict(zip(LABELS, LABELS, strict=True))
    )
    fresh = build_model(ModelConfig(), num_outputs=4, seed=9)
    assert torch.equal(again.network.classifier.weight, fresh.network.classifier.weight)
    assert again.starting_weights.new == tuple(LABELS)


@pytest.mark.parametrize("named", ['"Edema"', "[1, 2]", "{", '["Edema"]'])
def test_outputs_that_are_no_list_of_the_heads_names_are_refused(named, tmp_path):
    model = build_model(ModelConfig(), num_outputs=4, seed=1)
    file = tmp_path / "w.safetensors"
    safetensors.torch.save_file(model.network.state_dict(), file, {"outputs": named})
    with pytest.raises(ArtefactError, match=r"is not a JSON list of names|names 1 outputs"):
        build_model(
            ModelConfig(weights=str(file)),
            num_outputs=4,
            seed=9,
            outputs=dict(zip(LABELS, LABELS, strict=True)),
        )


def test_a_head_of_another_size_is_left_random(tmp_path):
    torch_state = torchvision_weights("densenet121").state_dict()
    safetensors.torch.save_file(torch_state, tmp_path / "w.safetensors")
    config = ModelConfig(name="densenet121", weights=str(tmp_path / "w.safetensors"))
    model = build_model(config, num_outputs=5, seed=3)
    fresh = build_model(ModelConfig(name="densenet121"), num_outputs=5, seed=3)
    assert torch.equal(model.network.classifier.weight, fresh.network.classifier.weight)
    assert torch.equal(model.network.features.norm5.bias, torch_state["features.norm5.bias"])


def test_old_densenet_names_are_understood(tmp_path):
    state = torchvision_weights("densenet121").state_dict()
    old = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): t
        for name, t in state.items()
    }
    safetensors.torch.save_file(old, tmp_path / "w.safetensors")
    config = ModelConfig(name="densenet121", weights=str(tmp_path / "w.safetensors"))
    model = build_model(config, num_outputs=5, seed=0)
    name = "features.denseblock1.denselayer1.conv2.weight"
    assert torch.equal(model.network.state_dict()[name], state[name])


def test_a_checkpoint_of_fedcxr_starts_another_run_with_the_same_state(tmp_path):
    model = build_model(ModelConfig(), num_outputs=4, seed=1)
    model(films(64, num=4))  # moves the batch-norm statistics
    spec = spec_of(model)
    config = checkpoint_of(model, tmp_path / "c.safetensors", LABELS)
    again = build_model(
        config, num_outputs=4, seed=9, outputs=dict(zip(LABELS, LABELS, strict=True))
    )
    assert extract(again, spec).sha256() == extract(model, spec).sha256()


def test_vit_positions_are_interpolated_to_the_image_size(tmp_path):
    state = torchvision_weights("vit_b_16").state_dict()
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    config = ModelConfig(name="vit_b_16", image_size=64, weights=str(tmp_path / "w.safetensors"))
    model = build_model(config, num_outputs=2, seed=0)
    positions = model.network.encoder.pos_embedding  # (1, 1 + 4 · 4, C)
    assert positions.shape == (1, 17, 768)
    assert torch.equal(positions[:, 0], state["encoder.pos_embedding"][:, 0])


def test_weights_of_another_model_are_refused_with_the_difference(tmp_path):
    # row 25 of the bad-input table
    model = build_model(ModelConfig(), num_outputs=4, seed=1)
    spec = spec_of(model)
    save_parameters(tmp_path / "c.safetensors", extract(model, spec), spec, {})
    config = ModelConfig(name="densenet121", weights=str(tmp_path / "c.safetensors"))
    with pytest.raises(ArtefactError, match=r"weights of another model: .* is missing"):
        build_model(config, num_outputs=4, seed=0)


def test_a_torch_file_is_refused_as_weights(tmp_path):
    # row 26 of the bad-input table
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(ArtefactError, match="never unpickles"):
        build_model(ModelConfig(weights=str(tmp_path / "w.pt")), num_outputs=2, seed=0)


@pytest.mark.parametrize(
    ("name", "file"),
    [("densenet121", "densenet121-a639ec97.pth"), ("alexnet", "alexnet-owt-7be5be79.pth")],
)
def test_unreachable_imagenet_weights_are_a_plain_network_error(tmp_path, monkeypatch, name, file):
    def unreachable(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(NetworkError, match=rf"{re.escape(file)}: .*--weights FILE") as caught:
        build_model(ModelConfig(name=name, weights="imagenet"), num_outputs=2, seed=0)
    assert str(tmp_path) in str(caught.value)
    assert "pytorch.org" not in str(caught.value)


def test_imagenet_weights_in_torchs_cache_are_used_without_their_head(tmp_path, monkeypatch):
    original = torchvision_weights("densenet121")
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    torch.save(original.state_dict(), tmp_path / "hub/checkpoints/densenet121-a639ec97.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    config = ModelConfig(name="densenet121", weights="imagenet")
    state = build_model(config, num_outputs=1000, seed=0).network.state_dict()
    theirs = original.state_dict()
    assert torch.equal(state["features.norm5.weight"], theirs["features.norm5.weight"])
    assert torch.equal(
        state["features.conv0.weight"], theirs["features.conv0.weight"].sum(1, keepdim=True)
    )
    assert not torch.equal(state["classifier.weight"], theirs["classifier.weight"])


def test_a_damaged_download_is_an_artefact_error(tmp_path, monkeypatch):
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    (tmp_path / "hub/checkpoints/densenet121-a639ec97.pth").write_bytes(b"<html>")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ArtefactError, match="damaged"):
        build_model(ModelConfig(name="densenet121", weights="imagenet"), num_outputs=2, seed=0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "densenet12"}, "Did you mean densenet121"),
        ({"name": "qqq"}, "Known: densenet121, densenet_small"),
        ({"name": "alexnet", "image_size": 48}, "Give at least 64"),
        ({"name": "vit_b_16", "image_size": 100}, "multiple of 16, such as 96"),
        ({"weights": "imagenet"}, "no ImageNet weights for densenet_small"),
        ({"weights": "imagnet"}, "'imagnet' is not none, imagenet or the path of a file"),
    ],
)
def test_a_model_that_cannot_be_built_is_a_config_error(changes, words):
    with pytest.raises(ConfigError, match=words):
        build_model(ModelConfig(**changes), num_outputs=2, seed=0)


def test_the_map_to_explain_is_the_deepest_of_seven_cells_or_the_finest():
    maps = [(32, "last"), (16, "middle"), (8, "fine")]
    assert [deepest_map(size, maps) for size in (320, 224, 223, 112, 64, 32)] == [
        "last", "last", "middle", "middle", "fine", "fine",
    ]  # fmt: skip


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_download_that_the_disk_refuses_is_not_called_damaged(tmp_path, monkeypatch, number):
    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(StorageError, match=r"densenet121-a639ec97\.pth: cannot be.*TORCH_HOME"):
        build_model(ModelConfig(name="densenet121", weights="imagenet"), num_outputs=2, seed=0)


def test_without_a_home_no_folder_called_tilde_is_made_for_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "~/.cache/torch/hub")  # as torch says then
    with pytest.raises(ConfigError, match="Set HOME, or TORCH_HOME"):
        build_model(ModelConfig(name="densenet121", weights="imagenet"), num_outputs=2, seed=0)
    assert list(tmp_path.iterdir()) == []
