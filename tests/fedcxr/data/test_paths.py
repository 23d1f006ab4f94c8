import os
from pathlib import Path

import pytest

from fedcxr.data.paths import Fence, Roots
from fedcxr.data.read import read_dataset
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.errors import DataError


@pytest.fixture
def linked(tmp_path):
    """A data folder whose images/ is a link to another disk, and one image a link by itself."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/x.png").write_bytes(b"12345")
    root = tmp_path / "root"
    root.mkdir()
    (root / "images").symlink_to(tmp_path / "disk")
    (root / "y.png").symlink_to(tmp_path / "disk/x.png")
    return root


def roots(folder, **options):
    return Roots({"": folder}, **options)


@pytest.mark.parametrize("path", ["images/x.png", "y.png"])
def test_a_link_that_leads_out_is_refused_with_the_setting_that_allows_it(linked, path):
    # row 10 of the bad-input table
    with pytest.raises(
        DataError, match=r"by a symbolic link\. Let .*data\.follow_links, --follow-l"
    ):
        Fence(roots(linked)).stat(path)
    assert Fence(roots(linked, follow_links=True)).stat(path).st_size == 5
    assert Fence(roots(linked, follow_links=True)).file(path).read_bytes() == b"12345"


def test_a_folder_that_no_setting_belongs_to_is_fenced_all_the_same(linked):
    with pytest.raises(
        DataError, match=r"by a symbolic link\. Copy the file into the data folder\."
    ):
        Fence(linked).stat("y.png")


@pytest.mark.parametrize("path", ["../disk/x.png", "images/../../disk/x.png", "/etc/passwd", "~/x"])
def test_a_path_that_climbs_is_refused_whatever_links_may_do(linked, path):
    # row 10 of the bad-input table
    for follow_links in (False, True):
        with pytest.raises(DataError, match=r"by '\.\.' or an absolute path"):
            Fence(roots(linked, follow_links=follow_links)).stat(path)


def test_each_of_several_folders_is_fenced(linked, tmp_path):
    both = Roots({"one": linked, "two": tmp_path / "disk"}, follow_links=True)
    assert [Fence(both).stat(path).st_size for path in ("one/images/x.png", "two/x.png")] == [5, 5]
    with pytest.raises(DataError, match="names none of the data sets one, two"):
        Fence(both).stat("three/x.png")
    assert (dict(both), len(both)) == ({"one": linked, "two": tmp_path / "disk"}, 2)


@pytest.mark.parametrize("follow_links", [False, True])
def test_what_no_file_can_be_is_not_there(linked, follow_links):
    fence = Fence(roots(linked, follow_links=follow_links))
    (linked / "loop").symlink_to("loop")
    (linked / "gone").symlink_to("nowhere")
    assert [fence.stat(path) for path in ("loop", "loop/x", "gone", "no/x", "x" * 300)] == [
        None
    ] * 5
    assert fence.stat("images" if follow_links else ".") is None  # a folder


def test_the_images_folder_of_a_data_set_may_be_a_link(tmp_path):
    root = write_synthetic(tmp_path / "nih", patients=5, size_px=32, layout="nih14", workers=1)
    os.rename(root / "images", tmp_path / "large-disk")
    (root / "images").symlink_to(tmp_path / "large-disk")
    path = read_dataset(root).records[0].path
    assert path.startswith("images/")
    with pytest.raises(DataError, match="--follow-links"):
        Fence(read_dataset(root).files).stat(path)
    followed = read_dataset(root, follow_links=True)
    assert followed.records == read_dataset(root).records
    assert all(Fence(followed.files).stat(record.path) for record in followed.records)


def test_joined_data_sets_follow_links_too(tmp_path):
    folders = [
        write_synthetic(tmp_path / layout, patients=5, size_px=32, layout=layout, workers=1)
        for layout in ("chexpert", "nih14")
    ]
    assert read_dataset(folders, follow_links=True).files == Roots(
        {"chexpert": Path(folders[0]), "nih14": Path(folders[1])}, follow_links=True
    )
