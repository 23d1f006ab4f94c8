import numpy as np

from fedcxr.data.records import Box
from fedcxr.explain.peaks import center_in_box, peak_in_box


def spot(row, column, size=16):
    heat = np.zeros((size, size), dtype=np.float32)
    heat[row, column] = 1.0
    return heat


def box(x, y, width, height):
    return Box("a.png", "Mass", x=x, y=y, width=width, height=height)


def test_the_peak_is_in_the_box_that_holds_it():
    # row 2, column 12 of 16: the pixel's centre is (12.5 / 16, 2.5 / 16) = (0.78, 0.16)
    assert peak_in_box(spot(2, 12), box(0.75, 0.1, 0.1, 0.1))
    assert not peak_in_box(spot(2, 12), box(0.1, 0.75, 0.1, 0.1))


def test_a_map_of_zeros_hits_nothing():
    assert not peak_in_box(np.zeros((8, 8), dtype=np.float32), box(0.0, 0.0, 1.0, 1.0))


def test_the_peak_of_a_plateau_is_its_middle():
    heat = np.zeros((16, 16), dtype=np.float32)
    heat[0:5, 0:5] = 1.0  # what upsampling leaves of a peak in the corner cell
    assert peak_in_box(heat, box(0.1, 0.1, 0.1, 0.1))
    assert not peak_in_box(heat, box(0.0, 0.0, 0.05, 0.05))


def test_the_centre_is_a_baseline_that_ignores_the_image():
    assert center_in_box(box(0.4, 0.4, 0.2, 0.2))
    assert not center_in_box(box(0.6, 0.4, 0.2, 0.2))
