"""A picture is read as viewers show it, and a malformed EXIF block changes nothing."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from dicom_writer import dicom_bytes, image_bytes
from PIL import Image, ImageOps
from png_writer import chunk

from fedcxr.data.images.decode import decode_bytes
from fedcxr.data.images.exif import orientation

_rng = np.random.default_rng(0)
PICTURE = np.asarray(
    Image.fromarray(_rng.integers(0, 256, (6, 9), dtype=np.uint8)).resize((72, 40))
)


def block(turn, order="<", *, kind=3, count=1, before=()):
    """Return an EXIF block that names an orientation, behind other (tag, kind, value)."""
    entries = [*before, (0x0112, kind, turn)]
    tiff = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    for tag, type_, value in entries:
        number = count if tag == 0x0112 else 1
        tiff += struct.pack(f"{order}HHIHH", tag, type_, number, value, 0)
    return b"Exif\0\0" + tiff + bytes(4)


def with_exif(data, exif, *, at_the_end=False):
    """Return a JPEG or PNG with the block in its place, or in a PNG behind the pixels."""
    if data.startswith(b"\xff\xd8"):
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    place = data.rindex(b"IEND") - 4 if at_the_end else data.index(b"IDAT") - 4
    return data[:place] + chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")) + data[place:]


def shown(data, size_px):
    """Return what Pillow's own function makes of it."""
    image = Image.open(io.BytesIO(data))
    image.load()
    upright = ImageOps.exif_transpose(image)
    return np.asarray(upright.resize((size_px, size_px), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_picture_is_read_as_viewers_show_it(form, turn, order):
    # row 40 of the bad-input table
    stored = image_bytes(PICTURE, form)
    data = with_exif(stored, block(turn, order, before=[(0x010F, 3, 8)]))
    np.testing.assert_array_equal(decode_bytes(data, 36), shown(data, 36))
    is_turned = not np.array_equal(decode_bytes(data, 36), decode_bytes(stored, 36))
    assert is_turned == (turn > 1)


def test_a_turn_by_hand():
    # orientation 6: the stored first column, read upwards, is the first row
    data = with_exif(image_bytes(np.uint8([[1, 2], [3, 4]]), "PNG"), block(6))
    assert decode_bytes(data, 2).tolist() == [[3, 1], [4, 2]]


def test_a_png_may_say_it_behind_its_pixels():
    data = with_exif(image_bytes(PICTURE, "PNG"), block(8), at_the_end=True)
    assert data.index(b"eXIf") > data.index(b"IDAT")
    np.testing.assert_array_equal(decode_bytes(data, 36), shown(data, 36))


def test_a_picture_that_is_made_smaller_while_it_is_decoded_is_turned_too():
    large = np.asarray(Image.fromarray(PICTURE).resize((720, 400)))
    data = with_exif(image_bytes(large, "JPEG", quality=95), block(5))
    upright = image_bytes(large.T, "JPEG", quality=95)
    difference = decode_bytes(data, 24).astype(int) - decode_bytes(upright, 24)
    assert np.abs(difference).max() <= 2


MALFORMED = {
    "empty": b"",
    "name alone": b"Exif\0\0",
    "another order": b"Exif\0\0IM*\0" + bytes(20),
    "no directory": b"Exif\0\0II*\0",
    "directory far away": b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(20),
    "entries that are not there": b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(20),
    "cut in the entry": block(6)[:-10],
    "no such orientation": block(9),
    "orientation 0": block(0),
    "a text": block(6, kind=2),
    "two of them": block(6, count=2),
    "a resolution without a value": block(6, kind=5, before=[(0x0128, 3, 2), (0x011A, 5, 0)]),
}


@pytest.mark.parametrize("case", MALFORMED)
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_malformed_block_changes_nothing(form, case):
    stored = image_bytes(PICTURE, form)
    found = decode_bytes(with_exif(stored, MALFORMED[case]), 36)
    np.testing.assert_array_equal(found, decode_bytes(stored, 36))


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_no_block_makes_a_good_picture_bad_or_does_more_than_turn_it(form, recwarn):
    # with a resolution, for which Pillow reads the block, and fails, as soon as it opens a JPEG
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x0128], exif[0x010F] = 6, 72.0, 2, "maker"
    whole = exif.tobytes()
    stored = image_bytes(PICTURE, form)
    turned = {
        turn: decode_bytes(with_exif(stored, block(turn)), 12).tobytes() for turn in range(1, 9)
    }
    for number in range(400):
        choose, changed = random.Random(number), bytearray(whole)
        for _ in range(choose.choice([1, 2, 4, 8])):
            place = choose.randrange(6, len(whole))
            changed[place] = choose.choice([0, 1, 2, 3, 5, 7, 10, 12, 255, choose.randrange(256)])
        found = decode_bytes(with_exif(stored, bytes(changed)), 12)
        assert found.tobytes() == turned[orientation(bytes(changed))]
    assert not recwarn.list


def test_a_text_of_a_png_that_is_called_exif_is_none():
    stored = image_bytes(PICTURE, "PNG")
    text = chunk(b"iTXt", b"exif\0\1\0\0\0" + zlib.compress(b"no block"))
    place = stored.index(b"IDAT") - 4
    found = decode_bytes(stored[:place] + text + stored[place:], 36)
    np.testing.assert_array_equal(found, decode_bytes(stored, 36))


def test_a_jpeg_inside_a_dicom_file_is_shown_as_dicom_says():
    # its viewers know of no EXIF block
    syntax, window = "1.2.840.10008.1.2.4.50", {"WindowCenter": 128, "WindowWidth": 256}
    frame = image_bytes(PICTURE, "JPEG")
    plain = dicom_bytes(PICTURE, syntax=syntax, frame=frame, **window)
    said = dicom_bytes(PICTURE, syntax=syntax, frame=with_exif(frame, block(3)), **window)
    np.testing.assert_array_equal(decode_bytes(said, 36), decode_bytes(plain, 36))
