"""Data that change under a partition: told by the first differences, or taken on purpose."""

import json
import re
import shutil

import pytest
from PIL import Image

from fedcxr.config import load_config
from fedcxr.data.read import read_dataset
from fedcxr.data.synthetic.write import write_synthetic
from fedcxr.data.tokens import Tokens, load_key
from fedcxr.errors import ArtefactError, LeakError
from partitions.changes import CONTENTS_CSV, read_contents, write_contents
from partitions.plan import make_partition, read_plan
from partitions.plan_folder import all_tables
from partitions.prepare import prepare


@pytest.fixture
def tree(tmp_path):
    return write_synthetic(tmp_path / "data", patients=40, size_px=48, seed=0)


@pytest.fixture
def folder(tree, tmp_path):
    """A partition folder as a run leaves it, with what its images held."""
    prepared = prepare(configured(tree))
    out = shutil.copytree(prepared.plan.folder, tmp_path / "partition")
    write_contents(out, prepared.plan, prepared.contents)
    return out


def configured(tree, **more):
    keys = {"data.root": str(tree), "partition.clients": 2, "model.image_size": 32}
    return load_config(overrides={**keys, **{k.replace("__", "."): v for k, v in more.items()}})


def again(tree, folder, **more):
    return prepare(configured(tree, partition__folder=str(folder), **more))


def change_cell(tree, column, new, row=1):
    """Write another value into a row of train.csv; return the image's path and the old value."""
    lines = (tree / "train.csv").read_text().splitlines()
    at = lines[0].split(",").index(column)
    cells = lines[row].split(",")
    old, cells[at] = cells[at], new
    lines[row] = ",".join(cells)
    (tree / "train.csv").write_text("\n".join(lines) + "\n")
    return cells[0].partition("/")[2], old


def invert(file):
    with Image.open(file) as image:
        Image.eval(image.convert("L"), lambda value: 255 - value).save(file, quality=95)


def test_data_that_are_as_they_were_are_taken_without_a_word(tree, folder):
    found = again(tree, folder)
    assert not found.changes
    assert found.changes.pixels_compared
    assert found.plan.digest == read_plan(folder).digest


def test_a_label_that_changed_is_named_with_both_values(tree, folder):
    # row 34 of the bad-input table
    path, old = change_cell(tree, "Edema", "1.0")
    if old == "1.0":
        path, old = change_cell(tree, "Edema", "0.0")
    with pytest.raises(
        ArtefactError, match=rf"1 images with other labels: {re.escape(path)}: Edema"
    ):
        again(tree, folder)


def test_another_age_is_named_as_well(tree, folder):
    path, old = change_cell(tree, "Age", "3")
    with pytest.raises(ArtefactError) as caught:
        again(tree, folder)
    assert f"1 images described otherwise: {path}: age was {old}, is 3" in str(caught.value)


def test_pixels_are_compared_by_content_and_not_by_time(tree, folder):
    # row 34 of the bad-input table
    files = sorted((tree / "train").rglob("*frontal.jpg"))
    for file in files:
        file.touch()  # newer, and the same
    assert not again(tree, folder).changes
    invert(files[3])
    with pytest.raises(ArtefactError, match=r"1 images with other pixels: train/.*: its pixels"):
        again(tree, folder)


def test_an_image_that_is_gone_from_the_table_is_counted(tree, folder):
    lines = (tree / "train.csv").read_text().splitlines(keepends=True)
    frontal = next(n for n, line in enumerate(lines) if "frontal" in line)
    (tree / "train.csv").write_text("".join(lines[:frontal] + lines[frontal + 1 :]))
    with pytest.raises(ArtefactError, match="1 images not there any more"):
        again(tree, folder)


def test_changed_data_can_be_taken_with_everybody_where_they_were(tree, folder):
    change_cell(tree, "Edema", "1.0")
    change_cell(tree, "Edema", "0.0", row=2)
    invert(sorted((tree / "train").rglob("*frontal.jpg"))[3])
    before = read_plan(folder)
    found = again(tree, folder, data__accept_changed_data=True)
    assert found.changes.pixels == 1
    assert found.changes.labels >= 1
    assert "patient" not in json.dumps(found.changes.to_json())
    assert found.plan.lineage == before.digest != found.plan.digest
    sets = [
        {name: (table.image_id, table.split) for name, table in all_tables(plan).items()}
        for plan in (before, found.plan)
    ]
    assert sets[0] == sets[1]
    # today's labels are in it: nothing differs any more
    tokens = Tokens(load_key())
    column = before.labels.index("Edema")
    edema = {
        image_id: int(state)
        for table in all_tables(found.plan).values()
        for image_id, state in zip(table.image_id, table.states[:, column], strict=True)
    }
    for record in read_dataset(tree, views="frontal").records:
        assert edema[tokens.image(record.path)] == record.labels[column]
    assert again(tree, folder, data__accept_changed_data=True).plan.digest == found.plan.digest


def test_an_image_of_another_patient_is_never_taken(tree, folder):
    lines = (tree / "train.csv").read_text().splitlines()
    # the same file under another patient's number: the path is another, so another image
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["key_fingerprint"] == Tokens(load_key()).fingerprint
    from partitions import changes as module

    dataset = read_dataset(tree, views="frontal")
    from dataclasses import replace

    other = replace(dataset.records[0], patient_id="somebody else")
    moved = replace(dataset, records=(other, *dataset.records[1:]))
    with pytest.raises(LeakError, match="it is another patient's than when the partition was made"):
        module.find_changes(read_plan(folder), moved, Tokens(load_key()), {})
    assert lines


def test_a_partition_made_without_opening_images_says_that_pixels_were_not_compared(tree, tmp_path):
    config = configured(tree)
    dataset = read_dataset(tree, views="frontal")
    out = tmp_path / "P"
    make_partition(
        dataset, config=config.partition, seed=0, key=load_key(), views="frontal", out=out
    )
    assert again(tree, out).changes.pixels_compared is False


def test_the_digests_are_keyed_and_a_damaged_file_of_them_is_refused(folder, tree):
    kept = read_contents(folder)
    assert kept
    assert all(re.fullmatch("[0-9a-f]{16}", token) for token in kept.values())
    plain = set(prepare(configured(tree)).contents.values())
    assert set(kept.values()) <= plain
    (folder / CONTENTS_CSV).write_text("image_id,content\nonly-one\n")
    with pytest.raises(ArtefactError, match="damaged"):
        read_contents(folder)
