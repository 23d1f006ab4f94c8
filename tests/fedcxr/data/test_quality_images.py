import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from scipy.fft import dctn

from fedcxr.data.images.decode import decode, decode_bytes
from fedcxr.data.quality.check import check_data
from fedcxr.data.quality.disk import disk_of, measure_speed
from fedcxr.data.quality.images import DecodedImages
from fedcxr.data.quality.orientation import (
    TURNED_MARGIN,
    orientation_maps,
    turn_scores,
    view_findings,
)
from fedcxr.data.quality.twins import (
    SAME_CORRELATION,
    find_twins,
    hash_squares,
    same_bytes,
)
from fedcxr.data.read import read_dataset
from fedcxr.data.records import Record
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.errors import ConfigError


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A small synthetic CheXpert, clean, not to be changed."""
    return write_synthetic(tmp_path_factory.mktemp("images"), patients=40, size_px=96, workers=2)


@pytest.fixture
def copy(tree, tmp_path):
    return Path(shutil.copytree(tree, tmp_path / tree.name))


def kinds_of(folder, **options):
    report = check_data(folder, workers=2, disk_budget_s=0.02, **options)
    return {finding.kind: finding for finding in report.findings}, report


def frontals(folder, split="train"):
    """Return the first frontal image of each patient, in the order of patients."""
    patients = sorted((folder / split).iterdir())
    return [sorted(found)[0] for patient in patients if (found := [*patient.rglob("*frontal.jpg")])]


def name(folder, path):
    return path.relative_to(folder).as_posix()


def test_a_clean_tree_is_clean(tree):
    kinds, report = kinds_of(tree)
    assert report.is_clean, report.problems
    assert "wrong-suffix" not in kinds
    assert report.images.looked_at == report.images.good == report.num_images
    assert report.images.shapes == {"96 × 96 L JPEG": report.num_images}
    assert report.images.png_bits is None
    assert report.disk.cache_bytes["320"] == report.num_images * 320 * 320
    files = [path.stat().st_size for path in tree.rglob("*.jpg")]
    assert report.disk.total_bytes == pytest.approx(sum(files), rel=1e-6)


def test_every_way_to_lose_a_file_has_its_kind(copy):
    one, two, three, four, five, six = frontals(copy)[:6]
    one.unlink()
    two.write_bytes(two.read_bytes()[:700])
    three.write_bytes(b"")
    four.write_bytes(b"<!DOCTYPE html><p>Please log in")
    five.write_bytes(b"II*\0")
    Image.new("CMYK", (96, 96)).save(six)
    kinds, report = kinds_of(copy)
    assert kinds["missing"].examples == (name(copy, one),)
    assert [line.partition(":")[0] for line in kinds["damaged"].examples] == [
        name(copy, two),
        name(copy, three),
    ]
    assert "empty file" in kinds["damaged"].examples[1]
    assert [line.partition(":")[0] for line in kinds["not-an-image"].examples] == [
        name(copy, four),
        name(copy, five),
    ]
    assert "colour mode CMYK" in kinds["unreadable"].examples[0]
    assert {kinds[k].severity for k in ("missing", "damaged", "not-an-image", "unreadable")} == {
        "problem"
    }
    assert report.images.good == report.num_images - 6


def test_a_missing_image_that_has_another_ending_is_told_of(copy):
    one = frontals(copy)[0]
    one.rename(one.with_suffix(".png"))
    kinds, _ = kinds_of(copy)
    told = f"In place of {name(copy, one)} there is {name(copy, one.with_suffix('.png'))}: correct"
    assert told in kinds["missing"].text
    for path in copy.rglob("*.jpg"):
        path.rename(path.with_suffix(".jpeg"))
    kinds, _ = kinds_of(copy)
    assert told in kinds["no-images"].text


def test_a_link_out_of_the_folder_is_named_and_not_followed(copy, tmp_path):
    secret = tmp_path / "secret.jpg"
    path = frontals(copy)[0]
    path.rename(secret)
    path.symlink_to(secret)
    kinds, _ = kinds_of(copy)
    assert kinds["unreadable"].examples == (
        f"{name(copy, path)}: leads out of the data folder by a link; --follow-links allows that",
    )
    kinds, report = kinds_of(copy, follow_links=True)
    assert "unreadable" not in kinds
    assert report.images.good == report.num_images


def test_a_linked_images_folder_is_not_called_absent(copy, tmp_path):
    for name in ("train", "valid"):
        (copy / name).rename(tmp_path / name)
        (copy / name).symlink_to(tmp_path / name)
    kinds, report = kinds_of(copy)
    assert "no-images" not in kinds
    assert kinds["unreadable"].count == report.num_images
    assert kinds["unreadable"].examples[0].endswith("by a link; --follow-links allows that")
    assert kinds_of(copy, follow_links=True)[1].is_clean


def test_tables_without_any_image_are_said_to_be_so(copy):
    for path in copy.rglob("*.jpg"):
        path.unlink()
    kinds, report = kinds_of(copy)
    assert kinds["no-images"].count == report.num_images
    assert "--labels-only" in kinds["no-images"].mend
    assert "missing" not in kinds
    assert not report.is_clean
    labels_only = check_data(copy, labels_only=True)
    assert labels_only.is_clean
    assert [f.kind for f in labels_only.findings if "not looked at" in f.title] == [
        "images-not-checked"
    ]


def test_a_blank_image_is_a_problem(copy):
    black, white = frontals(copy)[:2]
    Image.new("L", (96, 96), 0).save(black)
    Image.new("L", (96, 96), 255).save(white)
    kinds, _ = kinds_of(copy)
    assert [line.rpartition(" ")[2] for line in kinds["blank-image"].examples] == ["0", "255"]
    assert not {kind for kind in kinds if "duplicate" in kind or kind == "rotated"}


def test_the_same_file_twice_is_judged_by_where_it_is(copy):
    one, two, three, *_ = frontals(copy)
    valid = frontals(copy, "valid")[0]
    shutil.copy(one, valid)
    shutil.copy(two, three)
    study = next(p for p in (copy / "train").iterdir() if len([*p.rglob("*frontal.jpg")]) > 1)
    mine = sorted(study.rglob("*frontal.jpg"))
    shutil.copy(mine[0], mine[1])
    kinds, _ = kinds_of(copy)
    across = kinds["same-file-across-splits"]
    assert (across.severity, across.count) == ("problem", 1)
    assert across.examples == (f"{name(copy, one)} = {name(copy, valid)}",)
    assert kinds["same-file-across-patients"].severity == "problem"
    assert kinds["same-file-within"].severity == "notice"
    assert name(copy, mine[0]) in kinds["same-file-within"].examples[0]
    assert len(across.pictures[0]) == 2


def test_a_copy_in_two_given_splits_is_across_splits(copy, tmp_path):
    one, two = frontals(copy)[:2]
    shutil.copy(one, two)
    for number, path in ((1, one), (2, two)):
        (tmp_path / f"{number}.txt").write_text(f"{copy.name}/{name(copy, path)}\n")
    kinds, _ = kinds_of(copy, splits=[tmp_path / "1.txt", tmp_path / "2.txt"])
    assert "same-file-across-splits" in kinds


def test_a_picture_saved_again_is_found(copy):
    # row 5 of the bad-input table
    one, two, three, four, five, six, seven = frontals(copy)[:7]
    valid = frontals(copy, "valid")[0]
    picture = Image.open(one)
    picture.save(valid, quality=60)
    Image.open(two).resize((240, 240), Image.Resampling.BICUBIC).save(three, quality=90)
    ImageEnhance.Brightness(Image.open(four)).enhance(1.1).save(five, quality=90)
    Image.open(six).save(seven, format="PNG")
    kinds, _ = kinds_of(copy)
    across = kinds["near-duplicate-across-splits"]
    assert (across.severity, across.count) == ("problem", 1)
    assert name(copy, one) in across.examples[0]
    assert name(copy, valid) in across.examples[0]
    strangers = kinds["near-duplicate-across-patients"]
    assert (strangers.severity, strangers.count) == ("problem", 3)
    assert "same-file-across-patients" not in kinds
    # PNG content under a name in .jpg
    assert kinds["wrong-suffix"].examples == (f"{name(copy, seven)}: PNG",)
    assert kinds["wrong-suffix"].severity == "notice"


def test_a_turned_image_is_found_with_its_direction(copy):
    chosen = frontals(copy)[:3]
    for path, turn in zip(chosen, (90, 180, 270), strict=True):
        Image.open(path).rotate(turn).save(path, quality=95)  # counter-clockwise
    kinds, _ = kinds_of(copy)
    assert kinds["rotated"].severity == "problem"
    assert sorted(kinds["rotated"].examples) == sorted(
        f"{name(copy, path)}: by {words}"
        for path, words in zip(
            chosen, ("90° counter-clockwise", "180°", "90° clockwise"), strict=True
        )
    )
    assert len(kinds["rotated"].pictures) == 3


def test_a_picture_that_viewers_turn_upright_is_not_turned(copy):
    for path, (turn, stored) in zip(
        frontals(copy),
        [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90)] * 5,
        strict=False,
    ):
        exif = Image.Exif()
        exif[0x0112] = turn
        Image.open(path).transpose(stored).save(path, exif=exif, quality=95)
    kinds, report = kinds_of(copy)
    assert "rotated" not in kinds
    assert report.is_clean


def test_the_depth_of_16_bit_png_files_is_told_and_none_of_them_is_bad(tmp_path):
    root = write_synthetic(tmp_path, patients=12, size_px=64, layout="nih14", workers=1)
    for path in (root / "images").iterdir():
        pixels = np.asarray(Image.open(path)).astype(np.uint16)
        Image.fromarray((pixels * 16.0588).astype(np.uint16)).save(path)  # 255 becomes 4095
    _, report = kinds_of(root)
    assert report.is_clean, report.problems
    assert report.images.png_bits == 12
    assert report.to_json()["files"]["png_bits"] == 12
    assert list(report.images.shapes) == ["64 × 64 I;16 PNG"]
    # a file by itself does not tell its depth; the speed of decoding is measured all the same
    assert report.disk.decoded_per_s > 0


def test_a_sample_looks_at_that_many(copy):
    kinds, report = kinds_of(copy, sample=10)
    assert report.images.looked_at == 10
    assert kinds["images-not-checked"].count == report.num_images - 10
    assert "--sample" in kinds["images-not-checked"].text
    with pytest.raises(ConfigError, match="--sample 0: give at least 1"):
        check_data(copy, sample=0)


def decoded_of(squares, patients, *, views=None, digests=None):
    records = tuple(
        Record(who, f"{who}/{i}", f"{i}.png", (views or {}).get(i, "frontal"), "", "", None, "", ())
        for i, who in enumerate(patients)
    )
    return DecodedImages(
        records=records,
        squares=squares,
        row=np.arange(len(squares)),
        digests=tuple(digests or map(str, range(len(squares)))),
        bad=(),
        mean_bytes=1.0,
        num_there=len(squares),
    )


def test_lateral_images_called_frontal_look_wrong(tmp_path):
    tree = write_synthetic(tmp_path, patients=120, size_px=64, workers=2)
    records = read_dataset(tree).records
    squares = np.stack([decode(tree / record.path, 64) for record in records])
    views = {i: record.view for i, record in enumerate(records)}
    laterals = [i for i, view in views.items() if view == "lateral"]
    assert len(laterals) > 22
    maps = orientation_maps(squares.astype(np.float32))
    patients = [record.patient_id for record in records]
    none = np.zeros(len(records), dtype=bool)
    assert view_findings(decoded_of(squares, patients, views=views), maps, none) == ()
    views[laterals[0]] = "frontal"
    (finding,) = view_findings(decoded_of(squares, patients, views=views), maps, none)
    assert finding.severity == "notice"
    assert finding.examples == (f"{laterals[0]}.png (table: frontal)",)


def test_the_hash_is_the_signs_of_the_cosine_transform():
    squares = np.random.default_rng(0).integers(0, 256, (3, 64, 64)).astype(np.float32)
    waves = np.hypot(*np.indices((24, 24))).ravel()
    order = np.argsort(waves, kind="stable")
    chosen = order[waves[order] >= 2][:256]
    full = dctn(squares, axes=(1, 2), norm="ortho")[:, :24, :24].reshape(3, -1)[:, chosen]
    ours = np.unpackbits(hash_squares(squares).view(np.uint8), axis=1)
    assert (ours == (full > 0)).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(0, 11))
def test_hashes_that_differ_in_up_to_11_signs_always_share_a_band(seed, flips):
    from fedcxr.data.quality.twins import _near_pairs

    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (30, 256)).astype(np.uint8)
    bits[29] = bits[4]
    bits[29, rng.choice(256, flips, replace=False)] ^= 1
    hashes = np.packbits(bits, axis=1).view(np.uint64)
    pairs, is_cut = _near_pairs(hashes)
    assert pairs.tolist() == [[4, 29]]
    assert not is_cut


def test_a_thousand_copies_of_one_picture_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr("fedcxr.data.quality.twins.MAX_PAIRS", 100)
    one = np.random.default_rng(0).integers(0, 256, (1, 64, 64)).astype(np.uint8)
    decoded = decoded_of(np.repeat(one, 50, axis=0), ["a"] * 50)
    hashes = hash_squares(decoded.squares.astype(np.float32))
    twins, is_cut = find_twins(decoded, hashes, np.zeros(50, dtype=bool))
    assert (len(twins), is_cut) == (100, True)
    # the same bytes are one picture to begin with
    same = replace(decoded, digests=("x",) * 50)
    assert find_twins(same, hashes, np.zeros(50, dtype=bool)) == ([], False)
    assert same_bytes(same) == [list(range(50))]


def test_no_images_have_no_twins():
    decoded = decoded_of(np.zeros((0, 64, 64), dtype=np.uint8), [])
    hashes = np.zeros((0, 4), dtype=np.uint64)
    assert find_twins(decoded, hashes, np.zeros(0, dtype=bool)) == ([], False)


def test_too_few_images_are_not_judged_by_how_they_lie(tmp_path):
    root = write_synthetic(tmp_path, patients=4, size_px=64, layout="nih14", workers=1)
    path = next((root / "images").iterdir())
    Image.open(path).rotate(90).save(path)
    kinds, _ = kinds_of(root)
    assert "rotated" not in kinds


def test_speed_is_measured_on_files_that_are_there(tree):
    names = [name(tree, path) for path in frontals(tree)]
    speed = measure_speed([*names, "none.jpg", "../out.jpg"], tree, 0.5)
    assert speed.read_files == len(names)
    assert speed.files_per_s > 0
    assert speed.decoded_per_s > 0
    assert measure_speed(["none.jpg"], tree).read_files == 0


def test_the_time_to_prepare_is_that_of_the_slower_of_reading_and_decoding(tree):
    speed = measure_speed([], tree)
    slow_disk = replace(speed, files_per_s=100.0, decoded_per_s=80.0)
    # 2 cores decode 160 a second, the disk gives 100: 1000 images take 10 s
    assert disk_of(slow_disk, num_images=1000, mean_bytes=1e4, cores=2).prepare_s == 10.0
    assert disk_of(slow_disk, num_images=1000, mean_bytes=1e4, cores=1).prepare_s == 12.5
    nothing = disk_of(speed, num_images=1000, mean_bytes=1e4, cores=1)
    assert nothing.to_json()["prepare_s"] is None
    assert nothing.total_bytes == 10_000_000


def test_a_disk_too_small_for_the_cache_is_told(tree, monkeypatch):
    usage = shutil.disk_usage(tree)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    kinds, report = kinds_of(tree)
    assert kinds["cache-too-large"].severity == "notice"
    assert "FEDCXR_HOME" in kinds["cache-too-large"].mend
    assert report.is_clean


def squares_of(sample_data, folder):
    dataset = read_dataset(sample_data / folder)
    root = dataset.root
    return (
        np.stack([decode(root / record.path, 64) for record in dataset.records]),
        [record.patient_id for record in dataset.records],
        [root / record.path for record in dataset.records],
    )


def saved(picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    return decode_bytes(buffer.getvalue(), 64)


COPIES = {
    "JPEG 90": lambda p: saved(p, format="JPEG", quality=90),
    "JPEG 50": lambda p: saved(p, format="JPEG", quality=50),
    "half the size": lambda p: saved(p.resize((p.width // 2, p.height // 2)), format="PNG"),
    "twice the size": lambda p: saved(p.resize((p.width * 2, p.height * 2)), format="PNG"),
    "brighter": lambda p: saved(ImageEnhance.Brightness(p).enhance(1.15), format="PNG"),
    "darker": lambda p: saved(ImageEnhance.Brightness(p).enhance(0.8), format="PNG"),
}


@pytest.mark.real
@pytest.mark.parametrize("folder", ["nih14", "nih14_64px", "chexpert_layout_nih_pixels"])
def test_copies_of_real_images_are_found_and_nothing_else(sample_data, folder):
    squares, patients, paths = squares_of(sample_data, folder)
    every = 12
    pictures = [Image.open(path).convert("RGB").convert("L") for path in paths[::every]]
    made = np.stack([copy(picture) for picture in pictures for copy in COPIES.values()])
    everything = np.concatenate([squares, made])
    decoded = decoded_of(everything, [*patients, *("copy" for _ in made)])
    hashes = hash_squares(everything.astype(np.float32))
    skip = np.zeros(len(everything), dtype=bool)
    twins, _ = find_twins(decoded, hashes, skip)
    originals = {(t.first, t.second) for t in twins if t.correlation >= SAME_CORRELATION}
    expected = {
        (every * i, len(squares) + len(COPIES) * i + k)
        for i in range(len(pictures))
        for k in range(len(COPIES))
    }
    assert len(originals & expected) >= 0.99 * len(expected)
    # whatever else is found is two copies of one image, never two radiographs
    assert {origin(t.first, len(squares), every) for t in twins} == {
        origin(t.second, len(squares), every) for t in twins
    }
    assert all(
        origin(t.first, len(squares), every) == origin(t.second, len(squares), every) for t in twins
    )
    skip[len(squares) :] = True
    assert find_twins(decoded, hashes, skip) == ([], False)


def origin(position, num_originals, every):
    if position < num_originals:
        return position
    return every * ((position - num_originals) // len(COPIES))


@pytest.mark.real
@pytest.mark.parametrize(
    ("folder", "least"),
    [("nih14", 0.97), ("nih14_64px", 0.94), ("chexpert_layout_nih_pixels", 0.97)],
)
def test_turned_real_images_are_found_and_no_other(sample_data, folder, least):
    squares, patients, _ = squares_of(sample_data, folder)
    found = turned = 0
    for part, turn in enumerate((1, 2, 3)):
        some = np.arange(len(squares)) % 10 == part
        mixed = squares.copy()
        mixed[some] = np.rot90(squares[some], turn, axes=(1, 2))
        scores = turn_scores(orientation_maps(mixed.astype(np.float32)), patients)
        is_found = scores.max(axis=1) - scores[:, 0] > TURNED_MARGIN
        assert not is_found[~some].any()
        found, turned = found + is_found[some].sum(), turned + some.sum()
    assert found >= least * turned
    scores = turn_scores(orientation_maps(squares.astype(np.float32)), patients)
    assert (scores.argmax(axis=1) == 0).all()
