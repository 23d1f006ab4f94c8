"""Which VAEs are found for an attack, and why others are not."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clients.vae_files import KeptVae, VaeFiles, VaeKey
from fedcxr.config import load_config
from fedcxr.config.vae import VaeStatus
from fedcxr.errors import ArtefactError, ConfigError, DataError
from fedcxr.experiments.membership.attacked_vae import open_vaes, references_of
from fedcxr.home import site_state
from fedcxr.models.group_norm import batch_norms, use_group_norm
from fedcxr.models.vae import build_vae

LABELS = ("Edema", "Fracture")
SETTINGS = {"vae.enabled": True, "vae.width": 8, "vae.latent": 4, "model.image_size": 32}
MADE = {"vae-status": float(VaeStatus.MADE), "vae-epochs": 7.0, "vae-copies": math.nan}


@pytest.fixture
def attacked(tmp_path, monkeypatch):
    """A run of two sites of 30 and 19 training patients, and one without any."""
    monkeypatch.setenv("FEDCXR_HOME", str(tmp_path / "home"))
    model = SimpleNamespace(config=load_config(overrides=SETTINGS), labels=LABELS, device="cpu")
    return SimpleNamespace(
        folder=tmp_path / "a-run",
        model=model,
        population=SimpleNamespace(site=np.repeat(["site-00", "site-01", ""], [30, 19, 40])),
        sites=["site-00", "site-01"],
    )


def keep(attacked, site, *, numbers=MADE, labels=LABELS, latent=4, group_norm=False, weights=True):
    """Keep a VAE with three samples for a site, and return it."""
    config = attacked.model.config.vae.model_copy(update={"latent": latent})
    made = build_vae(config, size_px=32, num_labels=len(labels), seed=1)
    if group_norm:
        use_group_norm(made)
    folder = site_state(attacked.folder) / site / attacked.folder.name
    folder.mkdir(parents=True)
    samples, target = np.zeros((3, 32, 32), np.uint8), np.ones((3, len(labels)), np.float32)
    tensors = made.state_dict() if weights else {}
    VaeFiles(folder).write(KeptVae(2, VaeKey(labels, "of"), numbers, samples, target, tensors))
    return made


def test_a_vae_is_found_with_its_samples_and_its_weights(attacked):
    made = keep(attacked, "site-00")
    (found,) = open_vaes(attacked).of("site-00")
    assert (found.site, found.size_px, found.epochs, len(found.samples)) == ("site-00", 32, 7, 3)
    assert not found.model.training
    for name, tensor in made.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], tensor)


def test_one_with_group_norms_is_found_too_though_it_says_no_numbers(attacked):
    keep(attacked, "site-00", group_norm=True, numbers={})
    (found,) = open_vaes(attacked).of("site-00")
    assert batch_norms(found.model) == []
    assert found.epochs == attacked.model.config.vae.epochs


def test_sites_without_a_vae_or_with_few_patients_are_named_with_the_reason(attacked):
    keep(attacked, "site-00")
    keep(attacked, "site-01")
    opened = open_vaes(attacked)
    assert [vae.site for vae in opened.of(None)] == ["site-00"]
    assert [vae.site for vae in opened.found] == ["site-00", "site-01"]  # a reference it can be
    assert opened.without == {"site-01": "has 19 training patients, and an attack needs 20"}
    with pytest.raises(ConfigError, match="--site site-01: it has 19 training patients"):
        opened.of("site-01")


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"vae-status": float(VaeStatus.TOO_FEW_IMAGES)}, "had too few images for a VAE"),
        ({"vae-status": float(VaeStatus.DIVERGED)}, "its VAE diverged"),
        ({}, "trained without samples"),
    ],
)
def test_where_no_site_has_one_the_run_is_refused(attacked, numbers, words):
    keep(attacked, "site-00", numbers=numbers, weights=False)
    opened = open_vaes(attacked)
    assert words in opened.without["site-00"]
    assert opened.without["site-01"].startswith("keeps no VAE")
    with pytest.raises(DataError, match=r"no site has a VAE to attack: .*min_images"):
        opened.of(None)


def test_a_run_without_vaes_or_whose_folder_is_gone_is_refused(attacked):
    with pytest.raises(ArtefactError, match=r"missing\. The VAEs of the run's sites were there"):
        open_vaes(attacked)
    attacked.model.config = load_config(overrides={"model.image_size": 32})
    with pytest.raises(ConfigError, match=r"have no VAE \(no --vae\)\. Train with --vae\."):
        open_vaes(attacked)
    attacked.model.config = load_config(
        overrides={"model.image_size": 32, "vae.enabled": True, "vae.added": "copies"}
    )
    with pytest.raises(ConfigError, match=r"\(vae\.added=copies trains none\)"):
        open_vaes(attacked)


@pytest.mark.parametrize(
    ("other", "words"), [({"labels": ("Mass",)}, "other labels"), ({"latent": 5}, "another shape")]
)
def test_a_vae_of_another_run_is_refused(attacked, other, words):
    keep(attacked, "site-00", **other)
    with pytest.raises(ArtefactError, match=words):
        open_vaes(attacked)


def test_an_images_difficulty_is_measured_by_the_next_sites():
    vaes = [SimpleNamespace(site=name) for name in "abcd"]
    assert [vae.site for vae in references_of(vaes[2], vaes, 2)] == ["d", "a"]
    assert references_of(vaes[0], vaes[:1], 2) == []
