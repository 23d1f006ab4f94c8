import io
import logging
import re
import struct
import subprocess
import sys
import traceback
import zlib
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from dicom_writer import NAME, dicom_bytes, image_bytes, run_length_encoded, table
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_windowing
from pydicom.uid import (
    HTJ2K,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
)

from fedcxr.data.images.decode import decode, decode_bytes
from fedcxr.errors import ImageError

STEPS = np.array([[0, 100], [200, 300]], dtype=np.uint16)
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
AS_IT_IS = {"WindowCenter": 127.5, "WindowWidth": 255, "VOILUTFunction": "LINEAR_EXACT"}
"""(v - 127.5) / 255 + 0.5 = v / 255: each 8-bit value is its own grey."""


def grey(data, size_px=2):
    return decode_bytes(data, size_px).tolist()


@pytest.mark.parametrize(
    ("function", "width", "expected"),
    [
        # ((v - (150 - 0.5)) / (201 - 1) + 0.5) · 255: 64.4 for 100, 191.9 for 200
        (None, 201, [[0, 64], [192, 255]]),
        ("LINEAR", 201, [[0, 64], [192, 255]]),
        # ((v - 150) / 200 + 0.5) · 255: 63.75 and 191.25
        ("LINEAR_EXACT", 200, [[0, 64], [191, 255]]),
        # 255 / (1 + exp(-4 (v - 150) / 200)): 12.1, 68.6, 186.4, 242.9
        ("SIGMOID", 200, [[12, 69], [186, 243]]),
        # a window one wide is a step at 149.5
        ("LINEAR", 1, [[0, 0], [255, 255]]),
    ],
)
def test_a_window_is_applied_by_its_function(function, width, expected):
    named = {} if function is None else {"VOILUTFunction": function}
    data = dicom_bytes(STEPS, WindowCenter=150, WindowWidth=width, **named)
    assert grey(data) == expected


def test_the_first_of_several_windows_is_used():
    data = dicom_bytes(STEPS, WindowCenter=[150, 1], WindowWidth=[201, 2])
    assert grey(data) == [[0, 64], [192, 255]]


def test_without_a_window_the_image_goes_from_its_lowest_to_its_highest_value():
    # 1000 → 0, 1300 → 255, 100 / 300 · 255 = 85; half a per cent of four pixels is none
    assert grey(dicom_bytes(STEPS + 1000)) == [[0, 85], [170, 255]]


def test_hot_pixels_and_a_burnt_in_marker_do_not_make_the_rest_dim():
    rng = np.random.default_rng(0)
    chest = rng.integers(400, 2600, (200, 200)).astype(np.uint16)
    clean = decode_bytes(dicom_bytes(chest, bits_stored=12), 200).astype(int)
    marked = chest.copy()
    marked[5:17, 5:17] = 4095  # 0.4 % of the picture
    marked[100, 100], marked[150, 20], marked[30, 120] = 4095, 4095, 0
    found = decode_bytes(dicom_bytes(marked, bits_stored=12), 200).astype(int)
    untouched = marked == chest
    # from lowest to highest a grey would be 0.54 of what it is, up to 117 levels away
    assert np.abs(found - clean)[untouched].max() <= 2
    assert (found[5:17, 5:17] == 255).all()


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("kind", ["u", "i"])
def test_every_depth_signed_or_not_gives_the_same_grey(bits, kind):
    # 255, 1023, 4095 and 65535 are divisible by 3, so a third is 85 and two thirds 170
    top = 2**bits - 1
    values = np.array([[0, top // 3], [top // 3 * 2, top]])
    if kind == "i":
        values -= 2 ** (bits - 1)
    pixels = values.astype(f"{kind}{1 if bits == 8 else 2}")
    assert grey(dicom_bytes(pixels, bits_stored=bits)) == [[0, 85], [170, 255]]


def test_what_lies_in_the_unused_bits_is_no_part_of_the_image():
    # old files keep a drawing in bits 12 to 15
    drawn = np.array([[0, 1365], [2730, 4095]], dtype=np.uint16) | 0xA000
    assert grey(dicom_bytes(drawn, bits_stored=12)) == [[0, 85], [170, 255]]


def test_values_are_rescaled_before_the_window():
    # stored -150 … 150 → · 2 - 10 → -310, -110, 90, 290; (v + 10) / 600 + 0.5 = 0, 1/3, 2/3, 1
    data = dicom_bytes(
        STEPS.astype(np.int16) - 150,
        **{"RescaleSlope": 2, "RescaleIntercept": -10},
        **{"WindowCenter": -10, "WindowWidth": 600, "VOILUTFunction": "LINEAR_EXACT"},
    )
    assert grey(data) == [[0, 85], [170, 255]]


def test_a_negative_slope_turns_the_order_around():
    # 0 … -300 in a window around -150; pydicom's own function gives the negative of this
    window = {"WindowCenter": -150, "WindowWidth": 200, "VOILUTFunction": "LINEAR_EXACT"}
    data = dicom_bytes(STEPS, RescaleSlope=-1, RescaleIntercept=0, **window)
    assert grey(data) == [[255, 191], [64, 0]]


def test_a_slope_or_an_intercept_may_stand_alone():
    window = {"WindowCenter": 300, "WindowWidth": 600, "VOILUTFunction": "LINEAR_EXACT"}
    assert grey(dicom_bytes(STEPS, RescaleSlope=2, **window)) == [[0, 85], [170, 255]]
    moved = dicom_bytes(STEPS, RescaleIntercept=150, **window)
    assert grey(moved) == [[64, 106], [149, 191]]  # 150, 250, 350, 450 of 600


def test_monochrome1_is_inverted_after_the_window():
    # row 7 of the bad-input table
    # inverted before it, the window would catch other values
    window = {"WindowCenter": 50, "WindowWidth": 100, "VOILUTFunction": "LINEAR_EXACT"}
    pixels = np.array([[0, 20], [50, 300]], dtype=np.uint16)  # 0, 51, 127.5, 255
    assert grey(dicom_bytes(pixels, **window)) == [[0, 51], [128, 255]]
    inverted = dicom_bytes(pixels, PhotometricInterpretation="MONOCHROME1", **window)
    assert grey(inverted) == [[255, 204], [127, 0]]


def test_monochrome1_is_inverted_without_a_window_too():
    data = dicom_bytes(STEPS, PhotometricInterpretation="MONOCHROME1")
    assert grey(data) == [[255, 170], [85, 0]]


def test_a_voi_table_goes_before_a_window():
    # 300 is past the last entry, which stands for all after it
    entries = [0] * 100 + [51] * 100 + [255]
    data = dicom_bytes(STEPS, VOILUTSequence=table(entries, bits=8), WindowCenter=1, WindowWidth=2)
    assert grey(data) == [[0, 51], [255, 255]]


def test_a_table_of_8_bits_may_be_packed_and_longer_than_256():
    # pydicom's apply_voi counts modulo 256 here
    entries = np.arange(1021) // 4
    for packed in (True, False):
        sequence = table(entries, bits=8, packed=packed)
        pixels = np.array([[0, 204], [680, 1020]], dtype=np.uint16)
        assert grey(dicom_bytes(pixels, VOILUTSequence=sequence)) == [[0, 51], [170, 255]]


def test_a_table_may_start_below_zero_and_be_of_12_bits():
    # index = value + 100: entries 0, 1365, 2730, 4095 of 4095
    sequence = table(np.arange(4) * 1365, first=-100, bits=12)
    pixels = np.array([[-200, -99], [-98, 500]], dtype=np.int16)
    assert grey(dicom_bytes(pixels, VOILUTSequence=sequence)) == [[0, 85], [170, 255]]


def test_a_first_entry_below_zero_may_be_spelled_as_a_large_one():
    # implicit VR with unsigned pixels: the reader must take the -100 for 65436
    sequence = table(np.arange(4) * 1365, first=65436, bits=12)
    data = dicom_bytes(
        np.array([[0, 101], [102, 500]], dtype=np.uint16),
        **{"syntax": ImplicitVRLittleEndian, "VOILUTSequence": sequence},
        **{"RescaleSlope": 1, "RescaleIntercept": -200},
    )
    assert grey(data) == [[0, 85], [170, 255]]


def test_a_modality_table_goes_before_the_window():
    # 0 → 0, 1 → 1000, 2 → 2000, 3 → 3000 in a window from 0 to 3000
    data = dicom_bytes(
        np.array([[0, 1], [2, 3]], dtype=np.uint8),
        ModalityLUTSequence=table([0, 1000, 2000, 3000]),
        **{"WindowCenter": 1500, "WindowWidth": 3000, "VOILUTFunction": "LINEAR_EXACT"},
    )
    assert grey(data) == [[0, 85], [170, 255]]


def test_a_table_of_65536_entries_says_so_with_0():
    sequence = table(np.arange(65536), bits=16)
    pixels = np.array([[0, 21845], [43690, 65535]], dtype=np.uint16)
    assert grey(dicom_bytes(pixels, VOILUTSequence=sequence)) == [[0, 85], [170, 255]]


def test_padding_is_black_and_outside_of_the_range():
    pixels = np.array([[-2000, 100], [200, 300]], dtype=np.int16)
    padded = {"PixelPaddingValue": -2000}
    assert grey(dicom_bytes(pixels, **padded)) == [[0, 0], [128, 255]]
    implicit = dicom_bytes(pixels, syntax=ImplicitVRLittleEndian, **padded)
    assert grey(implicit) == [[0, 0], [128, 255]]
    negative = dicom_bytes(pixels, PhotometricInterpretation="MONOCHROME1", **padded)
    assert grey(negative) == [[0, 255], [127, 0]]
    window = {"WindowCenter": -1000, "WindowWidth": 4000, "VOILUTFunction": "LINEAR_EXACT"}
    assert grey(dicom_bytes(pixels, **window))[0][0] == 64
    assert grey(dicom_bytes(pixels, **window, **padded))[0][0] == 0


def test_padding_may_be_a_range():
    pixels = np.array([[1, 5], [105, 205]], dtype=np.uint16)
    data = dicom_bytes(pixels, PixelPaddingValue=0, PixelPaddingRangeLimit=4)
    assert grey(data) == [[0, 0], [128, 255]]


@pytest.mark.parametrize("seed", range(4))
def test_window_and_rescale_agree_with_pydicom(seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 4096, (16, 16)).astype(np.uint16)
    header = Dataset()
    header.PhotometricInterpretation, header.PixelRepresentation = "MONOCHROME2", 0
    header.RescaleSlope, header.RescaleIntercept = round(rng.uniform(0.5, 3), 3), -1024
    header.WindowCenter, header.WindowWidth = 900, int(rng.integers(2, 4000))
    header.VOILUTFunction = ("LINEAR", "LINEAR_EXACT", "SIGMOID")[seed % 3]
    shown = {element.keyword: element.value for element in header}
    header.BitsStored = 12
    values = apply_windowing(apply_modality_lut(pixels, header), header)
    low, high = -1024, 4095 * header.RescaleSlope - 1024  # the range that it scales to
    expected = (values - low) / (high - low) * 255
    found = decode_bytes(dicom_bytes(pixels, bits_stored=12, **shown), 16)
    assert np.abs(found - expected).max() <= 0.5 + 1e-6


SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16])
def test_every_uncompressed_transfer_syntax_gives_the_same_grey(syntax, kind):
    pixels = np.random.default_rng(0).integers(0, 128, (7, 5)).astype(kind)
    pixels[0, :2] = 0, 127
    elements = {"WindowCenter": 64, "WindowWidth": 128, "RescaleSlope": 1, "RescaleIntercept": 0}
    found = decode_bytes(dicom_bytes(pixels, syntax=syntax, **elements), 7)
    wide = Image.fromarray((pixels / 127 * 255 + 0.5).astype(np.uint8))  # (v - 63.5) / 127 + 0.5
    np.testing.assert_array_equal(found, wide.resize((7, 7), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 3)])
def test_run_lengths_give_the_pixels_that_were_packed(shape):
    pixels = np.resize(RAMP, shape).astype(np.uint8)
    plain = dicom_bytes(pixels)
    assert grey(run_length_encoded(plain), 16) == grey(plain, 16)
    wide = dicom_bytes(RAMP.astype(np.int16) * 200 - 20000)
    assert grey(run_length_encoded(wide), 16) == grey(wide, 16)


def test_jpeg_2000_without_loss_gives_the_pixels_that_were_packed():
    wide = {"WindowCenter": 32767.5, "WindowWidth": 65535, "VOILUTFunction": "LINEAR_EXACT"}
    for pixels, window in ((RAMP, AS_IT_IS), (RAMP.astype(np.uint16) * 257, wide)):
        frame = image_bytes(pixels, "JPEG2000", no_jp2=True, irreversible=False)
        data = dicom_bytes(pixels, syntax=JPEG2000Lossless, frame=frame, **window)
        np.testing.assert_array_equal(decode_bytes(data, 16), RAMP)


def test_a_jpeg_inside_gives_what_it_gives_by_itself():
    frame = image_bytes(RAMP, "JPEG", quality=95)
    found = decode_bytes(dicom_bytes(RAMP, syntax=JPEGBaseline8Bit, frame=frame, **AS_IT_IS), 16)
    np.testing.assert_array_equal(found, np.asarray(Image.open(io.BytesIO(frame))))


@pytest.mark.parametrize("name", ["", "RLE", "bigendian", "expb", "implicit", "jp2klossless"])
def test_pydicoms_own_image_is_the_same_in_every_transfer_syntax(name):
    folder = Path(pydicom.data.__file__).parent / "test_files"
    first = folder / "MR_small.dcm"
    if not first.is_file():
        pytest.skip("this pydicom came without its test files")
    other = folder / f"MR_small_{name}.dcm" if name else first
    np.testing.assert_array_equal(decode(other, 64), decode(first, 64))
    with pydicom.dcmread(first) as header:
        expected = apply_windowing(header.pixel_array, header)
    expected = (expected + 32768) / 65535 * 255  # 16 bits, signed
    assert np.abs(decode(first, 64) - expected).max() <= 0.5 + 1e-6


# luma: 0.299 · 255 = 76, 0.587 · 255 = 150, 0.114 · 255 = 29, and white
COLOURS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], dtype=np.uint8)
LUMA = [[76, 150], [29, 255]]


def test_colour_becomes_luma():
    assert grey(dicom_bytes(COLOURS)) == LUMA
    planes = dicom_bytes(
        COLOURS, PlanarConfiguration=1, PixelData=COLOURS.transpose(2, 0, 1).tobytes()
    )
    assert grey(planes) == LUMA
    windowed = dicom_bytes(COLOURS, WindowCenter=1, WindowWidth=2, VOILUTFunction="nonsense")
    assert grey(windowed) == LUMA  # a window is for grey only


def test_the_first_channel_of_ybr_is_the_luma():
    ybr = np.full((2, 2, 3), 128, dtype=np.uint8)
    ybr[..., 0] = [[0, 76], [150, 255]]
    assert grey(dicom_bytes(ybr, PhotometricInterpretation="YBR_FULL")) == [[0, 76], [150, 255]]
    halved = bytes([0, 76, 128, 128, 150, 255, 128, 128])  # Y Y B R: two pixels share their colour
    data = dicom_bytes(ybr, PhotometricInterpretation="YBR_FULL_422", PixelData=halved)
    assert grey(data) == [[0, 76], [150, 255]]


def test_colour_in_a_jpeg_or_jpeg_2000_becomes_luma():
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[:8], pixels[8:] = (255, 0, 0), (0, 0, 255)
    for syntax, meant, options in (
        (JPEGBaseline8Bit, "YBR_FULL_422", {"quality": 100, "subsampling": 0}),
        (JPEGBaseline8Bit, "RGB", {"quality": 100, "subsampling": 0}),  # wrong, and the JPEG knows
        (JPEG2000Lossless, "YBR_RCT", {"no_jp2": True, "mct": 1}),
    ):
        frame = image_bytes(pixels, "JPEG" if syntax == JPEGBaseline8Bit else "JPEG2000", **options)
        data = dicom_bytes(pixels, syntax=syntax, frame=frame, PhotometricInterpretation=meant)
        found = decode_bytes(data, 16)
        np.testing.assert_allclose(found[0], 76, atol=2)
        np.testing.assert_allclose(found[-1], 29, atol=2)


def test_the_whole_image_is_resized_to_the_square():
    wide = np.zeros((320, 390), dtype=np.uint16)
    wide[:, 195:] = 4095
    found = decode_bytes(dicom_bytes(wide, bits_stored=12), 64)
    assert (found[:, :31] == 0).all()
    assert (found[:, 33:] == 255).all()


def test_a_dicom_file_is_known_by_its_bytes_not_its_name(tmp_path):
    (tmp_path / "view1_frontal.jpg").write_bytes(dicom_bytes(STEPS))
    assert decode(tmp_path / "view1_frontal.jpg", 2).tolist() == [[0, 85], [170, 255]]


def test_a_few_bytes_after_the_pixels_are_no_pixels():
    odd = np.array([[0, 100, 200]], dtype=np.uint8)
    assert grey(dicom_bytes(odd)) == grey(dicom_bytes(odd.astype(np.uint16)))
    padded = dicom_bytes(RAMP, PixelData=RAMP.tobytes() + bytes(14), **AS_IT_IS)
    assert grey(padded, 16) == RAMP.tolist()
    with pytest.raises(ImageError, match="272 bytes of pixels, but 16 × 16 pixels fill 256"):
        decode_bytes(dicom_bytes(RAMP, PixelData=RAMP.tobytes() + bytes(16)), 16)


def encapsulated(syntax, pixels=RAMP, **elements):
    """Return a file that is said to hold this syntax; what it holds is a JPEG."""
    frame = elements.pop("frame", image_bytes(RAMP, "JPEG"))
    return dicom_bytes(pixels, syntax=syntax, frame=frame, **elements)


def cut(frame):
    return frame[: len(frame) // 2]


NOISE = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
WRONG = {
    "too many pixels": (dicom_bytes(STEPS, Rows=8001, Columns=8000), "8000 × 8001 pixels, more"),
    "no rows": (dicom_bytes(STEPS, Rows=0), "2 × 0 pixels"),
    "rows missing": (dicom_bytes(STEPS, without=["Rows"]), "without Rows"),
    "no samples": (dicom_bytes(STEPS, without=["SamplesPerPixel"]), "without SamplesPerPixel"),
    "one row more": (dicom_bytes(STEPS, Rows=3), "8 bytes of pixels, but 2 × 3 pixels fill 12"),
    "one row less": (dicom_bytes(STEPS, Rows=1), "8 bytes of pixels, but 2 × 1 pixels fill 4"),
    "one column less": (dicom_bytes(STEPS, Columns=1), "Rows or Columns is wrong"),
    "truncated": (dicom_bytes(STEPS)[:-2], "6 bytes of pixels, but 2 × 2 pixels fill 8: trunc"),
    "header only": (dicom_bytes(STEPS)[:200], "no image, damaged or truncated"),
    "no pixels": (dicom_bytes(STEPS, without=["PixelData"]), "without pixel data"),
    "frames": (dicom_bytes(STEPS, NumberOfFrames=2), "several frames"),
    "enhanced": (dicom_bytes(STEPS, SharedFunctionalGroupsSequence=[Dataset()]), "enhanced one"),
    "palette": (
        dicom_bytes(STEPS, PhotometricInterpretation="PALETTE COLOR"),
        "photometric interpretation is none of MONOCHROME1",
    ),
    "grey of three": (dicom_bytes(STEPS, SamplesPerPixel=3), "3 samples of MONOCHROME2"),
    "32 bits": (dicom_bytes(STEPS.astype(np.uint32)), "of 32 bits a pixel: 8 and 16 are read"),
    "1 bit": (dicom_bytes(STEPS, BitsAllocated=1, BitsStored=1, HighBit=0), "of 1 bits a pixel"),
    "wide colour": (dicom_bytes(COLOURS.astype(np.uint16)), "colour in other than 8 bits"),
    "high bits": (dicom_bytes(STEPS, BitsStored=12, HighBit=15), "12 bits up to bit 15 of 16"),
    "bits": (dicom_bytes(STEPS, BitsStored=17, HighBit=16), "only the lowest bits are read"),
    "flat": (dicom_bytes(STEPS * 0 + 7), "same value everywhere and no window"),
    "only padding": (dicom_bytes(STEPS * 0, PixelPaddingValue=0), "nothing but padding"),
    "slope": (dicom_bytes(STEPS, RescaleSlope=0, RescaleIntercept=1), "slope is 0"),
    "slope too large": (dicom_bytes(STEPS, RescaleSlope="1e300"), "no number that could be meant"),
    "width": (dicom_bytes(STEPS, WindowCenter=1, WindowWidth=0.5), "a window 0.5 wide"),
    "no width": (
        dicom_bytes(STEPS, WindowCenter=1, WindowWidth=0, VOILUTFunction="SIGMOID"),
        "a window 0 wide",
    ),
    "window elsewhere": (
        dicom_bytes(STEPS, WindowCenter=40000, WindowWidth=100),
        "leaves the whole image black or white",
    ),
    "function": (
        dicom_bytes(STEPS, WindowCenter=1, WindowWidth=2, VOILUTFunction="CUBIC"),
        "function is none of",
    ),
    "dark table": (dicom_bytes(STEPS, VOILUTSequence=table(np.arange(4000))), "too dark"),
    "table too bright": (
        dicom_bytes(STEPS, VOILUTSequence=table([1, 256], bits=8)),
        "8 bits with larger entries",
    ),
    "table of 7 bits": (dicom_bytes(STEPS, VOILUTSequence=table([1, 2], bits=7)), "of 7 bits, not"),
    "deflated": (dicom_bytes(STEPS, syntax=DeflatedExplicitVRLittleEndian), "deflated"),
    "no preamble": (dicom_bytes(STEPS)[132:], "without the preamble of a file"),
    "lossless JPEG": (encapsulated(JPEGLosslessSV1), r"as JPEG Lossless, .*install pylibjpeg"),
    "JPEG-LS": (encapsulated(JPEGLSLossless), "as JPEG-LS Lossless .*or store it uncompressed"),
    "HTJ2K": (encapsulated(HTJ2K), "as High-Throughput JPEG 2000 .*install pylibjpeg"),
    "12-bit JPEG": (
        encapsulated(JPEGExtended12Bit, STEPS, bits_stored=12),
        r"as JPEG Extended .*no decoder",
    ),
    "video": (encapsulated("1.2.840.10008.1.2.4.100"), "stored in MPEG2 .*store it uncompressed"),
    "unknown syntax": (
        encapsulated(JPEGLSLossless).replace(b"10008.1.2.4.80", b"99999.1.2.4.80"),
        "stored in an unknown way",
    ),
    "no syntax": (
        dicom_bytes(STEPS).replace(b"\x02\x00\x10\x00UI", b"\x02\x00\x12\x00UI"),
        "no transfer syntax",
    ),
    "uncompressed YBR_RCT": (
        dicom_bytes(COLOURS, PhotometricInterpretation="YBR_RCT"),
        "not what its header says",
    ),
    "JPEG of another size": (encapsulated(JPEGBaseline8Bit, RAMP[:8]), "another size"),
    "cut JPEG": (
        encapsulated(JPEGBaseline8Bit, NOISE, frame=cut(image_bytes(NOISE, "JPEG"))),
        "damaged: truncated, its end is missing",
    ),
    "cut JPEG, closed again": (
        encapsulated(JPEGBaseline8Bit, NOISE, frame=cut(image_bytes(NOISE, "JPEG")) + b"\xff\xd9"),
        "damaged: truncated, its picture data end before the picture",
    ),
    "cut JPEG 2000": (
        encapsulated(
            JPEG2000Lossless, NOISE, frame=cut(image_bytes(NOISE, "JPEG2000", no_jp2=True))
        ),
        "pixels cannot be unpacked",
    ),
    "cut fragments": (encapsulated(JPEGBaseline8Bit)[:-50], "damaged or truncated"),
    "overfull fragments": (
        encapsulated("1.2.840.10008.1.2.5", frame=bytes(2000)),
        "larger than unpacked ones",
    ),
    "colour in a grey JPEG 2000": (
        encapsulated(
            JPEG2000Lossless,
            np.resize(COLOURS, (16, 16, 3)),
            frame=image_bytes(RAMP, "JPEG2000", no_jp2=True),
        ),
        "pixels cannot be unpacked",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_dicom_that_is_not_certain_is_refused_in_our_words(case):
    data, words = WRONG[case]
    with pytest.raises(ImageError, match=words):
        decode_bytes(data, 2)


def test_a_table_that_ends_early_is_refused():
    sequence = table(range(300))
    sequence[0].LUTDescriptor = [400, 0, 16]
    with pytest.raises(ImageError, match="header cannot be read"):
        decode_bytes(dicom_bytes(STEPS, VOILUTSequence=sequence), 2)
    sequence[0].add_new("LUTData", "US", [1, 2, 3])
    with pytest.raises(ImageError, match="without all its entries"):
        decode_bytes(dicom_bytes(STEPS, VOILUTSequence=sequence), 2)


def with_name(data, place):
    """Return the file with the patient's name over the bytes at `place`, in their length."""
    assert data.count(place) == 1
    return data.replace(place, NAME.encode().ljust(len(place)))


WINDOWED = dicom_bytes(
    STEPS, WindowCenter="111111.1", WindowWidth="222222.2", VOILUTFunction="LINEAR_EXACT"
)
NAMED = {
    "window": with_name(WINDOWED, b"111111.1"),
    "function": with_name(WINDOWED, b"LINEAR_EXACT"),
    "photometric": with_name(WINDOWED, b"MONOCHROME2 "),
    "transfer syntax": with_name(encapsulated(JPEGLSLossless), b"1.2.840.10008.1.2.4.80"),
    "rows": WINDOWED.replace(
        b"\x28\x00\x10\x00US\x02\x00\x02\x00", b"\x28\x00\x10\x00PN\x02\x00Do"
    ),
    "bits": WINDOWED.replace(
        b"\x28\x00\x00\x01US\x02\x00\x10\x00", b"\x28\x00\x00\x01US\x03\x00Doe"
    ),
    "not an image": NAME.encode() + b" 1950-01-01",
    "cut JPEG": WRONG["cut JPEG"][0],
}


@pytest.mark.parametrize("case", NAMED)
def test_no_error_warning_or_log_says_the_patients_name(case, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ImageError) as caught:
        decode_bytes(NAMED[case], 2)
    told = "".join(traceback.format_exception(caught.value))
    seen = told.replace(__file__, "") + caplog.text + "".join(capfd.readouterr())
    assert not re.search("Doe|Jane|b'Do", seen)
    assert not caplog.records


def test_pydicoms_warnings_are_not_the_users(recwarn):
    # it warns of an empty number of frames and of a value that is too long for its type
    data = dicom_bytes(STEPS, NumberOfFrames=None, PatientID="1" * 90)
    assert grey(data) == [[0, 85], [170, 255]]
    assert not recwarn.list


def test_no_other_file_is_read(monkeypatch):
    large = dicom_bytes(np.resize(STEPS, (1100, 1000)), bits_stored=12)  # read when asked for
    decode_bytes(large, 8)

    def refuse(*args, **kwargs):
        raise AssertionError(f"opened {args}")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("io.open", refuse)
    assert decode_bytes(large, 8).shape == (8, 8)


def jpeg_bomb():
    """Return a DICOM file of 16 × 16 pixels whose JPEG says that it has 60,000 × 60,000."""
    frame = bytearray(image_bytes(RAMP, "JPEG"))
    start = frame.index(b"\xff\xc0") + 5
    frame[start : start + 4] = struct.pack(">HH", 60_000, 60_000)
    return encapsulated(JPEGBaseline8Bit, frame=bytes(frame))


def deflate_bomb():
    """Return a DICOM file that inflates to a gigabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    part = packer.compress(bytes(50_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    plain = dicom_bytes(STEPS, syntax=DeflatedExplicitVRLittleEndian)
    end = 144 + struct.unpack_from("<I", plain, 140)[0]  # of the part that is not deflated
    return plain[:end] + 20 * part + b"\x03\0"


def test_bombs_take_little_memory(tmp_path):
    # row 8 of the bad-input table
    bombs = {
        "header": dicom_bytes(STEPS, Rows=65_535, Columns=65_535),
        "jpeg": jpeg_bomb(),
        "deflated": deflate_bomb(),
    }
    for name, data in bombs.items():
        (tmp_path / name).write_bytes(data)
    # 150 MB of pixels, which are not to be copied before the header is judged
    large = dicom_bytes(STEPS, Rows=65_535, Columns=65_535)
    large = large[:-12] + struct.pack("<I", 150_000_000)
    with (tmp_path / "large").open("wb") as file:
        file.write(large)
        file.truncate(len(large) + 150_000_000)
    code = (
        "import re, sys; from pathlib import Path; from fedcxr.data.images.decode import decode\n"
        "for path in sys.argv[1:]:\n"
        "  try: decode(Path(path), 64)\n"
        "  except Exception as err: print(type(err).__name__)\n"
        # of this program alone: ru_maxrss would count the memory of the parent that forked it
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *(str(tmp_path / name) for name in (*bombs, "large"))],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    *names, peak_kb = done.stdout.split()
    assert names == ["ImageError"] * 4
    assert int(peak_kb) < 300_000
    assert done.stderr == ""


def test_pydicom_is_not_imported_for_other_files(tmp_path):
    (tmp_path / "x.png").write_bytes(image_bytes(RAMP, "PNG"))
    code = (
        "import sys; from pathlib import Path; from fedcxr.data.images.decode import decode\n"
        "decode(Path(sys.argv[1]), 16); sys.exit('pydicom' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x.png")]
    assert subprocess.run(command, timeout=60).returncode == 0


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    values=st.lists(st.integers(-32768, 32767), min_size=4, max_size=4, unique=True),
    centre=st.floats(-1e5, 1e5),
    width=st.floats(1, 1e5),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)
def test_a_window_keeps_the_order_of_the_values(values, centre, width, function):
    pixels = np.sort(np.array(values, dtype=np.int16)).reshape(2, 2)
    window = {"WindowCenter": f"{centre:.6g}", "WindowWidth": f"{width:.6g}"}
    data = dicom_bytes(pixels, VOILUTFunction=function, **window)
    try:
        found = decode_bytes(data, 2)
    except ImageError as err:
        assert "black or white" in str(err)  # noqa: PT017 - not every window meets the image
        return
    assert (np.diff(found.ravel().astype(int)) >= 0).all()
    negative = dicom_bytes(
        pixels, VOILUTFunction=function, PhotometricInterpretation="MONOCHROME1", **window
    )
    np.testing.assert_array_equal(decode_bytes(negative, 2), 255 - found)
