"""PSNR, SSIM and ranks against hand computations, SciPy's Gaussian filter, and laws."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fedcxr.attacks.likeness import MOST_PSNR, correlations, psnr, rank_of, ssim


def images(num=3, side=24, seed=0):
    return np.random.default_rng(seed).random((num, side, side))


def test_psnr_of_a_tenth_everywhere_is_20_db():
    # mean square 0.01, 10 · log10(1 / 0.01) = 20
    assert psnr(np.full((8, 8), 0.3), np.full((8, 8), 0.2)) == pytest.approx(20.0)


def test_psnr_ends_where_rounding_to_8_bits_does():
    # 10 · log10(12 · 255²) = 58.92
    assert psnr(images(), images()) == pytest.approx([58.92] * 3, abs=0.005)
    assert pytest.approx(58.92, abs=0.005) == MOST_PSNR


def test_ssim_of_flat_images_is_that_of_their_light_alone():
    # (2·0.6·0.5 + 0.0001) / (0.36 + 0.25 + 0.0001), the second factor is C2 / C2
    found = ssim(np.full((16, 16), 0.6), np.full((16, 16), 0.5))
    assert found == pytest.approx(0.6001 / 0.6101)


def test_ssim_is_that_of_gaussian_windows_by_another_library():
    first, second = images(2, 32)
    second = 0.6 * first + 0.4 * second

    def means(image):  # 11 pixels wide; whole windows only
        return gaussian_filter(image, 1.5, radius=5)[5:-5, 5:-5]

    mean_1, mean_2 = means(first), means(second)
    var_1, var_2 = means(first**2) - mean_1**2, means(second**2) - mean_2**2
    both = means(first * second) - mean_1 * mean_2
    light = (2 * mean_1 * mean_2 + 1e-4) / (mean_1**2 + mean_2**2 + 1e-4)
    shape = (2 * both + 9e-4) / (var_1 + var_2 + 9e-4)
    assert ssim(first, second) == pytest.approx((light * shape).mean(), abs=1e-12)


def test_ssim_of_an_image_with_itself_is_1_and_does_not_mind_the_order():
    first, second, _ = images()
    assert ssim(first, first) == pytest.approx(1.0)
    assert ssim(first, second) == pytest.approx(ssim(second, first))


def test_many_images_are_measured_as_each_by_itself():
    many, truth = images(4), images(1, seed=1)[0]
    assert ssim(many, truth) == pytest.approx([float(ssim(one, truth)) for one in many])


def test_the_nearest_of_all_is_the_image_itself_however_bright():
    candidates = images(20)
    mean = images(50, seed=2).mean(0)
    darker = mean + 0.2 * (candidates[7] - mean) - 0.1
    assert rank_of(darker, candidates, 7, mean) == 1
    assert correlations(darker, candidates, mean)[7] == pytest.approx(1.0)


def test_the_mean_image_is_near_to_nobody():
    candidates = images(20)
    mean = images(50, seed=2).mean(0)
    # all correlations are 0, and ties stand before the true one
    assert rank_of(mean, candidates, 7, mean) == 20
