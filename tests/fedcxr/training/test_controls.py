"""Real images once more: as they are, or each under a view of its own."""

import numpy as np

from fedcxr.config.train import AugmentConfig
from fedcxr.training.controls import real_again

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 16, 16), dtype=np.uint8)
ROWS = np.array([4, 1, 4])


def test_copies_are_the_very_images():
    found = real_again(IMAGES, ROWS, None, seed=0)
    assert found.dtype == np.uint8
    assert (found == IMAGES[ROWS]).all()


def test_a_view_that_only_mirrors_is_the_image_mirrored():
    only_flip = AugmentConfig(min_crop_area=1.0, max_aspect=1.0, flip=1.0, max_rotation_deg=0.0)
    found = real_again(IMAGES, ROWS, only_flip, seed=0)
    assert (found == IMAGES[ROWS][:, :, ::-1]).all()


def test_every_image_has_a_view_of_its_own_that_follows_from_the_seed():
    found = real_again(IMAGES, ROWS, AugmentConfig(), seed=0)
    assert found.shape == (3, 16, 16)
    assert (found[0] != found[2]).any()  # of the same image
    assert (found == real_again(IMAGES, ROWS, AugmentConfig(), seed=0)).all()
    assert (found != real_again(IMAGES, ROWS, AugmentConfig(), seed=1)).any()


def test_nothing_to_add_is_nothing():
    assert real_again(IMAGES, ROWS[:0], AugmentConfig(), seed=0).shape == (0, 16, 16)
