import csv
import multiprocessing
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from fedcxr.config.data import DataConfig
from fedcxr.config.load import load_config
from fedcxr.data.cache.store import build_cache
from fedcxr.data.dataset import RadiographDataset
from fedcxr.data.images.decode import decode
from fedcxr.data.labels import CHEXPERT_LABELS
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.data.tokens import Tokens, load_key
from fedcxr.errors import ArtefactError, ConfigError, DataError, LeakError
from partitions.prepare import prepare

NAN = float("nan")
COLUMNS = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS]
FRONTAL, LATERAL = "view1_frontal.jpg", "view2_lateral.jpg"
TRAIN = {  # path below the folder: Cardiomegaly, Edema, Pneumonia
    f"train/patient00001/study1/{FRONTAL}": ("1.0", "0.0", "-1.0"),
    f"train/patient00001/study1/{LATERAL}": ("1.0", "0.0", "-1.0"),
    f"train/patient00001/study2/{FRONTAL}": ("-1.0", "", "1.0"),
    f"train/patient00002/study1/{FRONTAL}": ("", "1.0", "0.0"),
    f"train/patient00003/study1/{FRONTAL}": ("0.0", "-1.0", ""),
}
VALID = {f"valid/patient64541/study1/{FRONTAL}": ("0.0", "1.0", "0.0")}
LABELS = ("Cardiomegaly", "Edema", "Pneumonia")


def write_rows(csv_path, rows):
    with csv_path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for path, states in rows.items():
            is_lateral = path.endswith(LATERAL)
            views = ("Lateral", "") if is_lateral else ("Frontal", "AP")
            shown = {"Path": f"CheXpert-v1.0-small/{path}", "Sex": "Female", "Age": 60}
            shown |= dict(zip(("Frontal/Lateral", "AP/PA"), views, strict=True))
            writer.writerow(shown | dict(zip(LABELS, states, strict=True)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """CheXpert's layout with five train images of three patients and one valid image."""
    root = tmp_path_factory.mktemp("hand-made") / "CheXpert-v1.0-small"
    rng = np.random.default_rng(0)
    for path in (*TRAIN, *VALID):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (48, 56), dtype=np.uint8)).save(root / path)
    write_rows(root / "train.csv", TRAIN)
    write_rows(root / "valid.csv", VALID)
    return root


@pytest.fixture(scope="module")
def train(folder):
    return RadiographDataset.from_folder(str(folder), size_px=32, data=DataConfig(labels=LABELS))


def copy_of(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / folder.name))


def same(one, two):
    """Whether two items or batches are equal, unknown targets included."""
    return (
        torch.equal(one.image, two.image)
        and torch.equal(one.target.nan_to_num(-9.0), two.target.nan_to_num(-9.0))
        and one.image_id == two.image_id
    )


def test_an_item_is_the_decoded_file_with_its_targets(folder, train):
    # uncertain is not known and blank is 0, as they are by default; the lateral view is left out
    expected = [[1, 0, NAN], [NAN, 0, 1], [0, 1, 0], [0, NAN, 0]]
    paths = [path for path in TRAIN if path.endswith(FRONTAL)]
    tokens = Tokens(load_key())
    assert len(train) == 4
    assert train.labels == LABELS
    for item, path, target in zip(train, paths, expected, strict=True):
        pixels = decode(folder / path, 32)
        assert item.image.shape == (1, 32, 32)
        assert item.image.dtype == torch.float32
        np.testing.assert_array_equal(item.image[0].numpy(), np.float32(pixels) / np.float32(255))
        np.testing.assert_array_equal(item.target.numpy(), np.array(target, dtype=np.float32))
        assert item.image_id == tokens.image(path)


def test_eight_bit_images_are_the_pixels_of_the_file(folder):
    dataset = RadiographDataset.from_folder(folder, size_px=32, dtype=torch.uint8)
    first = decode(folder / next(iter(TRAIN)), 32)
    assert dataset[0].image.dtype == torch.uint8
    np.testing.assert_array_equal(dataset[0].image[0].numpy(), first)


def test_the_official_splits_views_and_policies_are_a_choice(folder):
    def read(split="train", **options):
        data = DataConfig(labels=("Pneumonia",), **options)
        return RadiographDataset.from_folder(folder, size_px=32, split=split, data=data)

    assert [len(read(split)) for split in ("train", "test", None)] == [4, 1, 5]
    assert [len(read(split, views="all")) for split in ("train", "test", None)] == [5, 1, 6]
    ones = read(uncertain="ones", blank_by_label={"Pneumonia": "ignore"})
    np.testing.assert_array_equal(ones.target[:, 0], np.float32([1, 1, 0, NAN]))
    assert len(set(ones.patient_ids)) == 3  # of which the first has two images


def test_a_held_out_split_has_the_truth_and_no_made_up_targets(folder, tmp_path):
    hedged = {path: ("-1.0", "1.0", "") for path in VALID}
    root = copy_of(folder, tmp_path)
    write_rows(root / "valid.csv", hedged)

    def target(split):
        data = DataConfig(labels=LABELS, uncertain="multi_class")
        return RadiographDataset.from_folder(root, size_px=32, split=split, data=data).target

    np.testing.assert_array_equal(target("test"), np.float32([[NAN, 1, 0]]))
    np.testing.assert_array_equal(target("train")[0], np.float32([1, 0, 2]))


def test_smoothed_targets_follow_from_the_seed(folder):
    def target(seed):
        data = DataConfig(labels=("Pneumonia",), uncertain="smoothed")
        return RadiographDataset.from_folder(folder, size_px=32, data=data, seed=seed).target

    assert 0.55 <= target(0)[0, 0] < 0.85
    np.testing.assert_array_equal(target(0), target(0))
    assert target(0)[0, 0] != target(1)[0, 0]


def test_a_split_that_is_not_there_is_refused(folder):
    with pytest.raises(DataError, match=r"no images of an official split 'val'; .*'test', 'train'"):
        RadiographDataset.from_folder(folder, size_px=32, split="val")


def test_official_splits_that_share_a_patient_are_refused_as_every_command_does(folder, tmp_path):
    root = Path(shutil.copytree(folder, tmp_path / "leaky"))
    shared = f"valid/patient1/study9/{FRONTAL}"  # of train's patient00001
    (root / shared).parent.mkdir(parents=True)
    shutil.copyfile(root / next(iter(VALID)), root / shared)
    write_rows(root / "valid.csv", {shared: ("0.0", "1.0", "0.0")})
    for split in ("train", "test"):
        with pytest.raises(LeakError, match="1 patients are in the official train set and in the"):
            RadiographDataset.from_folder(root, size_px=32, split=split)
    assert RadiographDataset.from_folder(root, size_px=32, split=None)
    with pytest.raises(LeakError, match="1 patients are in the official train set and in the"):
        prepare(load_config(overrides={"data.root": str(root), "model.image_size": 32}))


def test_linked_images_are_read_where_the_settings_say_so(folder, tmp_path):
    root = Path(shutil.copytree(folder, tmp_path / "linked"))
    (root / "train").rename(tmp_path / "large-disk")
    (root / "train").symlink_to(tmp_path / "large-disk")
    with pytest.raises(DataError, match=r"data\.follow_links"):
        RadiographDataset.from_folder(root, size_px=32)
    data = DataConfig(follow_links=True)
    assert len(RadiographDataset.from_folder(root, size_px=32, data=data)) == 4


def test_nothing_names_a_patient_of_the_source(train):
    told = repr((train.image_ids, train.patient_ids, list(train)))
    assert not re.search(r"patient[0-9]", told)
    assert "view1" not in told


def test_the_second_call_decodes_nothing(folder, train):
    made = (train.cache.folder / "cache.json").stat().st_mtime_ns
    again = RadiographDataset.from_folder(folder, size_px=32, data=DataConfig(labels=LABELS))
    assert again.cache.folder == train.cache.folder
    assert (again.cache.folder / "cache.json").stat().st_mtime_ns == made
    assert all(same(one, two) for one, two in zip(train, again, strict=True))


def test_an_unreadable_image_is_left_out(folder, tmp_path):
    root = copy_of(folder, tmp_path)
    (root / f"train/patient00002/study1/{FRONTAL}").write_bytes(b"")
    with pytest.raises(DataError, match="1 of 5 image files cannot be read"):
        RadiographDataset.from_folder(root, size_px=32)
    data = DataConfig(max_bad_fraction=0.5)
    dataset = RadiographDataset.from_folder(root, size_px=32, data=data)
    assert len(dataset) == 3
    assert len(set(dataset.patient_ids)) == 2
    assert [reason for _, _, reason in dataset.cache.bad] == ["empty file (0 bytes)"]


def test_the_cache_is_the_one_that_a_run_makes(tmp_path):
    root = write_synthetic(tmp_path, patients=30, size_px=32)
    wanted = {"data.root": str(root), "model.image_size": 32, "partition.clients": 2}
    prepared = prepare(load_config(overrides=wanted))
    for split in ("train", "test"):
        dataset = RadiographDataset.from_folder(root, size_px=32, split=split)
        assert dataset.cache.folder == prepared.cache


def test_joined_folders_are_one_data_set_and_a_label_that_one_lacks_is_not_known(tmp_path):
    # NIH ChestX-ray14 has no Fracture, and its images are those with names of eight digits
    roots = [
        write_synthetic(tmp_path / layout, patients=8, size_px=32, layout=layout)
        for layout in ("chexpert", "nih14")
    ]
    data = DataConfig(labels=("Edema", "Fracture"), uncertain="zeros")
    joined = RadiographDataset.from_folder(roots, size_px=32, split=None, data=data)
    alone = RadiographDataset.from_folder(
        roots[1], size_px=32, split=None, data=DataConfig(labels=("Edema",))
    )
    lacks_fracture = np.isnan(joined.target[:, 1])
    assert not np.isnan(joined.target[:, 0]).any()
    assert np.count_nonzero(lacks_fracture) == len(alone) < len(joined)
    np.testing.assert_array_equal(joined.target[lacks_fracture, 0], alone.target[:, 0])
    ours = np.flatnonzero(lacks_fracture).tolist()
    for one, other in zip(joined.__getitems__(ours), alone, strict=True):
        assert torch.equal(one.image, other.image)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_items_fetched_together_are_those_fetched_one_by_one(folder, dtype):
    data = DataConfig(views="all")
    dataset = RadiographDataset.from_folder(folder, size_px=32, dtype=dtype, data=data)
    together = dataset.__getitems__([3, 0, 3, -1])
    apart = [dataset[index] for index in (3, 0, 3, 4)]
    assert all(same(one, two) for one, two in zip(together, apart, strict=True))
    assert dataset.__getitems__([]) == []
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_writing_into_an_item_changes_nothing_else(train):
    before = train[0].target.clone()
    item = train[0]
    item.image.zero_()
    item.target.fill_(7.0)
    assert train[0].image.max() > 0
    torch.testing.assert_close(train[0].target, before, equal_nan=True)


def double(image):
    return image * 2


def test_a_transform_is_applied_to_each_image(folder, train):
    data = DataConfig(labels=LABELS)
    dataset = RadiographDataset.from_folder(folder, size_px=32, data=data, transform=double)
    torch.testing.assert_close(dataset[1].image, train[1].image * 2)
    torch.testing.assert_close(dataset.__getitems__([2])[0].image, train[2].image * 2)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Twenty images whose every pixel, target and name is their number."""
    root = tmp_path_factory.mktemp("numbered")
    items = []
    for number in range(20):
        Image.new("L", (8, 8), number).save(root / f"{number}.png")
        items.append((f"{number:016x}", f"{number}.png"))
    cache = build_cache(
        items, root, size_px=8, max_bad_fraction=0.0, workers=1, folder=root / "cache"
    )
    # not in the cache's order
    numbers = np.random.default_rng(1).permutation(20)
    return RadiographDataset(
        cache,
        [items[number][0] for number in numbers],
        numbers[:, None].astype(np.float32),
        labels=["number"],
        dtype=torch.uint8,
    )


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_gives_every_image_once_with_its_own_target(numbered, num_workers):
    def shuffled(seed):
        generator = torch.Generator().manual_seed(seed)
        return DataLoader(
            numbered, batch_size=6, shuffle=True, generator=generator, num_workers=num_workers
        )

    batches = list(shuffled(0))
    assert [len(batch.image_id) for batch in batches] == [6, 6, 6, 2]
    for image, target, image_id in batches:
        assert image.shape == (len(image_id), 1, 8, 8)
        numbers = [int(name, 16) for name in image_id]
        assert image[:, 0, 3, 3].tolist() == numbers
        assert target[:, 0].tolist() == numbers
    order = [name for batch in batches for name in batch.image_id]
    assert sorted(order) == sorted(numbered.image_ids)
    assert order != list(numbered.image_ids)
    assert [name for batch in shuffled(0) for name in batch.image_id] == order
    assert [name for batch in shuffled(1) for name in batch.image_id] != order


def first_id(dataset, queue):
    queue.put((dataset[0].image_id, dataset[0].image.sum().item()))


def test_it_travels_to_another_process_without_its_images(numbered):
    text = pickle.dumps(numbered)
    assert len(text) < 4000  # the images are 1,280 bytes, the names of 20 images 320
    assert numbered.cache.images.tobytes() not in text
    assert all(same(one, two) for one, two in zip(pickle.loads(text), numbered, strict=True))
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=first_id, args=(numbered, queue))
    process.start()
    assert queue.get(timeout=60) == (numbered[0].image_id, numbered[0].image.sum().item())
    process.join(timeout=60)


@pytest.mark.real
def test_real_radiographs_come_out_of_a_loader(sample_data):
    for name in ("nih14", "chexpert_layout_nih_pixels"):
        train, test = (
            RadiographDataset.from_folder(sample_data / name, size_px=64, split=split)
            for split in ("train", "test")
        )
        assert set(train.patient_ids).isdisjoint(test.patient_ids)
        image, target, image_id = next(iter(DataLoader(train, batch_size=16)))
        assert image.shape == (16, 1, 64, 64)
        assert target.shape == (16, 14)
        assert tuple(image_id) == train.image_ids[:16]
        assert 0.2 < float(image.mean()) < 0.8  # neither black nor white


def loaded_by(code):
    """Return the packages that a new interpreter has loaded after `code`."""
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_it_is_there_without_flower_and_nothing_else_needs_torch():
    notebook = loaded_by("from fedcxr.data import RadiographDataset")
    assert "torch" in notebook
    assert notebook.isdisjoint({"flwr", "ray"})
    assert "torch" not in loaded_by("import fedcxr.data.policies, partitions.prepare")


def test_what_does_not_fit_together_is_refused(numbered):
    cache, ids = numbered.cache, numbered.image_ids
    with pytest.raises(ConfigError, match=r"20 images and 2 labels need a target of \(20, 2\)"):
        RadiographDataset(cache, ids, numbered.target, labels=["a", "b"])
    with pytest.raises(ConfigError, match="a patient of each image or none, not 1"):
        RadiographDataset(cache, ids, numbered.target, labels=["a"], patient_ids=["p"])
    with pytest.raises(ConfigError, match=r"float16: give torch.float32 or torch.uint8"):
        RadiographDataset(cache, ids, numbered.target, labels=["a"], dtype=torch.float16)
    with pytest.raises(ArtefactError, match="1 images are not in this cache: beef"):
        RadiographDataset(cache, ["beef"], numbered.target[:1], labels=["a"])
