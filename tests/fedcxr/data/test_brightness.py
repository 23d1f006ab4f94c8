"""check-data finds pictures whose brightness is far from the others', and no others."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from dicom_writer import dicom_bytes
from PIL import Image, ImageCms
from png_writer import chunk

from fedcxr.data.images.decode import decode
from fedcxr.data.quality.brightness import (
    NUM_LEVELS,
    cut_findings,
    cut_short,
    exposure_findings,
    find_negatives,
    negative_findings,
    picture_levels,
)
from fedcxr.data.quality.check import check_data
from fedcxr.data.quality.common_place import common_place
from fedcxr.data.quality.images import DecodedImages
from fedcxr.data.quality.orientation import orientation_maps
from fedcxr.data.read import read_dataset
from fedcxr.data.records import Record
from fedcxr.data.synthetic.write import write_synthetic

CHANGES = {
    "a sixteenth": ("too-dark", lambda v: v // 16),
    "a quarter": ("too-dark", lambda v: v // 4),
    "four times": ("too-bright", lambda v: np.minimum(v.astype(int) * 4, 255).astype(np.uint8)),
    "the negative": ("inverted", lambda v: 255 - v),
    "zeros below": ("one-shade-below", lambda v: v * (np.arange(v.shape[-2]) < 40)[:, None]),
}
KINDS = {kind for kind, _ in CHANGES.values()}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A small synthetic NIH, its images in two folders; not to be changed."""
    out = tmp_path_factory.mktemp("brightness")
    root = write_synthetic(out, patients=60, size_px=64, layout="nih14", workers=2)
    for number, path in enumerate(sorted((root / "images").iterdir())):
        folder = root / f"images_{1 + (number % 5 == 0):03d}" / "images"
        folder.mkdir(parents=True, exist_ok=True)
        path.rename(folder / path.name)
    (root / "images").rmdir()
    return root


@pytest.fixture
def copy(drawn, tmp_path):
    return Path(shutil.copytree(drawn, tmp_path / "nih"))


def kinds_of(root):
    report = check_data(root, workers=2, disk_budget_s=0.02)
    return {finding.kind: finding for finding in report.findings}, report


def test_a_clean_set_has_no_such_finding(drawn):
    kinds, report = kinds_of(drawn)
    assert report.is_clean, report.problems
    assert not KINDS & set(kinds)
    assert "other-colours" not in kinds


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_of_changed_files_is_found_and_named(copy, change):
    kind, alter = CHANGES[change]
    changed = sorted((copy / "images_002" / "images").iterdir())[:12]
    for path in changed:
        Image.fromarray(alter(np.asarray(Image.open(path)))).save(path)
    kinds, report = kinds_of(copy)
    assert KINDS & set(kinds) == {kind}
    finding = kinds[kind]
    assert finding.count == 12
    assert finding.examples == tuple(f"images_002/images/{path.name}" for path in changed[:10])
    assert "All 12 are in images_002/images, which has " in finding.text
    assert [len(row) for row in finding.pictures] == [1] * 12
    assert finding.severity == ("notice" if kind == "one-shade-below" else "problem")
    assert report.is_clean == (kind == "one-shade-below")
    # a negative, or half a picture, is not called turned as well
    assert "rotated" not in kinds


def test_a_dicom_file_whose_download_broke_off_is_told_by_its_picture(copy):
    # uncompressed, it has no checksum: half of its values are zeros
    path = sorted((copy / "images_001" / "images").iterdir())[3]
    whole = dicom_bytes(np.asarray(Image.open(path)).astype(np.uint16) * 16, bits_stored=12)
    start = len(whole) - 64 * 64 * 2
    path.write_bytes(whole[: start + 64 * 64] + bytes(64 * 64))
    kinds, _ = kinds_of(copy)
    assert kinds["one-shade-below"].examples == (f"images_001/images/{path.name}",)


def test_levels_by_hand():
    squares = np.zeros((1, 64, 64), dtype=np.float32)
    squares[0, 0] = 255  # 1/64 of the picture is white, and more than 1 % is
    squares[0, 1:40] = 100
    squares[0, 63, 5] = 2
    assert picture_levels(squares).tolist() == [[255.0, 1 / 64, 24 / 64]]
    squares[0, 63, 5] = 3
    assert picture_levels(squares).tolist() == [[255.0, 1 / 64, 0.0]]
    squares[0, 0] = 249
    assert picture_levels(squares)[0, :2].tolist() == [249.0, 0.0]


def images_of(squares, views, names=None):
    records = tuple(
        Record(f"{i}", f"{i}", name, view, "", "", None, "", ())
        for i, (name, view) in enumerate(
            zip(names or map(str, range(len(views))), views, strict=True)
        )
    )
    rows = np.arange(len(squares))
    return DecodedImages(records, squares, rows, ("",) * len(squares), (), 1.0, len(squares))


def found_in(squares, views):
    """Return, by kind, which images are found."""
    decoded = images_of(squares, views, names=[f"{i}.png" for i in range(len(squares))])
    values = squares.astype(np.float32)
    blank = values.std(axis=(1, 2)) < 1
    levels, maps = picture_levels(values), orientation_maps(values).astype(np.float16)
    assert levels.shape == (len(squares), NUM_LEVELS)
    findings = (
        *exposure_findings(decoded, levels, blank),
        *negative_findings(decoded, find_negatives(decoded, maps, blank)),
        *cut_findings(decoded, cut_short(levels, blank)),
    )
    return {finding.kind: finding.count for finding in findings}


def test_too_few_images_are_not_compared():
    rng = np.random.default_rng(0)
    squares = rng.integers(50, 200, (19, 64, 64)).astype(np.uint8)
    squares[0] //= 16
    squares[1] = 255 - squares[1]
    assert found_in(squares, ["frontal"] * 19) == {}


def test_a_turned_picture_is_no_negative():
    # a chest upside down is more like the reverse of the others than like them
    shape = np.linspace(20, 230, 64)[:, None] + np.zeros(64)
    noise = np.random.default_rng(0).integers(-10, 11, (30, 64, 64))
    squares = (shape + noise).clip(0, 255).astype(np.uint8)
    squares[0] = squares[0][::-1]
    assert found_in(squares, ["frontal"] * 30) == {}


def test_each_view_is_compared_with_itself():
    # a bright corner: neither its negative nor any turn of it looks like another of these
    shape = np.outer(np.linspace(0, 1, 64) ** 3, np.linspace(0, 1, 64) ** 3) * 200 + 20
    noise = np.random.default_rng(0).integers(-10, 11, (60, 64, 64))
    squares = (shape + noise).clip(0, 255).astype(np.uint8)
    views = ["frontal"] * 30 + ["lateral"] * 30
    squares[30:] = 255 - squares[30:]  # laterals are the reverse of frontals here
    assert found_in(squares, views) == {}
    squares[[3, 33]] = 255 - squares[[3, 33]]
    assert found_in(squares, views) == {"inverted": 2}


@pytest.mark.real
@pytest.mark.parametrize("folder", ["nih14", "nih14_64px", "chexpert_layout_nih_pixels"])
def test_changed_real_images_are_found_and_no_other(sample_data, folder):
    dataset = read_dataset(sample_data / folder)
    squares = np.stack([decode(dataset.root / record.path, 64) for record in dataset.records])
    views = [record.view for record in dataset.records]
    assert found_in(squares, views) == {}
    for kind, alter in CHANGES.values():
        for part in range(3):
            some = np.arange(len(squares)) % 10 == part
            mixed = squares.copy()
            mixed[some] = alter(squares[some])
            found = found_in(mixed, views)
            others = {one: count for one, count in found.items() if one != kind}
            # multiplied by 4 a few are white all over their lower part
            assert set(others) <= ({"one-shade-below"} if kind == "too-bright" else set())
            assert 0.99 * some.sum() - 1 <= found[kind] <= some.sum()


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (["b/x/1.png", "b/x/2.png"], "All 2 are in b/x, which has 3 of the 10 images."),
        (["b/x/1.png", "b/y/1.png"], "All 2 are in b, which has 4 of the 10 images."),
        (["a/1.jpg", "b/x/3.jpg"], "All 2 end in .jpg, as do 2 of the 10 images."),
        (["a/1.jpg", "b/x/1.png"], ""),
        (["a/2.png", "a/3.png"], ""),  # a has most of the images
        (["b/x/1.png"], ""),
        ([], ""),
    ],
)
def test_what_odd_files_have_in_common_is_said_where_most_others_have_it_not(odd, words):
    every = ["a/1.jpg", *(f"a/{i}.png" for i in range(2, 7))]
    every += ["b/x/1.png", "b/x/2.png", "b/x/3.jpg", "b/y/1.png"]
    assert common_place(odd, every) == words


def with_gamma(path, gamma, *more):
    whole = path.read_bytes()
    place = whole.index(b"IDAT") - 4
    chunks = [chunk(b"gAMA", struct.pack(">I", round(gamma * 100_000))), *more]
    path.write_bytes(whole[:place] + b"".join(chunks) + whole[place:])


def test_what_viewers_show_otherwise_is_worth_knowing(copy):
    linear, usual, named, mine, screen = sorted((copy / "images_001" / "images").iterdir())[:5]
    with_gamma(linear, 1.0)
    with_gamma(usual, 1 / 2.2)
    with_gamma(named, 1.0, chunk(b"sRGB", b"\0"))
    screen_profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab_profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.open(mine).save(mine, icc_profile=lab_profile)
    Image.open(screen).save(screen, icc_profile=screen_profile)
    kinds, report = kinds_of(copy)
    assert kinds["other-colours"].severity == "notice"
    assert kinds["other-colours"].examples == (
        f"images_001/images/{linear.name}: gamma 1",
        f"images_001/images/{mine.name}: a colour profile",
    )
    assert report.is_clean, report.problems


def test_a_colour_profile_of_a_jpeg_is_worth_knowing_too(copy):
    path = sorted((copy / "images_001" / "images").iterdir())[0]
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.open(path).save(path, format="JPEG", quality=95, icc_profile=profile)
    kinds, _ = kinds_of(copy)
    assert kinds["other-colours"].examples == (f"images_001/images/{path.name}: a colour profile",)
