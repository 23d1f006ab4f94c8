import importlib
import shutil
from collections import Counter
from pathlib import Path

import pytest

from fedcxr.config import load_config
from fedcxr.data.read import read_dataset
from fedcxr.data.readers import site_folder
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.data.tokens import load_key
from fedcxr.errors import LeakError
from fedcxr.runs.folder import RunFolder
from partitions.plan import make_partition
from partitions.prepare import prepare
from partitions.table import read_table
from server.job import ComputePlan


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "data"
    return write_synthetic(folder, patients=40, size_px=48, layout="chexpert", seed=0)


@pytest.fixture
def tree(source, tmp_path):
    return shutil.copytree(source, tmp_path / "CheXpert-v1.0-small")


def resolve(tree, **more):
    overrides = {"data.root": str(tree), "partition.clients": 2, "model.image_size": 32}
    return load_config(overrides=overrides | more)


def frontal(tree, split):
    records = read_dataset(tree, views="frontal").records
    return [record for record in records if record.split == split]


def copy(tree, of, to):
    shutil.copyfile(tree / of.path, tree / to.path)


def complaint(config):
    """Return what is said of the images of a partition folder, or nothing."""
    try:
        prepare(config)
    except LeakError as err:
        return str(err).partition(": ")[2].partition(" (")[0]
    return ""


def test_a_copy_inside_train_is_left_out_of_every_site(tree):
    train = frontal(tree, "train")
    copy(tree, of=train[0], to=train[-1])
    prepared = prepare(resolve(tree))
    assert "Copies of image files left out: 1; of another patient: 1." in prepared.notes
    held = [read_table(prepared.plan.site_csv(s.site_id)) for s in prepared.plan.sites]
    held.append(read_table(prepared.plan.val_csv))
    assert sum(map(len, held)) == len(train) - 1


def test_the_notes_say_what_became_of_the_valid_set(tree):
    used = "The test set is valid.csv, the official valid set; it is never used to choose."
    assert used in prepare(resolve(tree)).notes
    crossed = prepare(resolve(tree, **{"partition.folds": 4})).notes
    assert used not in crossed
    assert "Left out of the cross-validation: valid.csv, the official valid set." in crossed
    assert any(note.startswith("The test set is fold 0 of 0 to 3: ") for note in crossed)
    header = (tree / "valid.csv").read_text().splitlines()[0]
    (tree / "valid.csv").write_text(f"{header}\n")
    drawn = prepare(resolve(tree, seed=1)).notes  # another configuration: read anew
    assert used not in drawn
    assert "valid.csv has no rows." in drawn
    assert any(note.startswith("The test set is drawn from the patients: ") for note in drawn)


def test_a_training_image_with_the_bytes_of_a_test_image_stops_the_run(tree):
    copy(tree, of=frontal(tree, "test")[0], to=frontal(tree, "train")[0])
    with pytest.raises(LeakError, match="have the same bytes as training images: 1: "):
        prepare(resolve(tree))


def test_a_given_partition_with_a_copy_of_a_test_image_elsewhere_is_refused(tree, tmp_path):
    # Without an official test set nothing but the partition says which images are test images.
    (tree / "valid.csv").unlink()
    train = frontal(tree, "train")
    copy(tree, of=train[0], to=train[-1])
    dataset = read_dataset(tree, views="frontal")
    words = []
    for seed in range(12):  # the two patients fall into two sets in some of the draws
        out = tmp_path / f"parts-{seed}"
        config = resolve(tree, **{"partition.folder": str(out)})
        make_partition(
            dataset, config=config.partition, seed=seed, key=load_key(), views="frontal", out=out
        )
        words.append(complaint(config))
    assert {word for word in words if word} == {"1 of its images have the bytes of a test image"}
    assert "" in words


@pytest.fixture
def reads(monkeypatch):
    """How often each CSV file of a partition has been parsed, by its name."""
    counts = Counter()
    read = site_folder.read_table_file

    def counted(path):
        counts[Path(path).name] += 1
        return read(path)

    monkeypatch.setattr(site_folder, "read_table_file", counted)
    return counts


# by name, since the package re-exports the function under the module's name
simulation = importlib.import_module("fedcxr.experiments.simulate")

ONCE = dict.fromkeys(["val.csv", "test.csv", "site-00.csv", "site-01.csv"], 1)


def start(config, folder):
    return simulation._new_job(config, RunFolder.at(folder), ComputePlan("local", 1, 2))


def test_a_new_run_parses_each_table_once(tree, reads, tmp_path):
    # one read back from the disk serves proof, fit, contents.csv and the counts of the manifest
    config = resolve(tree, **{"engine.precision": "fp32"})
    job = start(config, tmp_path / "run")
    assert reads == ONCE
    assert job.prepared.plan.tables == {}  # they would grow with the data set


def test_a_run_over_a_partition_folder_parses_each_table_once(tree, reads, tmp_path):
    folder = prepare(resolve(tree)).plan.folder
    reads.clear()
    config = resolve(tree, **{"engine.precision": "fp32", "partition.folder": str(folder)})
    config = simulation.with_sites_of_plan(config)
    start(config, tmp_path / "run")
    assert reads == ONCE


def test_another_draw_is_another_partition_of_the_same_data(tree):
    first, second = (prepare(resolve(tree), draw=draw) for draw in (0, 1))
    assert first.cache == second.cache
    assert first.plan.folder != second.plan.folder
    assert first.plan.test_csv.read_bytes() == second.plan.test_csv.read_bytes()
    assert first.plan.digest != second.plan.digest
    assert prepare(resolve(tree), draw=1).plan == second.plan
