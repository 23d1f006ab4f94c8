"""What of a VAE's settings cannot be, told from the plan alone."""

from types import SimpleNamespace

import pytest

from fedcxr.config import load_config
from fedcxr.errors import ConfigError, DataError
from server.vae_check import check_vae, check_vae_data

LABELS = ("Edema", "Mass")


def plan_of(*sites):
    """A plan's sites, by training images and positives of the labels."""
    return SimpleNamespace(
        scheme="iid",
        sites=[
            SimpleNamespace(
                train_images=images,
                label_counts={
                    label: {"positive": number}
                    for label, number in zip(LABELS, positives, strict=True)
                },
            )
            for images, positives in sites
        ],
    )


def config(**changes):
    keys = {f"vae.{key}": value for key, value in changes.items()}
    return load_config(overrides={"vae.enabled": True, **keys})


def test_one_site_large_enough_will_do(tmp_path):
    check_vae(config())
    check_vae_data(config(), plan_of((200, (3, 0)), (5, (0, 0))), LABELS, place=tmp_path)


def test_sites_that_are_all_too_small_are_a_data_error(tmp_path):
    with pytest.raises(DataError, match="the largest site has 99 training images"):
        check_vae_data(config(), plan_of((99, (3, 0)), (5, (0, 0))), LABELS, place=tmp_path)


def test_a_label_without_a_positive_anywhere_has_nothing_to_sample(tmp_path):
    plan = plan_of((200, (3, 0)), (200, (0, 0)))
    check_vae_data(config(labels=["Edema"]), plan, LABELS, place=tmp_path)
    with pytest.raises(DataError, match=r"no site has a positive of Mass.*Leave it out"):
        check_vae_data(config(labels=["Edema", "Mass"]), plan, LABELS, place=tmp_path)


def test_a_control_of_a_vae_has_no_settings_of_one():
    check_vae(config(added="copies"))
    check_vae(config(added="classical", max_ratio=2.0))
    with pytest.raises(ConfigError, match=r"vae\.latent = 8: .*vae\.added=copies trains none"):
        check_vae(config(added="copies", latent=8))


def test_classical_views_need_something_to_be_drawn():
    still = {"min_crop_area": 1.0, "max_aspect": 1.0, "flip": 0.0, "max_rotation_deg": 0.0}
    views = {f"train.augment.{key}": value for key, value in still.items()}
    plain = load_config(overrides={"vae.enabled": True, "vae.added": "classical", **views})
    with pytest.raises(ConfigError, match=r"these would be copies\. Set one of its keys"):
        check_vae(plain)


def test_without_vaes_nothing_is_asked(tmp_path):
    check_vae_data(load_config(), plan_of((5, (0, 0))), LABELS, place=tmp_path)
