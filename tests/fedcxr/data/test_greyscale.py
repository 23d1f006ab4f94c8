import numpy as np
import pytest
from dicom_writer import table
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi

from fedcxr.data.images.greyscale import Display, LookupTable, Rescale, Window, look_up, to_grey

IDENTITY = Window(127.5, 255, "LINEAR_EXACT")


def test_a_large_image_is_looked_up_in_parts():
    values = np.resize(np.arange(65536, dtype=np.uint16), (1100, 1000))
    entries = (np.arange(65536) * 7 % 251).astype(np.uint8)
    np.testing.assert_array_equal(look_up(entries, values), entries[values])


def test_the_range_of_a_large_image_is_that_of_all_its_parts():
    stored = np.full((1100, 1000), 500, dtype=np.uint16)
    stored[0, 0], stored[-1, -1] = 400, 600
    assert to_grey(stored, Display())[::1099, ::999].tolist() == [[0, 128], [128, 255]]


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.uint8])
@pytest.mark.parametrize("size", [(7, 9), (20, 30), (61, 50)])
@pytest.mark.parametrize("modality", [Rescale(), Rescale(-2.5, 40)])
def test_without_a_window_half_a_per_cent_is_left_out_at_either_end(kind, size, modality):
    # NumPy's percentiles: the next value below, and the next above
    rng = np.random.default_rng(size[0])
    stored = rng.gamma(3, 12, size).astype(kind)
    values = stored * modality.slope + modality.intercept
    low = np.percentile(values, 0.5, method="lower")
    high = np.percentile(values, 99.5, method="higher")
    expected = np.floor(((values - low) / (high - low)).clip(0, 1) * 255 + 0.5)
    np.testing.assert_array_equal(to_grey(stored, Display(modality)), expected)


def test_padding_is_in_no_share_of_the_pixels():
    stored = np.full((100, 100), 7, dtype=np.uint16)
    stored[:10] = np.arange(1000).reshape(10, 100) + 10  # a tenth is the image
    found = to_grey(stored, Display(padding=(0, 7)))
    # of 1000 pixels 4 are left out at either end: 14 becomes black, 1005 white
    expected = np.floor(((stored[:10] - 14.0) / (1005 - 14)).clip(0, 1) * 255 + 0.5)
    np.testing.assert_array_equal(found[:10], expected)
    assert not found[10:].any()


def test_a_picture_of_two_values_is_black_and_white_however_few_have_the_other():
    stored = np.full((100, 100), 500, dtype=np.uint16)
    stored[50, 50] = 501
    found = to_grey(stored, Display())
    assert (found[50, 50], int(found.sum())) == (255, 255)


@pytest.mark.parametrize("order", "<>")
def test_the_order_of_the_bytes_changes_nothing(order):
    stored = np.array([[0, 100], [200, 255]], dtype=f"{order}i2")
    assert to_grey(stored, Display(voi=IDENTITY)).tolist() == stored.tolist()


def test_a_table_without_a_window_is_scaled_from_its_own_range():
    modality = LookupTable(0, np.array([10, 30, 20], dtype=np.uint16), 16)
    stored = np.array([[0, 1, 2]], dtype=np.uint8)
    assert to_grey(stored, Display(modality)).tolist() == [[0, 255, 128]]


def test_a_constant_image_keeps_what_its_window_says():
    stored = np.full((2, 2), 128, dtype=np.uint8)
    assert to_grey(stored, Display(voi=IDENTITY)).tolist() == [[128, 128], [128, 128]]


def test_a_very_narrow_window_is_a_step():
    stored = np.array([[99, 100, 101]], dtype=np.uint8)
    for function in ("LINEAR_EXACT", "SIGMOID"):
        display = Display(voi=Window(100, 1e-307, function))
        assert to_grey(stored, display).tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("first", [0, 50, -50])
@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_tables_agree_with_pydicom(first, kind):
    # of 16 bits, where its function is right
    rng = np.random.default_rng(0)
    stored = rng.integers(60, 400, (8, 8)).astype(kind)
    entries = rng.integers(0, 65536, 300)
    header = Dataset()
    header.VOILUTSequence = table(entries, first=first)
    expected = apply_voi(stored.astype(np.int32), _with_encoding(header))
    voi = LookupTable(first, entries.astype(np.uint16), 16)
    found = to_grey(stored, Display(voi=voi))
    assert np.abs(found - expected / 65535 * 255).max() <= 0.5 + 1e-6
    header.ModalityLUTSequence = header.VOILUTSequence
    expected = apply_modality_lut(stored.astype(np.int32), header).astype(float)
    expected = (expected - expected.min()) / (expected.max() - expected.min()) * 255
    assert np.abs(to_grey(stored, Display(modality=voi)) - expected).max() <= 0.5 + 1e-6


def test_the_unity_rescale_is_the_default():
    stored = np.arange(4, dtype=np.uint8).reshape(2, 2)
    assert Display().modality == Rescale(1.0, 0.0)
    assert to_grey(stored, Display()).tolist() == [[0, 85], [170, 255]]


def _with_encoding(header):
    header.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    return header
