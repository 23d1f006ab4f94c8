import contextlib
import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageDraw

from fedcxr.data.labels import CHEXPERT_LABELS
from fedcxr.data.readers.chexlocalize import (
    Rle,
    decode_rle,
    image_key,
    read_annotations,
    read_segmentations,
)
from fedcxr.errors import RecordError

KEY = "patient64541_study1_view1_frontal"


def encode(mask):
    """COCO's code of a mask, after pycocotools' rleToString; run by run, down the columns."""
    flat = mask.T.reshape(-1)
    starts = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *starts, flat.size]).tolist()
    if flat[0]:
        runs.insert(0, 0)
    text = ""
    for i, run in enumerate(runs):
        value = run - runs[i - 2] if i > 2 else run
        while True:
            digit, value = value & 0x1F, value >> 5
            more = value != (-1 if digit & 0x10 else 0)
            text += chr((digit | 0x20 if more else digit) + 48)
            if not more:
                break
    return text


@pytest.fixture
def write(tmp_path):
    def make(content):
        path = tmp_path / "gt.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return make


def test_a_mask_is_decoded_down_its_columns():
    # Runs 1, 3, 2 of a 2 x 3 image: pixels 2 to 4, column by column; one digit each, "0" + run.
    mask = decode_rle(Rle((2, 3), "132"))
    assert mask.tolist() == [[False, True, False], [True, True, False]]
    assert mask.dtype == bool


def test_long_runs_have_several_digits_and_later_ones_are_differences():
    # 100 = 4 + 32 * 3: "T3". The fourth run, 60, is written as 60 - 100 = -40: low digit 24 and
    # more to come, "h"; then -40 >> 5 = -2, its five bits 30 with the sign, "N".
    mask = decode_rle(Rle((262, 1), "2T3T3hN"))[:, 0]
    assert np.flatnonzero(np.diff(mask)).tolist() == [1, 101, 201]
    assert mask.sum() == 100 + 60


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)))
@example(np.ones((3, 4), bool))
@example(np.zeros((70, 70), bool))
def test_what_is_encoded_is_decoded(mask):
    assert (decode_rle(Rle(mask.shape, encode(mask))) == mask).all()


@given(st.text(alphabet=[chr(c) for c in range(40, 120)], max_size=30), st.integers(1, 50))
def test_any_text_is_decoded_or_refused(counts, side):
    with contextlib.suppress(RecordError):
        assert decode_rle(Rle((side, side), counts)).shape == (side, side)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ("", r"fill 0 pixels, not 2 × 3"),
        ("131", "fill 5 pixels"),
        ("133", "fill 7 pixels"),
        ("5O2", "fill 6 pixels"),  # 5, -1, 2: the sum is right, a run is not
        ("1P", "is not a run-length code"),  # the last digit says that more follow
        ("1 2", "is not a run-length code"),
        ("ééé", "is not a run-length code"),
        ("P" * 100 + "1", "is not a run-length code"),
    ],
)
def test_damaged_code_is_refused_with_file_image_and_finding(write, counts, words):
    path = write({KEY: {"Edema": {"size": [2, 3], "counts": counts}}})
    rle = read_segmentations(path)[KEY]["Edema"]
    with pytest.raises(RecordError, match=words) as caught:
        decode_rle(rle)
    assert str(caught.value).startswith(f"{path}: {KEY}: Edema: ")


def test_findings_have_chexperts_names(write):
    found = read_segmentations(write({KEY: {"Airspace Opacity": {"size": [2, 3], "counts": "6"}}}))
    assert [*found[KEY]] == ["Lung Opacity"]
    assert not decode_rle(found[KEY]["Lung Opacity"]).any()


def test_a_key_is_the_end_of_a_records_path():
    path = "chexpert/CheXpert-v1.0 batch 1 (validate & csv)/valid/patient64541/study1/view1_frontal"
    assert image_key(f"{path}.jpg") == KEY


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "not an object of image keys"),
        ("{", "not readable JSON"),
        ('{"a": {}, "a": {}}', "a key is there twice"),
        ("[" * 200_000, "not readable JSON"),
        ("9" * 5000, "not readable JSON"),
        ({KEY: []}, f"{KEY}: not an object"),
        ({KEY: {"Oedema": {}}}, r"'Oedema' \(did you mean 'Edema'\?\) is none of the ten"),
        ({KEY: {"Edema": []}}, f"{KEY}: Edema: no 'size' and 'counts'"),
        ({KEY: {"Edema": {"size": [2, 3], "counts": [1, 3, 2]}}}, "no 'size' and 'counts'"),
        ({KEY: {"Edema": {"size": [2], "counts": "6"}}}, r"the size is \[2\], expected"),
        ({KEY: {"Edema": {"size": [2, 0], "counts": "6"}}}, r"the size is \[2, 0\], expected"),
        ({KEY: {"Edema": {"size": "ab", "counts": "6"}}}, "the size is ab, expected"),
        ({KEY: {"Edema": {"size": [8001, 8000], "counts": "6"}}}, "at most 64 megapixels"),
    ],
)
def test_a_file_of_another_form_is_refused(write, content, words):
    with pytest.raises(RecordError, match=words) as caught:
        read_segmentations(write(content))
    assert "gt.json" in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path, write, monkeypatch):
    with pytest.raises(RecordError, match=r"cannot be read \(No such file"):
        read_segmentations(tmp_path / "absent.json")
    (tmp_path / "gt.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(RecordError, match="not readable JSON"):
        read_segmentations(tmp_path / "gt.json")
    monkeypatch.setattr("fedcxr.data.readers.chexlocalize.MAX_FILE_BYTES", 1)
    with pytest.raises(RecordError, match="larger than 1 GiB"):
        read_segmentations(write({}))


def test_contours_are_points_of_x_and_y(write):
    path = write({KEY: {"img_size": [20, 30], "Airspace Opacity": [[[1, 2.5], [30, 20], [0, 0]]]}})
    annotation = read_annotations(path)[KEY]
    assert annotation.size == (20, 30)
    assert [*annotation.contours] == ["Lung Opacity"]
    (contour,) = annotation.contours["Lung Opacity"]
    assert contour.tolist() == [[1, 2.5], [30, 20], [0, 0]]


@pytest.mark.parametrize(
    ("contours", "words"),
    [
        ([[[20, 25]]], "contour 0 leaves the image of 20 × 30 pixels"),
        ([[[1, 1]], [[-2, 1]]], "contour 1 leaves the image"),
        ([[[1, 1, 1]]], "contour 0 is not a list of points"),
        ([[]], "contour 0 is not a list of points"),
        ([[["a", 1]]], "contour 0 is not a list of points"),
        ([[[float("nan"), 1]]], "contour 0 is not a list of points"),
        ([[[float("inf"), 1]]], "contour 0 is not a list of points"),
        ([[[10**400, 1]]], "contour 0 is not a list of points"),
        ({}, "not a list of contours"),
    ],
)
def test_contours_of_another_form_are_refused(write, contours, words):
    path = write({KEY: {"img_size": [20, 30], "Edema": contours}})
    with pytest.raises(RecordError, match=words) as caught:
        read_annotations(path)
    assert str(caught.value).startswith(f"{path}: {KEY}: Edema: ")


def test_an_annotation_needs_the_images_size(write):
    with pytest.raises(RecordError, match="img_size: the size is None, expected"):
        read_annotations(write({KEY: {"Edema": []}}))


@pytest.mark.real
def test_the_samples_masks_are_their_contours_filled(sample_data):
    folder = sample_data / "chexlocalize_format"
    masks = read_segmentations(folder / "gt_segmentations_val.json")
    assert {len(found) for found in masks.values()} == {10}
    assert set(masks[KEY]) <= set(CHEXPERT_LABELS)
    for key, annotation in read_annotations(folder / "gt_annotations_val.json").items():
        for label, rle in masks[key].items():
            drawn = Image.new("1", annotation.size[::-1])
            for contour in annotation.contours.get(label, ()):
                ImageDraw.Draw(drawn).polygon([tuple(point) for point in contour], fill=1)
            # PIL fills a polygon as the authors' masks do: not a pixel differs
            assert (decode_rle(rle) == np.array(drawn)).all()


@pytest.mark.real
def test_the_samples_saliency_masks_are_read(sample_data):
    path = sample_data / "chexlocalize_format" / "gradcam_segmentations_val_sample.json"
    masks = read_segmentations(path)
    assert [len(found) for found in masks.values()] == [10, 10]
    for found in masks.values():
        for rle in found.values():
            mask = decode_rle(rle)
            assert 0 < mask.sum() < mask.size
            assert encode(mask) == rle.counts
