import struct
import subprocess
import sys
import zlib

import numpy as np
import PIL
import pytest
from dicom_writer import image_bytes
from PIL import Image
from png_writer import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, chunk, png_bytes, words

from fedcxr.data.images.decode import DECODER, MAX_FILE_BYTES, MAX_PIXELS, decode, decode_bytes
from fedcxr.errors import ImageError

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def save(path, array, mode=None, **options):
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def png_header(width, height):
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_every_eight_bit_mode_of_the_same_grey_gives_the_same_pixels(tmp_path, mode):
    grey = decode(save(tmp_path / "x.png", RAMP, mode), 8)
    assert grey.dtype == np.uint8
    np.testing.assert_array_equal(grey, RAMP)


def test_a_black_and_white_image_becomes_0_and_255(tmp_path):
    bits = np.where(RAMP > 100, 255, 0).astype(np.uint8)
    np.testing.assert_array_equal(decode(save(tmp_path / "x.png", bits, "1"), 8), bits)


def test_sixteen_bits_are_scaled_from_the_full_range(tmp_path):
    # row 7 of the bad-input table
    # 65535 = 255 · 257, so value v · 257 is exactly v, and v · 257 + 128 still rounds to v.
    wide = (RAMP.astype(np.uint16) * 257 + 128 * (RAMP < 255)).astype(np.uint16)
    Image.fromarray(wide).save(tmp_path / "x.png")
    np.testing.assert_array_equal(decode(tmp_path / "x.png", 8), RAMP)


def test_sixteen_bits_with_alpha_or_in_colour_are_scaled_too():
    # 257 · 9 + 250 = 2563: its high byte and its rounded value are both 10
    black, ten, white = (0, 0, 0), (2563, 2563, 2563), (65535, 65535, 65535)
    for colour, lines in {
        RGB: [words(*white, *ten), words(*black, *white)],
        RGBA: [words(*white, 65535, *ten, 65535), words(*white, 0, *white, 65535)],
        GREY_ALPHA: [words(65535, 65535, 2563, 65535), words(65535, 0, 65535, 65535)],
    }.items():
        data = png_bytes(lines, width=2, depth=16, colour=colour)
        assert decode_bytes(data, 2).tolist() == [[255, 10], [0, 255]]


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_are_scaled_to_the_full_range(depth):
    # 0, 1, 2 and 3 of 3; 0, 5, 10 and 15 of 15; 1 bit has only 0 and 255
    lines = {1: [b"\x40", b"\x40"], 2: [b"\x10", b"\xb0"], 4: [b"\x05", b"\xaf"]}[depth]
    expected = [[0, 255], [0, 255]] if depth == 1 else [[0, 85], [170, 255]]
    data = png_bytes(lines, width=2, depth=depth, colour=GREY)
    assert decode_bytes(data, 2).tolist() == expected


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_palette_of_any_depth_gives_its_colours(depth):
    # row 7 of the bad-input table
    lines = {
        1: [b"\x40", b"\x40"],
        2: [b"\x10", b"\xb0"],
        4: [b"\x01", b"\x23"],
        8: [b"\0\1", b"\2\3"],
    }[depth]
    colours = chunk(b"PLTE", bytes(v for grey in (40, 30, 20, 10) for v in (grey,) * 3))
    data = png_bytes(lines, width=2, depth=depth, colour=PALETTE, chunks=[colours])
    expected = [[40, 30], [40, 30]] if depth == 1 else [[40, 30], [20, 10]]
    assert decode_bytes(data, 2).tolist() == expected


def test_a_coloured_palette_becomes_luma_and_its_transparency_black():
    # luma of red, green and blue: 76, 150, 29; half transparent green: 150 · 128 / 255 = 75
    colours = chunk(b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9]))
    shape = {"width": 2, "depth": 8, "colour": PALETTE}
    data = png_bytes([b"\0\1", b"\2\3"], **shape, chunks=[colours])
    assert decode_bytes(data, 2).tolist() == [[76, 150], [29, 9]]
    clear = chunk(b"tRNS", bytes([0, 128, 255]))
    data = png_bytes([b"\0\1", b"\2\3"], **shape, chunks=[colours, clear])
    assert decode_bytes(data, 2).tolist() == [[0, 75], [29, 9]]


def test_a_value_that_is_named_transparent_is_black():
    clear = chunk(b"tRNS", words(200))
    data = png_bytes([b"\xc8\x64", b"\x32\xc8"], width=2, depth=8, colour=GREY, chunks=[clear])
    assert decode_bytes(data, 2).tolist() == [[0, 100], [50, 0]]
    clear = chunk(b"tRNS", words(200, 200, 200))
    lines = [b"\xc8\xc8\xc8\x64\x64\x64"]
    data = png_bytes(lines, width=2, depth=8, colour=RGB, chunks=[clear])
    assert decode_bytes(data, 2).tolist() == [[0, 100], [0, 100]]


@pytest.mark.parametrize(
    ("line", "depth", "colour"),
    [(b"\x10", 2, GREY), (words(9999, 1), 16, GREY), (words(*[9999] * 6), 16, RGB)],
)
def test_transparent_values_of_other_depths_are_refused(line, depth, colour):
    # Pillow compares them with values that it has scaled already
    clear = chunk(b"tRNS", words(*[1] * (3 if colour == RGB else 1)))
    data = png_bytes([line], width=2, depth=depth, colour=colour, chunks=[clear])
    with pytest.raises(ImageError, match="transparent value that is not of 8 bits"):
        decode_bytes(data, 2)


def test_twelve_bit_values_in_sixteen_bits_of_colour_are_refused():
    for colour, line in {RGB: words(*[4095] * 6), GREY_ALPHA: words(4095, 65535, 0, 65535)}.items():
        with pytest.raises(ImageError, match="12-bit data that was not scaled"):
            decode_bytes(png_bytes([line], width=2, depth=16, colour=colour), 2)


def test_transparent_pixels_are_black(tmp_path):
    # row 7 of the bad-input table
    rgba = np.dstack([np.full((8, 8, 3), 200, np.uint8), np.full((8, 8), 255, np.uint8)])
    rgba[:4, :, 3] = 0
    grey = decode(save(tmp_path / "x.png", rgba), 8)
    assert grey[0, 0] == 0
    assert grey[7, 0] == 200


def test_a_transparent_palette_entry_is_black(tmp_path):
    image = Image.fromarray(np.repeat([[0, 1]], 2, axis=0).astype(np.uint8))
    image = image.convert("P")
    image.putpalette([200] * 3 + [100] * 3 + [0] * 762)
    image.save(tmp_path / "x.png", transparency=0)
    np.testing.assert_array_equal(decode(tmp_path / "x.png", 2), [[0, 100], [0, 100]])


def test_the_whole_image_is_resized_to_the_square(tmp_path):
    # 390 × 320 like CheXpert-small: the left half stays the left half, so boxes stay right.
    wide = np.zeros((320, 390), dtype=np.uint8)
    wide[:, 195:] = 240
    grey = decode(save(tmp_path / "x.png", wide), 64)
    assert grey.shape == (64, 64)
    assert (grey[:, :31] == 0).all()
    assert (grey[:, 33:] == 240).all()


def test_shrinking_averages_instead_of_picking_pixels(tmp_path):
    # A 1-pixel checkerboard of 0 and 200 has mean 100; picking pixels would give 0 or 200.
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 200).astype(np.uint8)
    np.testing.assert_allclose(decode(save(tmp_path / "x.png", board), 32)[4:-4, 4:-4], 100, atol=3)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_shrunk_while_decoding_is_close_to_one_shrunk_after(tmp_path, mode):
    rng = np.random.default_rng(0)
    smooth = np.asarray(
        Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).resize((512, 448))
    )
    path = save(tmp_path / "x.jpg", smooth, mode, quality=95)
    with Image.open(path) as image:
        after = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BILINEAR))
    assert np.abs(decode(path, 32).astype(int) - after).mean() < 1.0


def test_a_truncated_jpeg_is_refused_not_half_grey(tmp_path):
    # row 6 of the bad-input table
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    data = save(tmp_path / "x.jpg", noise).read_bytes()
    (tmp_path / "x.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"damaged: .*truncated"):
        decode(tmp_path / "x.jpg", 32)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"  <html></html>", "web page"),
        (b"<?xml version='1.0'?><Error/>", "web page"),
        (b"GIF89a" + b"\0" * 40, "neither JPEG, PNG nor DICOM, but GIF: convert it to PNG"),
        (b"II*\0" + b"\0" * 40, "but TIFF"),
        (b"PK\x03\x04" + b"\0" * 40, "but a zip archive"),
        (b"patient,Edema\n1,0\n", "neither JPEG, PNG nor DICOM, but unknown"),
        (b"\0" * 200, "neither JPEG, PNG nor DICOM, but unknown"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"\xff\xd8\xff", "damaged"),
        (png_header(10, 10), "damaged"),
    ],
)
def test_what_is_no_image_is_refused_with_a_reason(tmp_path, data, words):
    # row 9 of the bad-input table
    (tmp_path / "x.jpg").write_bytes(data)
    with pytest.raises(ImageError, match=words):
        decode(tmp_path / "x.jpg", 32)


def test_the_bytes_say_what_a_file_is_not_its_name(tmp_path):
    (tmp_path / "x.jpg").write_bytes(image_bytes(RAMP, "PNG"))
    np.testing.assert_array_equal(decode(tmp_path / "x.jpg", 8), RAMP)


def test_a_file_too_large_to_be_an_image_is_not_read(tmp_path):
    with (tmp_path / "x.png").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ImageError, match="larger than 256 MB"):
        decode(tmp_path / "x.png", 8)


def test_the_decoder_names_each_arithmetic_that_makes_a_pixel():
    # another name makes another cache: change it with the arithmetic
    assert f"square-bilinear-2+dicom-2+pillow-{PIL.__version__}" == DECODER


def test_a_missing_file_is_an_image_error(tmp_path):
    with pytest.raises(ImageError, match="No such file"):
        decode(tmp_path / "absent.jpg", 32)


def test_colour_modes_without_certain_grey_are_refused(tmp_path):
    Image.new("CMYK", (8, 8)).save(tmp_path / "x.jpg")
    with pytest.raises(ImageError, match="CMYK"):
        decode(tmp_path / "x.jpg", 8)


def test_too_many_pixels_are_refused_from_the_header(tmp_path):
    # row 8 of the bad-input table
    (tmp_path / "x.png").write_bytes(png_header(8001, MAX_PIXELS // 8000) + b"\0\0\0\x10IDAT")
    with pytest.raises(ImageError, match="8001 × 8000 pixels, more than 64 million"):
        decode(tmp_path / "x.png", 32)


def test_a_decompression_bomb_takes_little_memory(tmp_path):
    # row 8 of the bad-input table
    # 50,000 × 50,000 grey zeros would be 2.5 GB; the file has 2.4 MB.
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    thousand_rows = packer.compress(b"\0" * 50_001_000) + packer.flush(zlib.Z_FULL_FLUSH)
    data = b"\x78\x9c" + 50 * thousand_rows
    chunk = b"IDAT" + data
    (tmp_path / "bomb.png").write_bytes(
        png_header(50_000, 50_000)
        + struct.pack(">I", len(data))
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + b"\0\0\0\0IEND\xaeB`\x82"
    )
    code = (
        "import re, sys; from pathlib import Path; from fedcxr.data.images.decode import decode\n"
        "try: decode(Path(sys.argv[1]), 64)\n"
        "except Exception as err: print(type(err).__name__)\n"
        # of this program alone: ru_maxrss would count the memory of the parent that forked it
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bomb.png")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    name, peak_kb = done.stdout.split()
    assert name == "ImageError"
    assert int(peak_kb) < 300_000
