"""Whole JPEG files are read, whatever they show; damaged ones are refused as far as can be told."""

import io
import random

import numpy as np
import pytest
from dicom_writer import image_bytes
from PIL import Image, ImageFile

from fedcxr.data.images.decode import decode_bytes
from fedcxr.data.images.jpeg import read_scans
from fedcxr.errors import ImageError

_rng = np.random.default_rng(0)
PICTURE = np.asarray(
    Image.fromarray(_rng.integers(0, 256, (24, 20), dtype=np.uint8)).resize((240, 200))
)
FORMS = {
    "grey": {},
    "optimised": {"optimize": True},
    "high quality": {"quality": 98},
    "restarts": {"restart_marker_rows": 1},
    "colour": {"mode": "RGB"},
    "colour of full size": {"mode": "RGB", "subsampling": 0},
    "progressive": {"progressive": True},
    "progressive colour": {"mode": "RGB", "progressive": True},
}
END = b"\xff\xd9"


def jpeg(form, pixels=PICTURE):
    return image_bytes(pixels, "JPEG", **FORMS[form])


def cut(data):
    return data[: len(data) // 2]


def cut_and_closed(data):
    return data[: len(data) // 2] + END


def downloaded_by_half(data):
    return cut(data) + bytes(len(data) - len(data) // 2)


def noise_behind(data):
    return cut(data) + random.Random(0).randbytes(len(data) - len(data) // 2)


def noise_inside(data):
    return noise_behind(data)[:-2] + END


@pytest.mark.parametrize(
    "damage", [cut, cut_and_closed, downloaded_by_half, noise_behind, noise_inside]
)
@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_is_whole_at_the_front_alone_is_damaged(form, damage):
    whole = jpeg(form)
    assert decode_bytes(whole, 64).shape == (64, 64)
    with pytest.raises(ImageError, match=r"^damaged: "):
        decode_bytes(damage(whole), 64)


@pytest.mark.parametrize("form", ["grey", "optimised", "restarts", "colour"])
def test_a_file_that_lacks_its_last_tenth_is_damaged_although_it_is_closed(form):
    whole = jpeg(form)
    with pytest.raises(ImageError, match="truncated, its picture data end before the picture"):
        decode_bytes(whole[: len(whole) * 9 // 10] + END, 64)


@pytest.mark.parametrize("number", range(60))
def test_no_whole_file_is_refused_whatever_it_shows_and_however_it_is_coded(number):
    rng = np.random.default_rng(number)
    height, width = rng.integers(1, 80, 2)
    lower = np.arange(height)[:, None] >= height / 2
    noise = rng.integers(0, 256, (height, width))
    # grey 128 is what libjpeg paints where data are missing
    shown = [noise, np.where(lower, 128, noise), noise * 0 + 128, noise // 250 * 255][number % 4]
    options = {
        "quality": int(rng.integers(1, 101)),
        "optimize": bool(rng.integers(2)),
        "progressive": bool(rng.integers(2)),
        "subsampling": int(rng.integers(3)),
        "restart_marker_blocks": int(rng.integers(9)),
    }
    mode = ["L", "RGB"][int(rng.integers(2))]
    data = image_bytes(shown.astype(np.uint8), "JPEG", mode, **options)
    for size_px in (1, 8, 100):
        expected = Image.open(io.BytesIO(data))
        expected.draft("L", (2 * size_px, 2 * size_px))
        expected = expected.convert("L").resize((size_px, size_px), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(decode_bytes(data, size_px), expected)


@pytest.mark.parametrize(
    "behind",
    [bytes(1000), b"\xff" * 9, b"a signature", image_bytes(PICTURE[:50], "JPEG"), END],
    ids=["padding", "fill", "text", "another picture", "a second end"],
)
@pytest.mark.parametrize("form", ["grey", "progressive"])
def test_what_stands_behind_the_end_does_not_matter(form, behind):
    whole = jpeg(form)
    np.testing.assert_array_equal(decode_bytes(whole + behind, 64), decode_bytes(whole, 64))


@pytest.mark.parametrize("fill", [b"\xff" * 5, bytes(7), b"\xff\xfe\0\4hi"])
def test_bytes_that_fill_up_before_the_end_do_not_matter(fill):
    whole = jpeg("grey")
    filled = whole[:-2] + fill + END
    np.testing.assert_array_equal(decode_bytes(filled, 64), decode_bytes(whole, 64))


def test_picture_data_that_no_pixel_needs_are_damage():
    # the coded rows stay as they are; the header asks for half of them
    whole = bytearray(jpeg("grey"))
    height = whole.index(b"\xff\xc0") + 5
    assert int.from_bytes(whole[height : height + 2]) == 200
    whole[height : height + 2] = (96).to_bytes(2)
    with pytest.raises(ImageError, match="holds more picture data than its picture needs"):
        decode_bytes(bytes(whole), 64)


def test_a_quarter_of_the_changed_bits_that_show_is_found():
    # a changed bit shifts the codes behind it; where as many blocks come of them, nobody can tell
    whole, shows, found = jpeg("grey"), 0, 0
    expected = decode_bytes(whole, 64).astype(int)
    for number in range(200):
        choose, changed = random.Random(number), bytearray(whole)
        changed[choose.randrange(len(whole) * 3 // 4, len(whole) - 2)] ^= 1 << choose.randrange(8)
        try:
            is_torn = np.abs(decode_bytes(bytes(changed), 64) - expected).max() > 16
        except ImageError:
            found += 1
        else:
            shows += is_torn
    assert found >= 0.25 * (found + shows)


def test_a_progressive_file_without_its_last_scan_is_damaged():
    whole = jpeg("progressive")
    frame, scans = read_scans(whole)
    assert (hex(frame), len(scans)) == ("0xc2", 6)
    assert [scan.low_bit for scan in scans] == [1, 2, 2, 1, 0, 0]
    with pytest.raises(ImageError, match="truncated, its last scans are missing"):
        decode_bytes(whole[: scans[-2].end] + END, 64)


def test_a_scan_of_a_colour_that_is_not_there_is_damage():
    whole = bytearray(jpeg("progressive colour"))
    scan = whole.rindex(b"\xff\xda")
    whole[scan + 5] = 9
    with pytest.raises(ImageError, match="damaged: a scan of a colour that the picture does not"):
        decode_bytes(bytes(whole), 64)


@pytest.mark.parametrize(("place", "number"), [(4, 0), (4, 3), (3, 99)])
def test_a_scan_whose_header_does_not_fit_is_damage(place, number):
    whole = bytearray(jpeg("grey"))
    whole[whole.index(b"\xff\xda") + place] = number
    with pytest.raises(ImageError, match=r"^damaged: the header of a scan is broken"):
        decode_bytes(bytes(whole), 64)


def test_a_program_that_lets_pillow_take_cut_files_gets_none_here(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for form in ("grey", "progressive"):
        for damage in (cut, cut_and_closed, downloaded_by_half):
            with pytest.raises(ImageError, match="damaged"):
                decode_bytes(damage(jpeg(form)), 64)


@pytest.mark.real
def test_no_real_jpeg_is_refused(sample_data):
    files = sorted(sample_data.rglob("*.jpg"))
    assert len(files) > 200
    for file in files:
        assert decode_bytes(file.read_bytes(), 64).shape == (64, 64)
