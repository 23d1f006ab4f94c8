import hashlib
import json
import multiprocessing
import os
import pickle

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fedcxr.data.cache.store import build_cache, open_cache, verify_cache
from fedcxr.data.images.decode import decode
from fedcxr.errors import ArtefactError, DataError


def make_images(folder, count=5):
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    items = []
    for number in range(count):
        pixels = rng.integers(0, 255, (40, 48), dtype=np.uint8)
        name = f"images/{number}.{'png' if number % 2 else 'jpg'}"
        Image.fromarray(pixels).save(folder / name)
        items.append((f"{number:016x}", name))
    return items


def build(items, root, **options):
    defaults = {"size_px": 32, "max_bad_fraction": 0.0, "workers": 2}
    return build_cache(items, root, **(defaults | options))


def build_in_another_process(items, root, folder, queue):
    queue.put(build(items, root, folder=folder).digest)


def test_a_row_of_the_cache_is_the_decoded_image(tmp_path):
    items = make_images(tmp_path)
    cache = build(items, tmp_path)
    assert cache.images.shape == (5, 32, 32)
    for image_id, path in items:
        (row,) = cache.rows([image_id])
        np.testing.assert_array_equal(cache.images[row], decode(tmp_path / path, 32))


def test_the_images_are_read_only(tmp_path):
    cache = build(make_images(tmp_path), tmp_path)
    with pytest.raises(ValueError, match="read-only"):
        cache.images[0] = 0


def test_order_of_items_and_number_of_workers_do_not_matter(tmp_path):
    items = make_images(tmp_path, 9)
    one = build(items, tmp_path, workers=1, folder=tmp_path / "one")
    two = build(items[::-1], tmp_path, workers=3, folder=tmp_path / "two")
    assert one.digest == two.digest
    assert one.row_by_id == two.row_by_id
    np.testing.assert_array_equal(one.images, two.images)


def test_a_whole_cache_is_opened_and_not_built_again(tmp_path):
    items, calls = make_images(tmp_path), []
    first = build(items, tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (5, 5)
    made = (first.folder / "images.u8").stat().st_mtime_ns
    again = build(items, tmp_path, progress=lambda done, total: pytest.fail("decoded again"))
    assert again.folder == first.folder
    assert (again.folder / "images.u8").stat().st_mtime_ns == made


def test_another_size_or_a_changed_file_makes_another_cache(tmp_path):
    items = make_images(tmp_path)
    digests = {build(items, tmp_path).digest, build(items, tmp_path, size_px=33).digest}
    Image.new("L", (9, 9), 7).save(tmp_path / items[1][1])
    digests.add(build(items, tmp_path).digest)
    assert len(digests) == 3


def test_a_cache_travels_to_another_process_as_its_folder(tmp_path):
    cache = build(make_images(tmp_path), tmp_path)
    text = pickle.dumps(cache)
    assert len(text) < 1000
    np.testing.assert_array_equal(pickle.loads(text).images, cache.images)


def test_corrupt_and_missing_files_are_quarantined_by_name(tmp_path):
    # row 6 of the bad-input table
    # row 9 of the bad-input table
    items = make_images(tmp_path, 10)
    (tmp_path / items[0][1]).write_bytes(b"")
    whole = (tmp_path / items[2][1]).read_bytes()
    (tmp_path / items[2][1]).write_bytes(whole[: len(whole) // 2])
    (tmp_path / items[3][1]).unlink()
    cache = build(items, tmp_path, max_bad_fraction=0.3)
    reasons = {image_id: reason for image_id, _, reason in cache.bad}
    assert list(reasons) == [items[0][0], items[2][0], items[3][0]]
    assert reasons[items[0][0]] == "empty file (0 bytes)"
    assert "truncated" in reasons[items[2][0]]
    assert reasons[items[3][0]] == "missing"
    assert len(cache.row_by_id) == 7
    assert not cache.has(items[0][0])
    # each image has its row from the start; no identifier leads to those of the bad files
    assert cache.images.shape == (10, 32, 32)
    assert not cache.images[[0, 2, 3]].any()
    assert items[2][1] in (cache.folder / "quarantine.csv").read_text()


def test_more_bad_files_than_allowed_stop_with_their_names(tmp_path):
    # row 6 of the bad-input table
    # row 9 of the bad-input table
    items = make_images(tmp_path, 10)
    for _, path in items[:3]:
        (tmp_path / path).write_bytes(b"<html>")
    with pytest.raises(
        DataError, match=r"3 of 10 .*0.2 allows 2: images/0.jpg \(a web page"
    ) as got:
        build(items, tmp_path, max_bad_fraction=0.2)
    assert got.value.exit_code == 3
    with pytest.raises(DataError, match="3 of 10"):  # the same from the cache that is there now
        build(items, tmp_path, max_bad_fraction=0.2)
    assert len(build(items, tmp_path, max_bad_fraction=0.3).bad) == 3


def test_a_folder_without_the_images_stops_before_anything_is_decoded(tmp_path):
    items = [(f"{i:016x}", f"images/{i}.jpg") for i in range(20)]
    with pytest.raises(DataError, match=r"20 of 20 .*missing.* and 10 more"):
        build(items, tmp_path, progress=lambda done, total: pytest.fail("decoded"))


def test_a_link_that_leads_out_of_the_data_folder_is_refused(tmp_path):
    outside, root = tmp_path / "outside", tmp_path / "root"
    make_images(outside)
    items = make_images(root)
    (root / items[0][1]).unlink()
    (root / items[0][1]).symlink_to(outside / items[0][1])
    with pytest.raises(DataError, match="leads out of the data folder"):
        build(items, root)
    (root / "more").symlink_to(outside / "images")
    with pytest.raises(DataError, match="leads out of the data folder"):
        build([("0" * 16, "more/1.png")], root)


def test_links_inside_the_data_folder_are_followed(tmp_path):
    items = make_images(tmp_path)
    (tmp_path / "linked").symlink_to(tmp_path / "images")
    cache = build([("f" * 16, "linked/1.png")], tmp_path)
    assert cache.has("f" * 16)
    assert items


def test_an_image_that_the_cache_does_not_have_is_named(tmp_path):
    cache = build(make_images(tmp_path), tmp_path)
    with pytest.raises(ArtefactError, match="1 images are not in this cache: beef"):
        cache.rows(["0" * 16, "beef"])


def test_one_identifier_for_two_images_is_refused(tmp_path):
    items = make_images(tmp_path)
    with pytest.raises(DataError, match="same identifier"):
        build([items[0], (items[0][0], items[1][1])], tmp_path)
    with pytest.raises(DataError, match="no images"):
        build([], tmp_path)


def truncate_images(folder):
    os.truncate(folder / "images.u8", 100)


def change_index(folder):
    path = folder / "index.csv"
    path.write_text(path.read_text().replace("0,", "1,", 1))


def drop_head(folder):
    (folder / "cache.json").unlink()


def garble_head(folder):
    (folder / "cache.json").write_text('{"size_px": "many"}')


@pytest.mark.parametrize("damage", [truncate_images, change_index, drop_head, garble_head])
def test_a_damaged_cache_is_refused_on_opening_and_rebuilt_at_home(tmp_path, damage):
    items = make_images(tmp_path)
    cache = build(items, tmp_path)
    whole = np.array(cache.images)
    damage(cache.folder)
    with pytest.raises(ArtefactError, match=r"the cache is damaged: .*Delete the folder") as caught:
        open_cache(cache.folder)
    assert caught.value.exit_code == 4
    np.testing.assert_array_equal(build(items, tmp_path).images, whole)


def test_a_named_folder_with_another_cache_is_left_alone(tmp_path):
    items = make_images(tmp_path)
    build(items, tmp_path, folder=tmp_path / "mine")
    with pytest.raises(ArtefactError, match="holds the cache of other images or of another size"):
        build(items[:3], tmp_path, folder=tmp_path / "mine")
    truncate_images(tmp_path / "mine")
    with pytest.raises(ArtefactError, match="damaged"):
        build(items, tmp_path, folder=tmp_path / "mine")


def test_two_builders_at_once_leave_one_whole_cache(tmp_path):
    items = make_images(tmp_path, 30)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    arguments = (items, tmp_path, tmp_path / "cache" / "both", queue)
    builders = [context.Process(target=build_in_another_process, args=arguments) for _ in range(2)]
    for builder in builders:
        builder.start()
    digests = {queue.get(timeout=60) for _ in builders}
    for builder in builders:
        builder.join(timeout=60)
    assert len(digests) == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["both"]
    assert open_cache(tmp_path / "cache" / "both").images.shape == (30, 32, 32)


def test_an_interrupted_build_is_gone_on_with(tmp_path):
    items = make_images(tmp_path)
    whole = build(items, tmp_path, folder=tmp_path / "cache" / "whole")

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(items, tmp_path, folder=tmp_path / "cache" / "mine", progress=interrupt)
    again = build(items, tmp_path, folder=tmp_path / "cache" / "mine")
    np.testing.assert_array_equal(again.images, whole.images)
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["mine", "whole"]


def test_two_files_have_one_content_exactly_if_their_bytes_are_the_same(tmp_path):
    items = make_images(tmp_path)
    (tmp_path / items[1][1]).write_bytes(b"")  # cannot be decoded
    original = (tmp_path / items[0][1]).read_bytes()
    (tmp_path / "copy.png").write_bytes(original)
    for name in ("other", "third"):  # the same pixels and size, and another text beside them
        text = PngInfo()
        text.add_text("name", name)
        Image.open(tmp_path / items[0][1]).save(tmp_path / f"{name}.png", pnginfo=text)
    items += [(name, f"{name}.png") for name in ("copy", "other", "third")]
    contents = build(items, tmp_path, max_bad_fraction=0.5).contents()
    assert set(contents) == set(dict(items)) - {items[1][0]}
    first = items[0][0]
    assert contents["copy"] == contents[first]
    assert len(set(contents.values())) == len(contents) - 1
    for image_id, path in items:
        if image_id in contents:
            digest = hashlib.blake2b((tmp_path / path).read_bytes(), digest_size=16)
            assert contents[image_id] == digest.hexdigest()


def test_the_content_is_that_of_the_file_when_it_was_decoded(tmp_path):
    # nothing is read again: a file may be replaced or gone
    items = make_images(tmp_path)
    cache = build(items, tmp_path)
    before = cache.contents()
    Image.new("L", (9, 9), 7).save(tmp_path / items[1][1])
    (tmp_path / items[2][1]).unlink()
    assert cache.contents() == before
    assert open_cache(cache.folder).contents() == before


def test_a_changed_pixel_changes_the_content_although_size_and_time_are_kept(tmp_path):
    items = make_images(tmp_path)
    path = tmp_path / items[1][1]
    before, stat, size = build(items, tmp_path).contents(), path.stat(), path.stat().st_size
    pixels = np.array(Image.open(path))
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes() + bytes(max(0, size - path.stat().st_size)))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = build(items, tmp_path, folder=tmp_path / "anew").contents()
    assert [one for one in before if before[one] != after[one]] == [items[1][0]]


def test_an_identifier_may_hold_anything(tmp_path):
    (_, path), *_ = make_images(tmp_path)
    cache = build([('a,"b" é', path)], tmp_path)
    assert cache.rows(['a,"b" é']).tolist() == [0]


def test_images_of_joined_data_sets_are_found_by_their_first_folder(tmp_path):
    make_images(tmp_path / "one")
    make_images(tmp_path / "two", 2)
    Image.new("L", (9, 9), 7).save(tmp_path / "two" / "images" / "0.png")
    roots = {"chexpert": tmp_path / "one", "nih14": tmp_path / "two"}
    cache = build([("a", "chexpert/images/1.png"), ("b", "nih14/images/0.png")], roots)
    np.testing.assert_array_equal(cache.images[0], decode(tmp_path / "one/images/1.png", 32))
    assert (cache.images[1] == 7).all()
    with pytest.raises(DataError, match="names none of the data sets chexpert, nih14"):
        build([("a", "images/1.png")], roots)
    with pytest.raises(DataError, match="leads out of the data folder"):
        build([("a", "nih14/../one/images/1.png")], roots)


def test_a_verified_cache_holds_what_was_written(tmp_path):
    items = make_images(tmp_path, 10)
    (tmp_path / items[4][1]).write_bytes(b"")
    cache, steps = build(items, tmp_path, max_bad_fraction=0.1), []
    verify_cache(cache, workers=2, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (10, 10)


@pytest.mark.parametrize("row", [0, 4, 9])  # row 4 is a bad file's: zeros
def test_a_single_changed_pixel_is_found_by_verifying(tmp_path, row):
    items = make_images(tmp_path, 10)
    (tmp_path / items[4][1]).write_bytes(b"")
    cache = build(items, tmp_path, max_bad_fraction=0.1)
    with (cache.folder / "images.u8").open("r+b") as file:
        file.seek(row * 32 * 32 + 500)
        pixel = file.read(1)[0]
        file.seek(row * 32 * 32 + 500)
        file.write(bytes([pixel ^ 1]))
    words = rf"damaged: 1 of 10 images are not what was written: rows {row}. Delete the folder"
    with pytest.raises(ArtefactError, match=words):
        verify_cache(open_cache(cache.folder))


def test_images_that_are_gone_are_found_by_verifying(tmp_path):
    cache = build(make_images(tmp_path), tmp_path)
    (cache.folder / "images.u8").unlink()
    with pytest.raises(ArtefactError, match=r"damaged: .*No such file"):
        verify_cache(cache)


def test_a_cache_of_an_earlier_format_says_so(tmp_path):
    items = make_images(tmp_path)
    cache = build(items, tmp_path, folder=tmp_path / "mine")
    head = json.loads((cache.folder / "cache.json").read_text())
    (cache.folder / "cache.json").write_text(json.dumps({**head, "format": 1}))
    with pytest.raises(ArtefactError, match="its format is 1, this version's is 3"):
        build(items, tmp_path, folder=tmp_path / "mine")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    items = make_images(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtefactError, match=r"mine: the cache cannot be written \(File exists\)"):
        build(items, tmp_path, folder=tmp_path / "file" / "mine")
