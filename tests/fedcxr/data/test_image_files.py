import pytest

from fedcxr.data.cache.store import build_cache
from fedcxr.data.image_files import ending_hint, only_paths
from fedcxr.data.paths import Fence
from fedcxr.errors import DataError


def test_the_first_path_is_taken_where_the_others_are_the_same_file(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").hardlink_to(tmp_path / "a.png")
    (tmp_path / "c.png").symlink_to("a.png")
    assert only_paths(tmp_path, [["a.png", "b.png", "c.png"], ["none.png"]]) == [
        "a.png",
        "none.png",
    ]


def test_two_files_are_counted_and_the_first_two_named(tmp_path):
    for name in "abc":
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"2 images are there twice.*: the first is a or b\. Move"):
        only_paths(tmp_path, [["a", "b"], ["c", "a"]])


@pytest.mark.parametrize("there", ["x.png", "x.PNG", "x.jpeg", "x.dcm", "x.DICOM"])
def test_a_missing_file_is_looked_for_under_other_endings(tmp_path, there):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / there).touch()
    hint = ending_hint(["images/gone.jpg", "images/x.jpg"], Fence(tmp_path))
    assert hint.startswith(
        f" In place of images/x.jpg there is images/{there}: correct the endings"
    )
    assert f"there is images/{there}" in ending_hint(["images/x"], Fence(tmp_path))
    assert ending_hint(["images/gone.jpg", f"images/{there}"], Fence(tmp_path)) == ""


def test_only_the_first_few_are_looked_up(tmp_path):
    (tmp_path / "x.png").touch()
    gone = [f"{number}.jpg" for number in range(10)]
    assert ending_hint([*gone, "x.jpg"], Fence(tmp_path)) == ""
    assert ending_hint([*gone[1:], "x.jpg"], Fence(tmp_path)) != ""


def test_whoever_misses_an_image_is_told_of_the_other_ending(tmp_path):
    (tmp_path / "x.png").touch()
    with pytest.raises(DataError, match=r"x\.jpg \(missing\).* In place of x\.jpg there is x\.png"):
        build_cache([("a", "x.jpg")], tmp_path, size_px=8, max_bad_fraction=0.0, workers=1)
