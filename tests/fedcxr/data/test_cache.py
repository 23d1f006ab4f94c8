import multiprocessing
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from fedcxr.data.cache import build_cache, open_cache
from fedcxr.data.images import decode
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
    assert cache.images.shape[0] == 7
    assert not cache.has(items[0][0])
    assert items[2][1] in (cache.folder / "quarantine.csv").read_text()


def test_more_bad_files_than_allowed_stop_with_their_names(tmp_path):
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


def test_an_interrupted_build_leaves_nothing(tmp_path):
    items = make_images(tmp_path)

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(items, tmp_path, folder=tmp_path / "cache" / "mine", progress=interrupt)
    assert list((tmp_path / "cache").iterdir()) == []
