"""16-bit PNG files of one data set are scaled together, by the bits that their values use."""

import json
from fractions import Fraction

import numpy as np
import pytest
from dicom_writer import image_bytes

from fedcxr.data.cache import pool
from fedcxr.data.cache.store import build_cache, open_cache
from fedcxr.data.images.decode import decode, decode_bytes
from fedcxr.data.images.png_depth import grey_levels
from fedcxr.errors import ConfigError, DataError, ImageError

NUM_IMAGES = 40
NOISE = np.random.default_rng(0).integers(0, 256, (8, 8))


def png(*values):
    """Return a 2 × 2 file of 16-bit grey."""
    return image_bytes(np.uint16(values).reshape(2, 2), "PNG")


@pytest.mark.parametrize("bits", range(9, 17))
def test_the_largest_value_of_the_depth_is_white_and_the_rest_is_rounded(bits):
    white = 2**bits - 1
    levels = grey_levels(bits)
    for value in {0, 1, white // 510, white // 510 + 1, white // 3, white // 2, white - 1, white}:
        assert levels[value] == int(Fraction(255 * value, white) + Fraction(1, 2))
    assert levels.tolist() == sorted(levels)


def test_a_file_by_itself_is_scaled_by_the_depth_that_is_given():
    # 1000 · 255 / 4095 = 62.3, 2048 · 255 / 4095 = 127.5
    data = png(0, 1000, 2048, 4095)
    assert decode_bytes(data, 2, png_bits=12).tolist() == [[0, 62], [128, 255]]
    # 1000 · 255 / 8191 = 31.1, 2048 … = 63.8, 4095 … = 127.5
    assert decode_bytes(data, 2, png_bits=13).tolist() == [[0, 31], [64, 127]]


def test_the_depth_changes_nothing_in_other_files(tmp_path):
    for form in ("PNG", "JPEG"):
        data = image_bytes(NOISE.astype(np.uint8), form)
        np.testing.assert_array_equal(decode_bytes(data, 8, png_bits=10), decode_bytes(data, 8))


@pytest.mark.parametrize(
    ("largest", "options", "words"),
    [
        (4095, {}, "without a value above 4095, where 65535 is white: too dark"),
        (255, {"png_bits": 12}, "without a value above 255, where 4095 is white: too dark"),
        (0, {"png_bits": 9}, "without a value above 31, where 511 is white: too dark"),
        (4096, {"png_bits": 12}, "with a value above 4095, which should be white"),
    ],
)
def test_a_file_that_does_not_fit_the_depth_is_refused(tmp_path, largest, options, words):
    (tmp_path / "x.png").write_bytes(png(0, 0, 0, largest))
    with pytest.raises(ImageError, match=words):
        decode(tmp_path / "x.png", 2, **options)


@pytest.mark.parametrize("bits", [8, 17, 0])
def test_a_depth_that_no_file_can_have_is_refused(bits):
    with pytest.raises(ConfigError, match=f"png_bits={bits}: give 9 to 16"):
        decode_bytes(png(0, 0, 0, 9), 2, png_bits=bits)


def write(folder, largest):
    """Write JPEG files and, by number, 16-bit PNG files of noise up to a largest value."""
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for number in range(NUM_IMAGES):
        name = f"{number:02d}.{'png' if number in largest else 'jpg'}"
        pixels = NOISE.astype(np.uint8)
        if number in largest:
            pixels = (NOISE * (largest[number] / NOISE.max())).round().astype(np.uint16)
        (folder / name).write_bytes(image_bytes(pixels, name[-3:].replace("jpg", "JPEG")))
        items.append((f"{number:016x}", name))
    return items


def build(root, items, folder, **options):
    defaults = {"size_px": 8, "max_bad_fraction": 0.0, "workers": 2, "folder": folder}
    return build_cache(items, root, **(defaults | options))


TWELVE = {5: 4095, 6: 2100, 20: 1500, 33: 3000}
"""12 bits; the last file alone would be taken for full 12 bits too, the third for 11."""


def test_all_files_of_a_data_set_are_scaled_alike(tmp_path):
    items = write(tmp_path / "root", TWELVE)
    cache = build(tmp_path / "root", items, tmp_path / "cache")
    assert cache.png_bits == 12
    assert json.loads((cache.folder / "cache.json").read_text())["png_bits"] == 12
    assert open_cache(cache.folder).png_bits == 12
    for number, (_, name) in enumerate(items):
        expected = decode(tmp_path / "root" / name, 8, png_bits=12)
        np.testing.assert_array_equal(cache.images[number], expected)
    # white is 4095 in each: 3000 · 255 / 4095 = 186.8
    assert [int(cache.images[row].max()) for row in TWELVE] == [255, 131, 93, 187]


@pytest.mark.parametrize(("largest", "bits"), [(9000, 14), (65535, 16), (600, 10), (257, 9)])
def test_the_depth_is_that_of_the_largest_value(tmp_path, largest, bits):
    items = write(tmp_path / "root", {7: largest, 30: largest // 2})
    assert build(tmp_path / "root", items, tmp_path / "cache").png_bits == bits


def test_without_such_files_there_is_no_depth(tmp_path):
    items = write(tmp_path / "root", {})
    assert build(tmp_path / "root", items, tmp_path / "cache").png_bits is None


def test_a_file_much_darker_than_the_set_is_refused_by_name(tmp_path):
    # row 40 of the bad-input table
    items = write(tmp_path / "root", TWELVE | {11: 255})
    cache = build(tmp_path / "root", items, tmp_path / "cache", max_bad_fraction=0.1)
    ((_, path, reason),) = cache.bad
    assert path == "11.png"
    assert "without a value above 255, where 4095 is white" in reason
    assert not cache.images[11].any()
    assert items[11][0] not in cache.contents()


def test_eight_bits_in_sixteen_are_refused(tmp_path):
    items = write(tmp_path / "root", {3: 255, 4: 130})
    with pytest.raises(DataError, match="without a value above 255: 8-bit data that was not"):
        build(tmp_path / "root", items, tmp_path / "cache")
    assert open_cache(tmp_path / "cache").png_bits is None


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def decoded_rows(monkeypatch):
    """The rows that are decoded, in the order of decoding."""
    rows, at_once = [], pool.decode_rows

    def counting(images, start, paths, **options):
        rows.extend(range(start, start + len(paths)))
        return at_once(images, start, paths, **options)

    monkeypatch.setattr(pool, "decode_rows", counting)
    monkeypatch.setattr(pool, "CHUNK", 4)
    return rows


def test_a_depth_that_shows_late_has_those_files_alone_decoded_again(tmp_path, decoded_rows):
    items = write(tmp_path / "root", TWELVE)
    build(tmp_path / "root", items, tmp_path / "cache", workers=1)
    assert sorted(decoded_rows) == sorted([*range(NUM_IMAGES), *TWELVE])


def test_a_depth_that_a_sample_tells_has_nothing_decoded_twice(tmp_path, decoded_rows):
    items = write(tmp_path / "root", TWELVE | {0: 4000})  # the first file is always looked at
    build(tmp_path / "root", items, tmp_path / "cache", workers=1)
    assert sorted(decoded_rows) == list(range(NUM_IMAGES))


@pytest.mark.parametrize(
    ("first", "stops", "pays"),
    [
        *((first, stops, 3.0) for first in ({}, {0: 700}) for stops in ((17,), (39,), (9, 38, 37))),
        ({0: 4000}, (17,), 3.0),
        ({0: 700}, (39, 38), -1.0),
    ],
    ids=str,
)
def test_an_interrupted_build_gives_the_same_bytes(tmp_path, monkeypatch, first, stops, pays):
    # the first file is looked at beforehand: no depth, 10 bits or 12 bits are taken to begin with
    items = write(tmp_path / "root", TWELVE | first | {11: 200})
    build(tmp_path / "root", items, tmp_path / "whole", workers=1, max_bad_fraction=0.1)
    monkeypatch.setattr(pool, "CHUNK", 3)
    monkeypatch.setattr(pool, "PROCESSES_PAY_S", pays)
    for stop in stops:
        seen = []

        def watch(phase, done, total, stop=stop, seen=seen):
            if phase == "decoding":
                seen.append(done)
                # also on the way through the second time, where less is done than was before
                if len(seen) > 1 and done >= stop:
                    raise KeyboardInterrupt

        try:
            build(tmp_path / "root", items, tmp_path / "mine", max_bad_fraction=0.1, watch=watch)
        except KeyboardInterrupt:
            continue
    build(tmp_path / "root", items[::-1], tmp_path / "mine", workers=3, max_bad_fraction=0.1)
    assert bytes_of(tmp_path / "mine") == bytes_of(tmp_path / "whole")
