import struct
import zlib

import numpy as np
import pytest
from dicom_writer import image_bytes
from PIL import Image
from png_writer import GREY, PALETTE, chunk, png_bytes

from fedcxr.data.images.decode import decode_bytes
from fedcxr.errors import ImageError

LINES = [b"\x10\x20", b"\x30\x40"]
SHAPE = {"width": 2, "depth": 8, "colour": GREY}
_rng = np.random.default_rng(1)
_SMOOTH = Image.fromarray(_rng.integers(0, 250, (24, 20), dtype=np.uint8)).resize((240, 200))
PICTURE = np.asarray(_SMOOTH) + _rng.integers(0, 6, (200, 240), dtype=np.uint8)
BLACK_BELOW = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
BLACK_BELOW[-9:] = 0


def test_a_data_stream_that_ends_early_is_refused():
    # row 40 of the bad-input table
    # Pillow gives a picture whose other lines are black
    assert decode_bytes(png_bytes(LINES, **SHAPE), 2).tolist() == [[16, 32], [48, 64]]
    with pytest.raises(ImageError, match="damaged: 6 of 12 bytes of pixels"):
        decode_bytes(png_bytes(LINES, **SHAPE, height=4), 2)


def test_a_download_that_is_zeros_from_the_middle_on_is_refused():
    # Pillow takes the zeros for the rest of the pixels and does not look at the checksum
    whole = image_bytes(PICTURE, "PNG")
    half = len(whole) // 2
    with pytest.raises(ImageError, match=r"^damaged: "):
        decode_bytes(whole[:half] + bytes(len(whole) - half), 64)


@pytest.mark.parametrize("name", [b"IHDR", b"IDAT", b"tEXt", b"IEND"])
def test_a_chunk_that_is_not_what_its_checksum_says_is_refused(name):
    whole = bytearray(png_bytes(LINES, **SHAPE, chunks=[chunk(b"tEXt", b"a\0b")]))
    place = whole.index(name)
    length = int.from_bytes(whole[place - 4 : place])
    whole[place + 4 + length] ^= 1
    with pytest.raises(ImageError, match=r"^damaged: "):
        decode_bytes(bytes(whole), 2)


def test_one_changed_bit_of_the_pixels_is_refused():
    whole = image_bytes(PICTURE, "PNG")
    assert decode_bytes(whole, 64).shape == (64, 64)
    for place in range(len(whole) * 3 // 4, len(whole) - 12, 9):
        changed = bytearray(whole)
        changed[place] ^= 4
        with pytest.raises(ImageError, match=r"^damaged: "):
            decode_bytes(bytes(changed), 64)


def test_a_file_without_its_end_is_refused_and_one_with_more_behind_is_not():
    whole = png_bytes(LINES, **SHAPE)
    assert decode_bytes(whole + bytes(100), 2).tolist() == [[16, 32], [48, 64]]
    with pytest.raises(ImageError, match="damaged: truncated, its end is missing"):
        decode_bytes(whole[:-12], 2)


@pytest.mark.real
def test_no_real_png_is_refused(sample_data):
    files = sorted(sample_data.rglob("*.png"))
    assert len(files) > 700
    for file in files:
        assert decode_bytes(file.read_bytes(), 64).shape == (64, 64)


def test_an_interlaced_data_stream_that_ends_early_is_refused():
    # 2 × 2 in passes: one pixel, one pixel, and a line of two, each line with a filter byte
    passes = [b"\x10", b"\x20", b"\x30\x40"]
    whole = png_bytes(passes, **SHAPE, height=2, interlace=1)
    assert decode_bytes(whole, 2).tolist() == [[16, 32], [48, 64]]
    with pytest.raises(ImageError, match="damaged: 2 of 4 bytes of pixels"):
        decode_bytes(png_bytes(passes[:1], **SHAPE, height=2, interlace=1), 2)


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "LA"])
def test_a_whole_image_with_a_black_last_line_is_no_damage(mode):
    data = image_bytes(BLACK_BELOW, "PNG", mode)
    np.testing.assert_array_equal(decode_bytes(data, 64), BLACK_BELOW)


def test_a_black_last_line_in_several_chunks_of_data_is_no_damage():
    raw = zlib.compress(b"\0\x10\x20" + b"\0\0\0")
    parts = [chunk(b"IDAT", raw[:4]), chunk(b"IDAT"), chunk(b"IDAT", raw[4:])]
    whole = png_bytes([], **SHAPE, height=2)
    data = whole.replace(chunk(b"IDAT", zlib.compress(b"")), b"".join(parts))
    assert decode_bytes(data, 2).tolist() == [[16, 32], [0, 0]]


def test_a_file_too_short_for_its_pixels_is_refused_before_memory_is_taken():
    with pytest.raises(ImageError, match="bytes cannot hold 64000000 bytes of pixels"):
        decode_bytes(png_bytes(LINES, width=3999, depth=8, colour=GREY, height=16000), 2)


def test_a_colour_that_the_palette_lacks_is_refused():
    # Pillow paints it black; luma of (0, 1, 2) and (3, 4, 5): 0.8 and 3.8
    palette = [chunk(b"PLTE", bytes(range(6)))]
    shape = SHAPE | {"colour": PALETTE}
    assert decode_bytes(png_bytes([b"\0\1"], **shape, chunks=palette), 2).tolist() == [[1, 4]] * 2
    with pytest.raises(ImageError, match="damaged: colour 2 of a palette of 2"):
        decode_bytes(png_bytes([b"\0\2"], **shape, chunks=palette), 2)
    with pytest.raises(ImageError, match="damaged: colour 1 of a palette of 0"):
        decode_bytes(png_bytes([b"\0\1"], **shape), 2)


def test_two_headers_are_refused():
    other = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    with pytest.raises(ImageError, match="does not start with its one header"):
        decode_bytes(png_bytes(LINES, **SHAPE, chunks=[other]), 2)


def test_pillows_warning_of_a_wrong_animation_is_not_the_users(recwarn):
    moving = chunk(b"acTL", struct.pack(">II", 0, 0))
    data = png_bytes(LINES, **SHAPE, chunks=[moving])
    assert decode_bytes(data, 2).tolist() == [[16, 32], [48, 64]]
    assert not recwarn.list


def test_an_animation_is_refused():
    # its first frame may fill a part of the image; Pillow paints the rest black
    frame = struct.pack(">IIIIIHHBB", 0, 1, 1, 0, 0, 1, 1, 0, 0)
    moving = [chunk(b"acTL", struct.pack(">II", 1, 0)), chunk(b"fcTL", frame)]
    with pytest.raises(ImageError, match="animated PNG: export its one image"):
        decode_bytes(png_bytes(LINES, **SHAPE, chunks=moving), 2)
