import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as tv

from fedcxr.config.train import AugmentConfig
from fedcxr.training import transforms
from fedcxr.training.transforms import Normalization, draw_views, normalize

NOTHING = AugmentConfig(min_crop_area=1.0, max_aspect=1.0, flip=0.0, max_rotation_deg=0.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def augment(images, config, generator):
    return transforms.augment(images, draw_views(len(images), config, generator))


def smooth(num=1, size=32):
    """Images without sharp edges, so that two resamplers agree."""
    noise = torch.rand(num, 1, 4, 4, generator=generator())
    return F.interpolate(noise, size=(size, size), mode="bicubic")


def test_preset_constants_are_of_pixels_in_0_to_1():
    # 255 → (1 − 0.5) / 0.25 = 2; 0 → −2
    images = torch.tensor([[[255, 0]]], dtype=torch.uint8)
    assert normalize(images, Normalization("preset", 0.5, 0.25)).tolist() == [[[[2.0, -2.0]]]]


def test_each_image_can_have_its_own_mean_and_deviation():
    images = torch.randint(0, 255, (3, 8, 8), dtype=torch.uint8, generator=generator())
    out = normalize(images, Normalization("image", 0.0, 1.0))
    assert out.mean(dim=(1, 2, 3)).numpy() == pytest.approx(np.zeros(3), abs=1e-6)
    assert out.std(dim=(1, 2, 3), correction=0).numpy() == pytest.approx(np.ones(3), abs=1e-6)


def test_an_image_of_one_gray_level_normalises_to_zero():
    flat = torch.full((1, 4, 4), 77, dtype=torch.uint8)
    assert not normalize(flat, Normalization("image", 0.0, 1.0)).any()


def test_normalising_leaves_the_stored_pixels_alone():
    images = torch.full((1, 2, 2), 9, dtype=torch.uint8)
    normalize(images, Normalization("preset", 0.5, 0.25))
    assert images.unique().tolist() == [9]


def test_no_augmentation_is_the_identity():
    images = smooth(3)
    torch.testing.assert_close(augment(images, NOTHING, generator()), images)


def test_a_certain_flip_mirrors_left_and_right():
    images = smooth(2)
    out = augment(images, NOTHING.model_copy(update={"flip": 1.0}), generator())
    torch.testing.assert_close(out, images.flip(-1))


def test_a_rotation_is_the_one_of_torchvision():
    config = NOTHING.model_copy(update={"max_rotation_deg": 30.0})
    images = smooth()
    view = draw_views(1, config, generator())[0]
    degrees = torch.rad2deg(torch.atan2(view[1, 0], view[0, 0])).item()
    assert 0 < abs(degrees) <= 30
    # the view looks at the image turned by θ clockwise, so the content turns the other way
    expected = tv.rotate(images, degrees, interpolation=tv.InterpolationMode.BILINEAR)
    out = augment(images, config, generator())
    torch.testing.assert_close(out[..., 8:24, 8:24], expected[..., 8:24, 8:24], atol=0.01, rtol=0)


def test_a_crop_keeps_its_share_of_the_area_inside_the_image():
    config = AugmentConfig(min_crop_area=0.5, max_aspect=1.2, flip=0.0, max_rotation_deg=0.0)
    views = draw_views(500, config, generator())
    width, height = views[:, 0, 0], views[:, 1, 1]
    area = width * height
    assert 0.5 - 1e-5 <= area.min() < 0.55
    assert 0.9 < area.max() <= 1 + 1e-5
    assert (width / height).max() <= 1.2 + 1e-5
    for side, centre in ((width, views[:, 0, 2]), (height, views[:, 1, 2])):
        assert (centre.abs() + side).max() <= 1 + 1e-5


def test_half_of_the_images_are_flipped_when_asked():
    views = draw_views(2000, NOTHING.model_copy(update={"flip": 0.5}), generator())
    assert (views[:, 0, 0] < 0).float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_the_grid_is_torchs_affine_grid():
    config = AugmentConfig()
    images = smooth(4)
    grid = F.affine_grid(draw_views(4, config, generator(5)), list(images.shape), False)
    expected = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    torch.testing.assert_close(augment(images, config, generator(5)), expected)


def test_the_same_generator_draws_the_same_views_and_the_argument_is_unchanged():
    images = smooth(4)
    before = images.clone()
    one, same = (augment(images, AugmentConfig(), generator(3)) for _ in range(2))
    assert torch.equal(one, same)
    assert torch.equal(images, before)
    assert not torch.equal(one, augment(images, AugmentConfig(), generator(4)))
